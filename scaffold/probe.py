"""What is looked at besides the losses: the training recipe of every step; in smoke also operators, executed lines, order of samples.

Evidence for the gate and the verdict, which compare the two arms by it. It runs in one process with main.py, so it is no proof.
"""

from __future__ import annotations

import os
import sys
from itertools import count

import torch
from torch.nn import functional as F
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils._python_dispatch import TorchDispatchMode

ACTIVE = os.environ.get("ASSAY_STAGE") == "smoke"
DROPOUTS = ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout")

lines: set[int] = set()  # of main.py that were executed
order: list[list[int]] = []  # indices of the training images, batch by batch as they were cut


class Operators(TorchDispatchMode):
    """Counts what PyTorch executes while inside, backward passes and optimizer steps included."""

    def __init__(self):
        super().__init__()
        self.counts: dict[str, int] = {}

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        name = str(operator.overloadpacket)
        self.counts[name] = self.counts.get(name, 0) + 1
        return operator(*args, **(kwargs or {}))


class Updates:
    """Counts the steps of all optimizers, wherever they are made."""

    def __init__(self):
        self.count = self._told = 0
        register_optimizer_step_post_hook(self._count)

    def since_last(self) -> int:
        """Those that were made since this was asked before."""
        since, self._told = self.count - self._told, self.count
        return since

    def _count(self, optimizer, args, kwargs):
        self.count += 1


updates = Updates()


def recipe(trainer, batch) -> dict:
    """How the step that ended was made: what an idea may only change where it says so."""
    groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]

    def every(*names: str) -> list:
        """The different values among all groups: two groups with one learning rate have one learning rate."""
        found = [group.get(name) for name in names for group in groups if group.get(name) is not None]
        return [*dict.fromkeys(tuple(map(float, value)) if isinstance(value, (tuple, list)) else float(value) for value in found)]

    return {
        "optimizer": [type(optimizer).__name__ for optimizer in trainer.optimizers],
        "learning_rate": every("lr"), "weight_decay": every("weight_decay"), "momentum": every("momentum", "betas"),
        "batch_size": len(batch[1]), "updates_per_batch": updates.since_last(),
    }  # fmt: skip


def own_masks() -> None:
    """Let dropout draw from a seed of its own, so that a number drawn elsewhere and thrown away changes no mask.

    Otherwise code that only draws random numbers would look alive.
    """
    calls = count(1)

    def separate(plain):
        def dropout(*args, **kwargs):
            with torch.random.fork_rng():
                torch.manual_seed(next(calls))
                return plain(*args, **kwargs)

        return dropout

    for name in DROPOUTS:
        setattr(F, name, separate(getattr(F, name)))


def watch_lines() -> None:
    """From here on collect the executed lines of main.py, the rest of its module level included."""

    def trace(frame, event, _):
        if not _of_main(frame):
            return None
        if event == "line":
            lines.add(frame.f_lineno)
        return trace

    sys.settrace(trace)
    frame = sys._getframe()
    while frame := frame.f_back:
        if _of_main(frame):
            frame.f_trace = trace


def _of_main(frame) -> bool:
    return frame.f_code.co_filename.rpartition("/")[2] == "main.py"


if ACTIVE:
    own_masks()
    watch_lines()

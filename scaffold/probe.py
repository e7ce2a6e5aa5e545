"""What is looked at besides the losses: the training recipe of every step; in smoke also operators, executed lines, order of samples.

Evidence for the gate and the verdict, which compare the two arms by it. It runs in one process with main.py, so it is no proof.
"""

from __future__ import annotations

import os
import sys
from itertools import count

import torch
from torch.nn import functional as F
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

ACTIVE = os.environ.get("ASSAY_STAGE") == "smoke"
DROPOUTS = (
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "alpha_dropout",
    "feature_alpha_dropout",
)

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


class Meters:
    """Counts, from its making on and wherever it is done: optimizer steps, backward passes, images that the model was given
    with gradients on. And keeps what the optimizers were like at each step.
    """

    def __init__(self):
        self.updates = self.backwards = self.images = 0
        self._told = (0, 0, 0)
        self._optimizers: list[tuple[str, list[dict]]] = []
        register_optimizer_step_pre_hook(self._before_step)
        for module in (
            torch.autograd,
            torch.autograd.graph,
        ):  # both name the one function that every backward pass takes
            if plain := getattr(module, "_engine_run_backward", None):
                module._engine_run_backward = self._counted(plain)

    def watch(self, model: torch.nn.Module) -> None:
        model.register_forward_pre_hook(self._before_forward)

    def per_batch(self) -> dict[str, int]:
        """Since this was asked before."""
        now, before = (self.updates, self.backwards, self.images), self._told
        self._told = now
        return {
            f"{name}_per_batch": new - old
            for name, new, old in zip(METERS, now, before, strict=True)
        }

    def optimizers(self) -> list[tuple[str, list[dict]]]:
        """Name and parameter groups of every step since this was asked before."""
        found, self._optimizers = self._optimizers, []
        return found

    def _before_step(self, optimizer, args, kwargs):
        self.updates += 1
        groups = [
            {name: value for name, value in group.items() if name != "params"}
            for group in optimizer.param_groups
        ]
        self._optimizers.append((_name(optimizer), groups))

    def _before_forward(self, model, inputs):
        if (
            torch.is_grad_enabled()
            and inputs
            and isinstance(inputs[0], torch.Tensor)
            and inputs[0].ndim
        ):
            self.images += len(inputs[0])

    def _counted(self, plain):
        def run_backward(*args, **kwargs):
            self.backwards += 1
            return plain(*args, **kwargs)

        return run_backward


METERS = ("updates", "backwards", "images")
meters = Meters()


def recipe(trainer, batch) -> dict:
    """How the step that ended was made: what an idea may only change where it says so."""
    stepped = meters.optimizers() or [
        (_name(optimizer), optimizer.param_groups) for optimizer in trainer.optimizers
    ]
    groups = [group for _, each in stepped for group in each]

    def every(*names: str) -> list:
        """The different values among all groups: two groups with one learning rate have one learning rate."""
        found = [
            group.get(name) for name in names for group in groups if group.get(name) is not None
        ]
        return [
            *dict.fromkeys(
                tuple(map(float, value)) if isinstance(value, (tuple, list)) else float(value)
                for value in found
            )
        ]

    return {
        "optimizer": [*dict.fromkeys(name for name, _ in stepped)],
        "learning_rate": every("lr"),
        "weight_decay": every("weight_decay"),
        "momentum": every("momentum", "betas"),
        "batch_size": rows(batch),
        **meters.per_batch(),
    }


def rows(batch) -> int:
    """How many images a batch holds; the labels may be anything, those of mixed images for instance."""
    return len(next(iter(batch.values())) if isinstance(batch, dict) else batch[0])


def _name(optimizer) -> str:
    """A class of main.py's own is not the one of PyTorch whose name it bears."""
    kind = type(optimizer)
    return (
        kind.__name__
        if kind.__module__.startswith("torch.optim")
        else f"{kind.__module__}.{kind.__qualname__}"
    )


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

"""The probe of a run: the recipe of every training step, the pace, peak memory, parameters.

In smoke also the executed operators, the executed lines of main.py and the order of the samples.
All of it is evidence for the gate and the verdict, which compare the two arms by it. It runs in one
process with main.py, so it is no proof. Nobody edits this file.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections import Counter
from itertools import count

import torch
from torch.nn import functional as F
from torch.nn.parameter import is_lazy
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

METERS = ("updates", "backwards", "images")

lines: set[int] = set()  # the lines of main.py that were executed
order: list[list[int]] = []  # the indices of the training images, batch by batch as they were cut


class Operators(TorchDispatchMode):
    """A count of what PyTorch executes inside, backward passes and optimizer steps included."""

    def __init__(self):
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        self.counts[str(operator.overloadpacket)] += 1
        return operator(*args, **(kwargs or {}))


class Meters:
    """The counts of what a training does, wherever in the program it is done.

    Counted are optimizer steps, backward passes, and images that the model was given with gradients
    on. What the optimizers were like at each step is kept too.
    """

    def __init__(self):
        self.updates = 0
        self.backwards = 0
        self.images = 0
        self._before = self.totals()
        self._optimizers: list[tuple[str, list[dict]]] = []
        register_optimizer_step_pre_hook(self._before_step)
        # Both modules name the one function that every backward pass takes.
        for module in (torch.autograd, torch.autograd.graph):
            if plain := getattr(module, "_engine_run_backward", None):
                module._engine_run_backward = self._counted(plain)

    def watch(self, model: torch.nn.Module) -> None:
        """Count the images that this model is given from now on."""
        model.register_forward_pre_hook(self._before_forward)

    def totals(self) -> dict[str, int]:
        """Return the counts so far, by the names of METERS."""
        return {name: getattr(self, name) for name in METERS}

    def per_batch(self) -> dict[str, int]:
        """Return what was counted since this was called before."""
        before = self._before
        self._before = self.totals()
        return {f"{name}_per_batch": self._before[name] - before[name] for name in METERS}

    def optimizers(self) -> list[tuple[str, list[dict]]]:
        """Return name and parameter groups of every step since this was called before."""
        steps = self._optimizers
        self._optimizers = []
        return steps

    def _before_step(self, optimizer, args, kwargs):
        self.updates += 1
        groups = [dict(group) for group in optimizer.param_groups]
        for group in groups:
            group.pop("params", None)
        self._optimizers.append((_name(optimizer), groups))

    def _before_forward(self, model, inputs):
        if not torch.is_grad_enabled() or not inputs:
            return
        images = inputs[0]
        if isinstance(images, torch.Tensor) and images.ndim:
            self.images += len(images)

    def _counted(self, plain):
        def run_backward(*args, **kwargs):
            self.backwards += 1
            return plain(*args, **kwargs)

        return run_backward


meters = Meters()


class Pace:
    """The steps, samples and seconds of a training; those of the validations do not count."""

    def __init__(self):
        self.steps = 0
        self.samples = 0
        self.seconds = 0.0
        self.epoch_samples = 0
        self.epoch_seconds = 0.0
        self._epoch_start = 0.0

    def start_epoch(self) -> None:
        """Begin an epoch."""
        self.epoch_samples = 0
        self.epoch_seconds = 0.0
        self._epoch_start = time.monotonic()

    def end_step(self, batch) -> None:
        """Count a step with this batch."""
        self.steps += 1
        self.epoch_samples += rows(batch)
        self.epoch_seconds = time.monotonic() - self._epoch_start

    def end_epoch(self) -> None:
        """Add the epoch to the whole."""
        self.samples += self.epoch_samples
        self.seconds += self.epoch_seconds


def rate(samples: int, seconds: float) -> float:
    """Return the images a second."""
    return round(samples / max(seconds, 1e-9), 1)


class Recipe:
    """The values that each part of the steps' recipes took in a training, in the order of time."""

    def __init__(self):
        self._values: dict[str, dict[str, None]] = {}

    def add(self, step: dict) -> None:
        """Add the recipe of a step."""
        for name, value in step.items():
            self._values.setdefault(name, {})[str(value)] = None

    def summary(self) -> dict[str, str]:
        """Return the values of each part as one short text."""
        parts = {name: list(values) for name, values in self._values.items()}
        # An epoch's last batch may be smaller, or left out: the largest is what was meant.
        parts["batch_size"] = [max(parts.get("batch_size", ["0"]), key=int)]
        return {name: _bounded(values) for name, values in parts.items()}


def recipe(trainer, batch) -> dict:
    """Return how the step that ended was made: what an idea may only change where it says so."""
    steps = meters.optimizers()
    if not steps:
        steps = [(_name(optimizer), optimizer.param_groups) for optimizer in trainer.optimizers]
    groups = []
    for _, groups_of_step in steps:
        groups += groups_of_step
    return {
        "optimizer": list(dict.fromkeys(name for name, _ in steps)),
        "learning_rate": _different(groups, "lr"),
        "weight_decay": _different(groups, "weight_decay"),
        "momentum": _different(groups, "momentum", "betas"),
        "batch_size": rows(batch),
        **meters.per_batch(),
    }


def _different(groups: list[dict], *names: str) -> list:
    """Return the different values: two groups with one learning rate have one learning rate."""
    values = {}
    for name in names:
        for group in groups:
            value = group.get(name)
            if isinstance(value, (tuple, list)):
                values[tuple(map(float, value))] = None
            elif value is not None:
                values[float(value)] = None
    return list(values)


def rows(batch) -> int:
    """Return how many images a batch holds.

    The labels may be anything, those of mixed images for instance.
    """
    if isinstance(batch, dict):
        return len(next(iter(batch.values())))
    return len(batch[0])


def count_parameters(model) -> int:
    """Return the number of all parameters.

    One that is frozen in the end counts too: it was learned before, or takes part.
    """
    return sum(parameter.numel() for parameter in model.parameters() if not is_lazy(parameter))


def peak_memory_mb(device: torch.device) -> float:
    """Return the most memory that this process held so far, on a GPU the GPU's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    # ru_maxrss is in bytes on macOS, in KiB elsewhere.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _bounded(values: list[str]) -> str:
    """Return the values as one short text; a schedule's many by number, first and last."""
    if len(values) <= 3:
        return ", ".join(values)
    return f"{len(values)} values, {values[0]} to {values[-1]}"


def _name(optimizer) -> str:
    """Return the class of an optimizer, in full where it is not PyTorch's own.

    A class of main.py's own is not the one of PyTorch whose name it bears.
    """
    kind = type(optimizer)
    if kind.__module__.startswith("torch.optim"):
        return kind.__name__
    return f"{kind.__module__}.{kind.__qualname__}"


def own_masks() -> None:
    """Let dropout draw from seeds of its own.

    A number that is drawn elsewhere and thrown away then changes no mask. Otherwise code that only
    draws random numbers would look alive.
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
    """Collect the executed lines of main.py from here on, the rest of its module level included."""

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

"""The trace of a smoke run, which the program under test wrote itself: read, and checked for its
shape.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.task.recipe import METERS, VARIES
from agent.util.files import read_untrusted
from agent.util.text import finite

_NAME = re.compile(r"[\w.]{1,80}")


@dataclass(frozen=True)
class Trace:
    """The trace of a smoke run, untrusted and checked for its shape."""

    losses: tuple[float, ...]
    scores: tuple[float, ...]  # scores of a few validation images after the last step
    parameters: int
    operators: dict[str, int]
    lines: frozenset[int]  # the lines of main.py that were executed
    recipes: tuple[dict[str, Any], ...]  # the training recipe of every step
    order: tuple[tuple[int, ...], ...]  # training images, batch by batch
    samples: int
    device: str


def read_trace(path: Path) -> tuple[Trace | None, str]:
    """Return the trace of a smoke run that ended well, or what is wrong with it."""
    try:
        stored = json.loads(read_untrusted(path) or b"")
        losses = list(stored["losses"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None, (
            "It ended without an error, but protocol.run(Model) was not reached: "
            "call it last, as the scaffold does."
        )
    if not losses:
        return None, "It made no training step."
    for step, loss in enumerate(losses, 1):
        if finite(loss) is None:
            return None, f"The training loss at step {step} is {loss}: it must stay finite."
    try:
        return _checked_trace(stored)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return None, "trace.json is not protocol.py's own: leave the smoke stage to it."


def _checked_trace(stored: dict[str, Any]) -> tuple[Trace | None, str]:
    operators = {}
    for name, calls in stored["operators"].items():
        if _NAME.fullmatch(name):
            operators[name] = int(calls)
    recipes = tuple(map(_recipe_of_step, stored["recipes"]))
    order = tuple(tuple(map(int, batch)) for batch in stored["order"])
    scores = tuple(map(float, stored["scores"]))
    if not all(map(math.isfinite, scores)):
        return None, "The scores that it predicts after these steps are not all finite."
    trace = Trace(
        losses=tuple(map(float, stored["losses"])),
        scores=scores,
        parameters=int(stored["parameters"]),
        operators=operators,
        lines=frozenset(map(int, stored["lines"])),
        recipes=recipes,
        order=order,
        samples=int(stored["samples"]),
        device=str(stored["device"]),
    )
    return trace, ""


def _recipe_of_step(step: dict[str, Any]) -> dict[str, Any]:
    recipe = {name: step[name] for name in VARIES}
    for name in filter(is_counted, VARIES):
        recipe[name] = int(recipe[name])
    return recipe


def is_counted(part: str) -> bool:
    """Return whether a part of the recipe is a count, of which less is allowed."""
    return part.removesuffix("_per_batch") in METERS

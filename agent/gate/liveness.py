"""Is the idea wired in? Read from a few steps of both arms, beside those of the scaffold as it is.

It shows that something is switched on and that the control is the baseline; not that it is the idea. The operators that
only one arm uses, the executed lines and the judge speak of that. Not covered: rounding that grows into a difference; an idea that
begins after these steps. It is sent back.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.archive.gate_report import Facts
from agent.gate.syntax import Statement, added_statements, definitions, names_read, same_program
from agent.task.recipe import METERS, VARIES, implied, spoken
from agent.util.files import read_untrusted
from agent.util.text import finite

TOLERANCE = 1e-6  # of a loss: a difference below is rounding

# Methods that Lightning or PyTorch calls.
CALLED_BY_OTHERS = (
    "on_",
    "__",
    "forward",
    "training_",
    "validation_",
    "configure_",
    "optimizer_",
    "lr_scheduler_",
    "backward",
    "setup",
    "train_dataloader",
    "val_dataloader",
    "load_state_dict",
    "state_dict",
)

_NAME = re.compile(r"[\w.]{1,80}")


@dataclass(frozen=True)
class Trace:
    """What a smoke run left, untrusted and checked for its shape."""

    losses: tuple[float, ...]
    scores: tuple[float, ...]  # of a few validation images after the last step
    parameters: int
    operators: dict[str, int]
    lines: frozenset[int]  # of main.py, executed
    recipes: tuple[dict[str, Any], ...]  # of every step
    order: tuple[tuple[int, ...], ...]  # training images, batch by batch
    samples: int
    device: str


def read_trace(path: Path) -> tuple[Trace | None, str]:
    """The trace of a smoke run that ended well, or what is wrong."""
    try:
        stored = json.loads(read_untrusted(path) or b"")
        losses, fine = stored["losses"], [finite(loss) is not None for loss in stored["losses"]]
    except (ValueError, TypeError, KeyError, RecursionError):
        return (
            None,
            "It ended without an error, but protocol.run(Model) was not reached: call it last, as the scaffold does.",
        )
    if not losses:
        return None, "It made no training step."
    if not all(fine):
        return (
            None,
            f"The training loss at step {fine.index(False) + 1} is {losses[fine.index(False)]}: it must stay finite.",
        )
    try:
        operators = {
            name: int(calls) for name, calls in stored["operators"].items() if _NAME.fullmatch(name)
        }
        recipes = tuple(
            {name: int(step[name]) if _counted(name) else step[name] for name in VARIES}
            for step in stored["recipes"]
        )
        order = tuple(tuple(map(int, batch)) for batch in stored["order"])
        scores = tuple(map(float, stored["scores"]))
        if not all(map(math.isfinite, scores)):
            return None, "The scores that it predicts after these steps are not all finite."
        return Trace(
            tuple(map(float, losses)),
            scores,
            int(stored["parameters"]),
            operators,
            frozenset(map(int, stored["lines"])),
            recipes,
            order,
            int(stored["samples"]),
            str(stored["device"]),
        ), ""
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return None, "trace.json is not protocol.py's own: leave the smoke stage to it."


def compare(base: str, new: str, baseline: list[Trace], control: Trace, idea: Trace) -> Facts:
    """baseline: traces of the scaffold as it is; two where the device does not repeat itself exactly, else one."""
    spread = max((_difference(one, baseline[0]) for one in baseline[1:]), default=0.0)
    allowed = TOLERANCE + 3 * spread

    def same(one: Trace, other: Trace) -> bool:
        return (
            _difference(one, other) <= allowed
            and one.parameters == other.parameters
            and one.order == other.order
        )

    added = added_statements(base, new)
    ran = [statement for statement in added if statement.ran(set(idea.lines))]
    calls = {
        name: idea.operators.get(name, 0) - control.operators.get(name, 0)
        for name in {*control.operators, *idea.operators}
    }
    # Those that only one arm has come first: they say most about what the idea is.
    telling = sorted(
        calls,
        key=lambda name: (
            name in control.operators and name in idea.operators,
            -abs(calls[name]),
            name,
        ),
    )
    return Facts(
        control_equals_baseline=same(control, baseline[0]),
        idea_differs_from_control=_difference(idea, control) > allowed
        or idea.order != control.order,
        idea_equals_baseline=same(idea, baseline[0]),
        largest_difference=_difference(idea, control),
        added_statements=len(added),
        executed=len(ran),
        idea_only=sum(not statement.ran(set(control.lines)) for statement in ran),
        operators={name: calls[name] for name in telling if calls[name]},
        parameters=(control.parameters, idea.parameters),
        steps=(len(baseline[0].losses), len(control.losses), len(idea.losses)),
        order_differs=idea.order != control.order,
        recipe=_recipe(baseline[0], control, idea),
        lines=tuple(sorted(idea.lines)),
    )


def changed_recipe(facts: Facts, varies: tuple[str, ...]) -> str:
    """What the coder must undo of the recipe, or ''."""
    if facts.steps[1] > facts.steps[0] or facts.steps[2] > facts.steps[0]:
        return (
            f"It makes {max(facts.steps[1:])} training steps where the baseline makes {facts.steps[0]}: epochs and Trainer "
            "belong to protocol.py, leave both as they are."
        )
    words = []
    named = {*varies, *implied(varies)}
    for name, (baseline, control, idea) in facts.recipe.items():
        if name not in named:
            where = (
                "in both arms"
                if control == idea
                else "with IDEA on"
                if control == baseline
                else "with IDEA off"
            )
            value = idea if control == baseline else control
            words.append(f"the {spoken(name)} is {value} {where}, not {baseline}")
    if not words:
        return ""
    said = "; ".join(words)
    return f"{said[0].upper()}{said[1:]}. The idea does not say that it changes this: put it back, in both arms."


def not_live(base: str, new: str, facts: Facts) -> str:
    """Why the idea is not in force and what to do, in one or two sentences; '' if it is."""
    if same_program(base, new):
        return "main.py still computes what it computed before: only comments or layout changed. Implement the idea behind `IDEA`."
    if facts.idea_differs_from_control and facts.idea_equals_baseline:
        return (
            "With `IDEA` true main.py computes what it computed before, and with `IDEA` false something else. "
            "Put the baseline behind `IDEA` false and the idea behind `IDEA` true."
        )
    if facts.idea_differs_from_control:
        return ""
    text = (
        "Switching the idea on changes nothing: in the first three steps of each of the first three epochs the losses are equal, "
        "and so are the predictions after them"
    )
    if unused := _unused(base, new):
        return f"{text}. {unused}"
    if "IDEA" not in names_read(new):
        both = (
            " What you changed acts in both arms, so it changes the baseline."
            if not facts.control_equals_baseline
            else ""
        )
        return f"{text}, because main.py never reads `IDEA`.{both} Put the baseline back and choose the idea with `if IDEA`."
    if sleeping := _sleeping(base, new, facts):
        return f"{text}. Line {sleeping.line}, `{sleeping.text[:100]}`, never ran: call it when IDEA is true, within these steps."
    return (
        f"{text}, although the added lines ran: their result reaches neither loss nor prediction."
    )


def _unused(base: str, new: str) -> str:
    """New functions and classes that nothing mentions."""
    read = names_read(new)
    unused = [
        f"{name} is defined on line {line} and never used"
        for name, line in definitions(base, new).items()
        if name not in read and not name.startswith(CALLED_BY_OTHERS)
    ]
    return f"{' and '.join(unused[:3])}: use it when IDEA is true." if unused else ""


def _sleeping(base: str, new: str, facts: Facts) -> Statement | None:
    return next(
        (
            statement
            for statement in added_statements(base, new)
            if not statement.ran(set(facts.lines))
        ),
        None,
    )


def _difference(one: Trace, other: Trace) -> float:
    """The largest difference of two losses at the same step, or of two scores by a tenth; infinite where they do not match.

    A score is the sum of many products, so it rounds more coarsely than a mean loss does.
    """
    if len(one.losses) != len(other.losses) or len(one.scores) != len(other.scores):
        return float("inf")
    losses = max(abs(a - b) for a, b in zip(one.losses, other.losses, strict=True))
    return max(
        losses,
        0.1 * max((abs(a - b) for a, b in zip(one.scores, other.scores, strict=True)), default=0.0),
    )


def _recipe(baseline: Trace, control: Trace, idea: Trace) -> dict[str, tuple[str, str, str]]:
    """What differs at any step, as its values at the first step that differs; of what is counted, only where it is more."""
    found = {}
    for name in VARIES:
        for steps in zip(baseline.recipes, control.recipes, idea.recipes, strict=False):
            values = [step[name] for step in steps]
            if max(values) > values[0] if _counted(name) else len(set(map(_plain, values))) > 1:
                found[name] = (_plain(values[0]), _plain(values[1]), _plain(values[2]))
                break
    return found


def _counted(name: str) -> bool:
    return name.removesuffix("_per_batch") in METERS


def _plain(value: Any) -> str:
    """One value, or the different ones among a list's, as a short text."""
    parts = list(dict.fromkeys(map(str, value))) if isinstance(value, list) else [str(value)]
    return ", ".join(part[:60] for part in parts) or "none"

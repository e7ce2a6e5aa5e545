"""Is the idea wired in? Read from a few steps of both arms, beside those of the scaffold as it is.

It shows that something is switched on and that the control is the baseline; not that it is the
idea. The operators that only one arm uses, the executed lines and the judge speak of that. Not
covered: rounding that grows into a difference; an idea that begins after these steps. It is sent
back.
"""

from __future__ import annotations

import math
from typing import Any

from agent.archive.gate_report import Facts
from agent.gate.syntax import Statement, added_statements, definitions, names_read, same_program
from agent.gate.trace import Trace, is_counted
from agent.task.recipe import VARIES, implied, spoken

TOLERANCE = 1e-6  # a difference of two losses below this is rounding

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


def compare(
    base: str,
    new: str,
    baseline: list[Trace],
    control: Trace,
    idea: Trace,
) -> Facts:
    """Compare the traces of both arms with each other and with the scaffold's.

    base, new: main.py before any edit and now; baseline: traces of the scaffold as it is, two where
    the device does not repeat itself exactly, else one.
    """
    scaffold = baseline[0]
    spread = max((_difference(trace, scaffold) for trace in baseline[1:]), default=0.0)
    allowed = TOLERANCE + 3 * spread
    difference = _difference(idea, control)
    order_differs = idea.order != control.order
    added = added_statements(base, new)
    ran = [statement for statement in added if statement.ran(set(idea.lines))]
    return Facts(
        control_equals_baseline=_same_training(control, scaffold, allowed),
        idea_differs_from_control=difference > allowed or order_differs,
        idea_equals_baseline=_same_training(idea, scaffold, allowed),
        largest_difference=difference,
        added_statements=len(added),
        executed=len(ran),
        idea_only=sum(not statement.ran(set(control.lines)) for statement in ran),
        operators=_operators_that_differ(control.operators, idea.operators),
        parameters=(control.parameters, idea.parameters),
        steps=(len(scaffold.losses), len(control.losses), len(idea.losses)),
        order_differs=order_differs,
        recipe=_recipe(scaffold, control, idea),
        lines=tuple(sorted(idea.lines)),
    )


def _same_training(trace: Trace, scaffold: Trace, allowed: float) -> bool:
    if trace.parameters != scaffold.parameters or trace.order != scaffold.order:
        return False
    return _difference(trace, scaffold) <= allowed


def _difference(trace: Trace, other: Trace) -> float:
    """Return the largest difference of two losses at the same step, or of two scores by a tenth.

    Traces that do not match differ infinitely. A score is the sum of many products, so it rounds
    more coarsely than a mean loss does.
    """
    if len(trace.losses) != len(other.losses) or len(trace.scores) != len(other.scores):
        return math.inf
    losses = _largest_gap(trace.losses, other.losses)
    scores = _largest_gap(trace.scores, other.scores)
    return max(losses, 0.1 * scores)


def _largest_gap(
    values: tuple[float, ...],
    others: tuple[float, ...],
) -> float:
    pairs = zip(values, others, strict=True)
    return max((abs(value - other) for value, other in pairs), default=0.0)


def _operators_that_differ(
    control: dict[str, int],
    idea: dict[str, int],
) -> dict[str, int]:
    """Return calls with the idea on minus those with it off, where they differ.

    Those that only one arm has come first: they say most about what the idea is.
    """
    differences = {}
    for name in control.keys() | idea.keys():
        difference = idea.get(name, 0) - control.get(name, 0)
        if difference:
            differences[name] = difference

    def rank(name: str) -> tuple[bool, int, str]:
        return name in control and name in idea, -abs(differences[name]), name

    return {name: differences[name] for name in sorted(differences, key=rank)}


def _recipe(
    baseline: Trace,
    control: Trace,
    idea: Trace,
) -> dict[str, tuple[str, str, str]]:
    """Return the parts of the recipe that differ at any step, with their values at the first one.

    A part that is counted differs only where it is more.
    """
    differences = {}
    for name in VARIES:
        for steps in zip(baseline.recipes, control.recipes, idea.recipes, strict=False):
            values = [step[name] for step in steps]
            if _differs(name, values):
                differences[name] = (_plain(values[0]), _plain(values[1]), _plain(values[2]))
                break
    return differences


def _differs(name: str, values: list[Any]) -> bool:
    if is_counted(name):
        return bool(max(values) > values[0])
    return len(set(map(_plain, values))) > 1


def _plain(value: Any) -> str:
    """Return one value, or the different ones among a list's, as a short text."""
    values = value if isinstance(value, list) else [value]
    parts = dict.fromkeys(map(str, values))
    return ", ".join(part[:60] for part in parts) or "none"


def changed_recipe(
    facts: Facts,
    varies: tuple[str, ...],
) -> str:
    """Return what the coder must undo of the recipe, or ''."""
    baseline_steps, *arm_steps = facts.steps
    if max(arm_steps) > baseline_steps:
        return (
            f"It makes {max(arm_steps)} training steps where the baseline makes {baseline_steps}: "
            "epochs and Trainer belong to protocol.py, leave both as they are."
        )
    named = {*varies, *implied(varies)}
    changes = []
    for name, values in facts.recipe.items():
        if name not in named:
            changes.append(_change_in_words(spoken(name), *values))
    if not changes:
        return ""
    text = "; ".join(changes)
    text = text[0].upper() + text[1:]
    return f"{text}. The idea does not say that it changes this: put it back, in both arms."


def _change_in_words(
    part: str,
    baseline: str,
    control: str,
    idea: str,
) -> str:
    if control == idea:
        return f"the {part} is {control} in both arms, not {baseline}"
    if control == baseline:
        return f"the {part} is {idea} with IDEA on, not {baseline}"
    return f"the {part} is {control} with IDEA off, not {baseline}"


def not_live(base: str, new: str, facts: Facts) -> str:
    """Return why the idea is not in force and what to do, in one or two sentences; '' if it is."""
    if same_program(base, new):
        return (
            "main.py still computes what it computed before: only comments or layout changed. "
            "Implement the idea behind `IDEA`."
        )
    if facts.idea_differs_from_control and facts.idea_equals_baseline:
        return (
            "With `IDEA` true main.py computes what it computed before, and with `IDEA` false "
            "something else. Put the baseline behind `IDEA` false and the idea behind `IDEA` true."
        )
    if facts.idea_differs_from_control:
        return ""
    return (
        "Switching the idea on changes nothing: in the first three steps of each of the first "
        "three epochs the losses are equal, and so are the predictions after them"
        f"{_why_nothing_changes(base, new, facts)}"
    )


def _why_nothing_changes(base: str, new: str, facts: Facts) -> str:
    """Return how the sentence that nothing changes goes on, with what to do."""
    unused = _unused(base, new)
    if unused:
        return f". {' and '.join(unused[:3])}: use it when IDEA is true."
    if "IDEA" not in names_read(new):
        problem = ", because main.py never reads `IDEA`."
        if not facts.control_equals_baseline:
            problem += " What you changed acts in both arms, so it changes the baseline."
        return f"{problem} Put the baseline back and choose the idea with `if IDEA`."
    sleeping = _sleeping(base, new, facts)
    if sleeping:
        return (
            f". Line {sleeping.line}, `{sleeping.text[:100]}`, never ran: "
            "call it when IDEA is true, within these steps."
        )
    return ", although the added lines ran: their result reaches neither loss nor prediction."


def _unused(base: str, new: str) -> list[str]:
    """Return a clause for each new function or class that nothing mentions."""
    read = names_read(new)
    clauses = []
    for name, line in definitions(base, new).items():
        if name not in read and not name.startswith(CALLED_BY_OTHERS):
            clauses.append(f"{name} is defined on line {line} and never used")
    return clauses


def _sleeping(
    base: str,
    new: str,
    facts: Facts,
) -> Statement | None:
    """Return the first added statement that did not run with the idea on."""
    for statement in added_statements(base, new):
        if not statement.ran(set(facts.lines)):
            return statement
    return None

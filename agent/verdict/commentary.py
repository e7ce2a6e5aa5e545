"""What a model makes of a result, in two sentences: asked once, when the verdict stands, and believed in nothing.

The verdict is on disk before the question is asked, and nothing here is read by what decides one. Every number in the answer must be
one that the question told (agent/verdict/numbers.py); else the model is asked once more, with what was refused, and then left out.
An answer is known by its question: a replay uses the recorded one only where the experiment came to the same numbers.
Not covered: words without a number ("a clear gain" for a loss); they are shown as the model's, beside the verdict.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from agent.archive.commentary import CHARACTERS, Commentary
from agent.archive.paths import Archive
from agent.archive.run import load_run
from agent.archive.session import READING
from agent.coder.base import Answer
from agent.util.errors import Fault
from agent.util.files import read_untrusted_text
from agent.util.hashes import short_hash
from agent.util.templates import render
from agent.util.text import bound, bounded_line, clean, fence, one_line
from agent.verdict.numbers import readable, unfounded

ASKED = 2  # times at most

SENTENCES = 2  # of a reading

IDEA_LINES, IDEA_CHARACTERS = 40, 3000  # of the idea, that the model is shown

_END = re.compile(r"[.!?][\"')]*\s+(?=[^a-z\s])")

_TOLD = (
    "supported",
    "not_supported",
    "inconclusive",
)  # whose reasons are the harness's own words, numbers included


Ask = Callable[[str, str], Answer]


def read(archive: Archive, verdict: dict[str, Any], ask: Ask) -> Commentary:
    """Ask, check, and where the answer is refused ask once more. No model, no answer and no money left are no fault."""
    told, idea, refused, model = facts(archive, verdict), _idea(archive), "", ""
    for _ in range(ASKED):
        prompt = render(
            "reading.md.j2",
            facts="\n".join(told),
            idea=idea,
            reasons=_reasons(verdict),
            sentences=SENTENCES,
            characters=CHARACTERS,
            refused=refused,
        )
        try:
            answer = ask(f"{READING} {short_hash(prompt, 8)}", prompt)
        except Fault as fault:  # a worker that hangs: the verdict stands all the same
            return Commentary(refused=refused, absent=bounded_line(fault.detail))
        if answer.text is None:
            return Commentary(
                model=bounded_line(model), refused=refused, absent=bounded_line(answer.why)
            )
        model, text = answer.model, one_line(readable(clean(answer.text)))
        if not (refused := problem(text, "\n".join(told), f"{idea}\n{verdict['idea']['title']}")):
            return Commentary(text, bounded_line(model))
    return Commentary(model=bounded_line(model), refused=refused)


def problem(text: str, source: str, names: str) -> str:
    """Why this cannot be a reading, or ''. source: what was told; names: where names with digits may come from besides."""
    if not text:
        return "it is empty"
    if len(text) > CHARACTERS:
        return f"it has {len(text)} characters, more than {CHARACTERS}"
    if (count := len(_END.findall(f"{text} ")) + 1) > SENTENCES:
        return f"it has {count} sentences, more than {SENTENCES}"
    wrong = list(dict.fromkeys(unfounded(text, source, names)))
    return (
        f"it names {bounded_line(', '.join(wrong))}, which {'is' if len(wrong) == 1 else 'are'} not in the archive"
        if wrong
        else ""
    )


# ---- what the model is told ----------------------------------------------------------------------------------


def facts(archive: Archive, verdict: dict[str, Any]) -> list[str]:
    """Lines of the harness's own. A number that stands here may stand in a reading; nothing that a program said does.

    Without clock times and costs: they are not the same when a killed command goes on, and the question must be.
    """
    lines = [f"verdict: {verdict['verdict'].replace('_', ' ')}"]
    if verdict["verdict"] in _TOLD:
        lines += [f"why: {reason}" for reason in verdict["reasons"]]
    lines += (
        [f"to be said with it: {', '.join(verdict['qualifiers'])}"] if verdict["qualifiers"] else []
    )
    return lines + _effect(verdict) + _budget(verdict) + _runs(archive, verdict)


def _effect(verdict: dict[str, Any]) -> list[str]:
    if not (effect := verdict["effect"]):
        return []
    low, high = effect["ci95"]
    arms = [
        f"{name} {_percent(arm['mean'])}"
        + (
            f" (standard deviation over seeds {_percent(arm['sd'])})"
            if arm["sd"] is not None
            else ""
        )
        for name, arm in (("control", verdict["baseline"]), ("idea", verdict["candidate"]))
    ]
    return [
        f"effect on the hidden test: {_points(effect['delta'])}, 95 % interval from {_points(low)} to {_points(high)}",
        f"fresh seeds: {effect['n_cand']} of the idea, {effect['n_base']} of the control; P(better) {effect['p_better']:.2f}",
        f"accuracy on {verdict['integrity']['test_count']} hidden images: {', '.join(arms)}",
        f"smallest effect of interest: {_points(verdict['idea']['min_effect'])}",
        f"true effect that would be found in 4 of 5 cases: {_points(effect['mde80'])}",
    ]


def _budget(verdict: dict[str, Any]) -> list[str]:
    budget, lines = verdict["budget"], []
    if budget["time_ratio"]:
        lines.append(f"time of a training: {budget['time_ratio']:.2f}x the control's")
    control, idea = budget["params"]
    if control and idea:
        lines.append(f"parameters: idea {idea:,.0f}, control {control:,.0f}, {idea / control:.3f}x")
    if budget["epochs"][1]:
        lines.append(f"epochs of every training: {budget['epochs'][1]:.0f}")
    return lines


def _runs(archive: Archive, verdict: dict[str, Any]) -> list[str]:
    """Before the confirmation, one run each: no evidence, and told as that."""
    experiment, chosen = verdict["experiment"], verdict["selection"]["chosen"]
    base, shown = experiment["baseline"], _value if experiment["open"] else _percent
    lines = [
        f"runs of the coder that succeeded: {experiment['runs']}; failed attempts: {experiment['failed']}"
    ]
    if base is not None:
        kind = "the program's own number" if experiment["open"] else "on validation data"
        lines.append(
            f"{verdict['idea']['metric']}, {kind}, of one run each, so no evidence: baseline {shown(base)}"
        )
    for run in map(load_run, archive.attempts()):
        value = "" if run.value is None else f", {shown(run.value)}"
        if value and base is not None:
            value += (
                f", against the baseline {run.value - base:+.4g}"
                if experiment["open"]
                else f" ({_points(run.value - base)})"
            )
        lines.append(f"  {run.folder}: {run.status.value.replace('_', ' ')}{value}")
    return lines + ([f"  confirmed with fresh seeds: run_{chosen}"] if chosen else [])


def _idea(archive: Archive) -> str:
    """Its text as it was given; '' where that is gone, which is no reason to lose an experiment."""
    text = read_untrusted_text(archive.idea)
    return fence(bound(clean(text), IDEA_LINES, IDEA_CHARACTERS))


def _reasons(verdict: dict[str, Any]) -> str:
    """What a program said of itself may be read, and no number of it be told."""
    return (
        ""
        if verdict["verdict"] in _TOLD
        else fence(bound(clean("\n".join(verdict["reasons"])), 10, 1000))
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _points(share: float) -> str:
    return f"{100 * share:+.2f} pp"


def _value(value: float) -> str:
    return f"{value:.4g}"

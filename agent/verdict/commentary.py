"""Ask a model what it makes of a result, in two sentences, which are believed in nothing.

The verdict is on disk before the question is asked, and nothing here is read by what decides one.
Every number in the answer must be one that the question held (agent/verdict/numbers.py); else the
model is asked once more, with what was refused, and then left out. An answer is known by its
question: a replay uses the recorded one only where the experiment came to the same numbers.
Not covered: words without a number ("a clear gain" for a loss); they are shown as the model's,
beside the verdict.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from agent.archive.commentary import CHARACTERS, Commentary
from agent.archive.paths import Archive
from agent.archive.run import Run, load_run
from agent.archive.session import READING
from agent.coder.base import Answer
from agent.util.errors import Fault
from agent.util.files import read_untrusted_text
from agent.util.hashes import short_hash
from agent.util.templates import render
from agent.util.text import bound, bounded_line, clean, fence, one_line
from agent.verdict.numbers import readable, unfounded

MOST_QUESTIONS = 2  # times that the model is asked, the first included
SENTENCES = 2  # sentences of a commentary at most
IDEA_LINES = 40  # lines of the idea that the model is shown at most
IDEA_CHARACTERS = 3000  # characters of the idea that the model is shown at most
REASON_LINES = 10  # lines of a program's own words that the model is shown at most
REASON_CHARACTERS = 1000  # characters of a program's own words that the model is shown at most

_END = re.compile(r"[.!?][\"')]*\s+(?=[^a-z\s])")
# Classes whose reasons are the harness's own words, numbers included.
_OWN_REASONS = ("supported", "not_supported", "inconclusive")

Ask = Callable[[str, str], Answer]


def read(archive: Archive, verdict: dict[str, Any], ask: Ask) -> Commentary:
    """Ask for a commentary, check it, and ask once more where it is refused.

    That there is no model, no answer or no money left is no fault: the commentary says so.
    """
    source = "\n".join(facts(archive, verdict))
    idea = _idea(archive)
    names = f"{idea}\n{verdict['idea']['title']}"
    refused = ""
    model = ""
    for _ in range(MOST_QUESTIONS):
        prompt = render(
            "reading.md.j2",
            facts=source,
            idea=idea,
            reasons=_reasons(verdict),
            sentences=SENTENCES,
            characters=CHARACTERS,
            refused=refused,
        )
        purpose = f"{READING} {short_hash(prompt, 8)}"
        try:
            answer = ask(purpose, prompt)
        except Fault as fault:  # a worker that hangs: the verdict stands all the same
            return Commentary(refused=refused, absent=bounded_line(fault.detail))
        if answer.text is None:
            absent = bounded_line(answer.why)
            return Commentary(model=bounded_line(model), refused=refused, absent=absent)
        model = answer.model
        text = one_line(readable(clean(answer.text)))
        refused = problem(text, source, names)
        if not refused:
            return Commentary(text, bounded_line(model))
    return Commentary(model=bounded_line(model), refused=refused)


def problem(text: str, source: str, names: str) -> str:
    """Return why a text cannot be a commentary, or ''.

    source: the facts that the model was given. names: another text, whose names with digits it may
    use too.
    """
    if not text:
        return "it is empty"
    if len(text) > CHARACTERS:
        return f"it has {len(text)} characters, more than {CHARACTERS}"
    sentences = len(_END.findall(f"{text} ")) + 1
    if sentences > SENTENCES:
        return f"it has {sentences} sentences, more than {SENTENCES}"
    invented = list(dict.fromkeys(unfounded(text, source, names)))
    if not invented:
        return ""
    verb = "is" if len(invented) == 1 else "are"
    return f"it names {bounded_line(', '.join(invented))}, which {verb} not in the archive"


# ---- the facts that the model is given ---------------------------------------------------------


def facts(archive: Archive, verdict: dict[str, Any]) -> list[str]:
    """Return lines of the harness's own, whose numbers may stand in a commentary.

    Nothing that a program printed is among them, and neither are clock times and costs: these are
    not the same when a killed command goes on, and the question must be.
    """
    lines = [f"verdict: {verdict['verdict'].replace('_', ' ')}"]
    if verdict["verdict"] in _OWN_REASONS:
        lines += [f"why: {reason}" for reason in verdict["reasons"]]
    if verdict["qualifiers"]:
        lines.append(f"to be said with it: {', '.join(verdict['qualifiers'])}")
    return lines + _effect(verdict) + _budget(verdict) + _runs(archive, verdict)


def _effect(verdict: dict[str, Any]) -> list[str]:
    effect = verdict["effect"]
    if not effect:
        return []
    low, high = effect["ci95"]
    interval = f"95 % interval from {_points(low)} to {_points(high)}"
    seeds = f"{effect['n_cand']} of the idea, {effect['n_base']} of the control"
    arms = f"{_arm('control', verdict['baseline'])}, {_arm('idea', verdict['candidate'])}"
    return [
        f"effect on the hidden test: {_points(effect['delta'])}, {interval}",
        f"fresh seeds: {seeds}; P(better) {effect['p_better']:.2f}",
        f"accuracy on {verdict['integrity']['test_count']} hidden images: {arms}",
        f"smallest effect of interest: {_points(verdict['idea']['min_effect'])}",
        f"true effect that would be found in 4 of 5 cases: {_points(effect['mde80'])}",
    ]


def _arm(name: str, arm: dict[str, Any]) -> str:
    accuracy = f"{name} {_percent(arm['mean'])}"
    if arm["sd"] is None:
        return accuracy
    return f"{accuracy} (standard deviation over seeds {_percent(arm['sd'])})"


def _budget(verdict: dict[str, Any]) -> list[str]:
    budget = verdict["budget"]
    lines = []
    if budget["time_ratio"]:
        lines.append(f"time of a training: {budget['time_ratio']:.2f}x the control's")
    control, idea = budget["params"]
    if control and idea:
        lines.append(f"parameters: idea {idea:,.0f}, control {control:,.0f}, {idea / control:.3f}x")
    if budget["epochs"][1]:
        lines.append(f"epochs of every training: {budget['epochs'][1]:.0f}")
    return lines


def _runs(archive: Archive, verdict: dict[str, Any]) -> list[str]:
    """List the runs before the confirmation, one of each code: no evidence, and called that."""
    experiment = verdict["experiment"]
    self_reported = experiment["open"]
    baseline = experiment["baseline"]
    counts = f"{experiment['runs']}; failed attempts: {experiment['failed']}"
    lines = [f"runs of the coder that succeeded: {counts}"]
    if baseline is not None:
        kind = "the program's own number" if self_reported else "on validation data"
        shown = _shown(baseline, self_reported)
        metric = verdict["idea"]["metric"]
        lines.append(f"{metric}, {kind}, of one run each, so no evidence: baseline {shown}")
    for run in map(load_run, archive.attempts()):
        value = _run_value(run, baseline, self_reported)
        lines.append(f"  {run.folder}: {run.status.value.replace('_', ' ')}{value}")
    chosen = verdict["selection"]["chosen"]
    if chosen:
        lines.append(f"  confirmed with fresh seeds: run_{chosen}")
    return lines


def _run_value(run: Run, baseline: float | None, self_reported: bool) -> str:
    if run.value is None:
        return ""
    value = f", {_shown(run.value, self_reported)}"
    if baseline is None:
        return value
    difference = run.value - baseline
    if self_reported:
        return f"{value}, against the baseline {difference:+.4g}"
    return f"{value} ({_points(difference)})"


def _idea(archive: Archive) -> str:
    """Read the idea as it was given; '' where it is gone, which loses no experiment."""
    text = read_untrusted_text(archive.idea)
    return fence(bound(clean(text), IDEA_LINES, IDEA_CHARACTERS))


def _reasons(verdict: dict[str, Any]) -> str:
    """Return a program's words about itself: they may be read, and no number of them repeated."""
    if verdict["verdict"] in _OWN_REASONS:
        return ""
    text = clean("\n".join(verdict["reasons"]))
    return fence(bound(text, REASON_LINES, REASON_CHARACTERS))


def _shown(value: float, self_reported: bool) -> str:
    return f"{value:.4g}" if self_reported else _percent(value)


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _points(share: float) -> str:
    return f"{100 * share:+.2f} pp"

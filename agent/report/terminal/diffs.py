"""Print the attempts of an experiment with their diffs: coloured on a terminal, plain in a pipe."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from rich.console import Console
from rich.text import Text

from agent.archive.judgement import Finding, Judgement
from agent.archive.paths import Archive, RunFolder
from agent.archive.run import Run, load_run
from agent.util.diff import diff
from agent.util.errors import Fault
from agent.util.files import read_events, read_json
from agent.util.text import clean, visible

STYLES = {
    "+": "green",
    "-": "red",
    "@": "cyan",
}
OPERATORS = 6  # operators whose calls are shown


def print_experiment(
    out: Console, archive: Archive, noting: Callable[[Path], AbstractContextManager[None]]
) -> None:
    """Print every attempt: coder, gate, judge, what went wrong, and the diff to the run before.

    noting: entered for each attempt, so that one that is damaged hides no other.
    """
    before = archive.run(0)
    edits = [event for event in read_events(archive.events) if event["event"] == "edit"]
    attempted = [edit for edit in edits if edit["attempt"]]
    for folder, edit in zip(archive.attempts(), attempted, strict=False):
        with noting(folder.folder):
            _print_attempt(out, archive, folder, edit, before)
        before = folder


def _print_attempt(
    out: Console, archive: Archive, folder: RunFolder, edit: dict, before: RunFolder
) -> None:
    """Print an attempt. Raises Fault where it is damaged."""
    title = f"\n{clean(folder.folder.name)}"
    try:
        run = load_run(folder)
    except Fault:
        out.print(Text(f"{title}: damaged", style="bold"))
        raise
    out.print(Text(f"{title}: {run.status.value.replace('_', ' ')}", style="bold"))
    out.print(Text(_coder(edit)))
    _print_gate(out, folder)
    for line in _judged(folder):
        out.print(Text(line), soft_wrap=True)
    if run.message:
        out.print(Text(clean(run.message)), soft_wrap=True)
    _print_diffs(out, archive, folder, run, before)


def _print_gate(out: Console, folder: RunFolder) -> None:
    if not folder.gate.is_file():
        return
    report = read_json(folder.gate)
    checks = ", ".join(map(_check, report["checks"]))
    out.print(Text(clean(f"gate: {checks}")))
    if report.get("facts"):
        out.print(Text(_facts(report["facts"])), soft_wrap=True)


def _print_diffs(
    out: Console, archive: Archive, folder: RunFolder, run: Run, before: RunFolder
) -> None:
    """After a failed attempt print the repair first, by itself: it is lost in the whole diff."""
    repaired = before.folder.name.startswith(f"run_{run.number}.failed_")
    if repaired:
        print_diff(out, f"since {before.folder.name}:", diff(before.code, folder.code))
    if run.ok or not repaired:
        last_run = archive.run(run.number - 1)
        print_diff(out, f"since run_{run.number - 1}:", diff(last_run.code, folder.code))


def print_diff(out: Console, title: str, text: str) -> None:
    """Print a diff below its title, with control characters written out."""
    if not text:
        title = f"{title} no change"
    out.print(Text(title, style="italic"))
    for line in visible(text).split("\n"):
        style = STYLES.get(line[:1], "")
        if line.startswith(("+++", "---")):
            style = "bold"
        out.print(Text(line, style=style), soft_wrap=True)


def _coder(edit: dict) -> str:
    replies = "1 reply"
    if edit["repairs"]:
        replies = f"{1 + edit['repairs']} replies, {edit['repairs']} of them repairs on the spot"
    tokens = f"{edit['tokens_sent']} tokens sent, {edit['tokens_received']} received"
    cost = "cost unknown" if edit["cost"] is None else f"${edit['cost']:.4f}"
    return f"coder: {replies}; {tokens}, {cost}, {edit['seconds']:.1f} s"


def _check(check: dict) -> str:
    result = "passed"
    if check["status"]:
        result = "failed"
    elif check["message"]:
        result = "skipped"
    seconds = f" {check['seconds']:.1f} s" if check["seconds"] else ""
    return f"{check['name']} {result}{seconds}"


def _facts(facts: dict) -> str:
    """Describe what the smoke runs of both arms showed."""
    control = "equals the baseline" if facts["control_equals_baseline"] else "is not the baseline"
    idea = "differs from it" if facts["idea_differs_from_control"] else "equals it"
    arms = f"control {control}, idea {idea} (by up to {facts['largest_difference']:.2g})"
    executed = f"{facts['executed']} of {facts['added_statements']} added statements ran"
    lines = f"{executed}, {facts['idea_only']} with the idea on only"
    calls = list(facts["operators"].items())[:OPERATORS]
    operators = ", ".join(f"{name} {difference:+d}" for name, difference in calls)
    text = f"  {arms}; {lines}; operators {operators or 'the same'}"
    if facts["order_differs"]:
        text += "; another order of samples"
    for name, values in facts["recipe"].items():
        text += f"; {name}: baseline {values[0]}, control {values[1]}, idea {values[2]}"
    return clean(text)


def _judged(folder: RunFolder) -> list[str]:
    """Return a line for each criterion, or why nobody judged."""
    if not folder.judgement.is_file():
        return []
    judgement = Judgement.from_dict(read_json(folder.judgement))
    if not judgement.findings:
        return [clean(f"judge: absent: {judgement.absent}")]
    return [clean(_finding(finding)) for finding in judgement.findings]


def _finding(finding: Finding) -> str:
    mark = "passes" if finding.passed else "doubted"
    votes = f"{sum(finding.votes)}/{len(finding.votes)}"
    text = f"judge: {finding.id} {mark} ({votes}): {finding.text}"
    if finding.quote:
        text += f" | {finding.quote}"
    if finding.reason:
        text += f" | {finding.reason}"
    return text

"""The attempts of one experiment with their diffs: coloured on a terminal, plain in a pipe."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from rich.console import Console
from rich.text import Text

from agent.archive.judgement import Judgement
from agent.archive.paths import Archive, RunFolder
from agent.archive.run import load_run
from agent.util.diff import diff
from agent.util.errors import Fault
from agent.util.files import read_events, read_json
from agent.util.text import clean, visible

STYLES = {"+": "green", "-": "red", "@": "cyan"}


def print_experiment(
    out: Console, archive: Archive, noting: Callable[[Path], AbstractContextManager[None]]
) -> None:
    """Every attempt: what the coder took, what the gate found, what went wrong, and its diff against the run before.

    noting: entered for each attempt, so that one that is damaged hides no other.
    """
    before = archive.run(0)
    edits = [
        event
        for event in read_events(archive.events)
        if event["event"] == "edit" and event["attempt"]
    ]
    for folder, edit in zip(archive.attempts(), edits, strict=False):
        with noting(folder.folder):
            _print_attempt(out, archive, folder, edit, before)
        before = folder


def _print_attempt(
    out: Console, archive: Archive, folder: RunFolder, edit: dict, before: RunFolder
) -> None:
    """After a failed attempt the repair stands first, by itself: it is lost in the whole diff. Raises Fault for one that is damaged."""
    try:
        run = load_run(folder)
    except Fault:
        out.print(Text(f"\n{clean(folder.folder.name)}: damaged", style="bold"))
        raise
    out.print(
        Text(f"\n{clean(folder.folder.name)}: {run.status.value.replace('_', ' ')}", style="bold")
    )
    out.print(Text(_coder(edit)))
    if folder.gate.is_file():
        report = read_json(folder.gate)
        out.print(Text(clean("gate: " + ", ".join(_check(check) for check in report["checks"]))))
        if report.get("facts"):
            out.print(Text(_facts(report["facts"])), soft_wrap=True)
    for line in _judged(folder):
        out.print(Text(line), soft_wrap=True)
    if run.message:
        out.print(Text(clean(run.message)), soft_wrap=True)
    repaired = before.folder.name.startswith(f"run_{run.number}.failed_")
    if repaired:
        print_diff(out, f"since {before.folder.name}:", diff(before.code, folder.code))
    if run.ok or not repaired:
        print_diff(
            out, f"since run_{run.number - 1}:", diff(archive.run(run.number - 1).code, folder.code)
        )


def print_diff(out: Console, title: str, text: str) -> None:
    out.print(Text(title if text else f"{title} no change", style="italic"))
    for line in visible(text).split("\n"):
        style = "bold" if line.startswith(("+++", "---")) else STYLES.get(line[:1], "")
        out.print(Text(line, style=style), soft_wrap=True)


def _coder(edit: dict) -> str:
    replies = f"{1 + edit['repairs']} repl{'ies' if edit['repairs'] else 'y'}"
    repairs = f", {edit['repairs']} of them repairs on the spot" if edit["repairs"] else ""
    cost = "cost unknown" if edit["cost"] is None else f"${edit['cost']:.4f}"
    return f"coder: {replies}{repairs}; {edit['tokens_sent']} tokens sent, {edit['tokens_received']} received, {cost}, {edit['seconds']:.1f} s"


def _facts(facts: dict) -> str:
    """What the smoke runs of both arms showed."""
    control = "equals the baseline" if facts["control_equals_baseline"] else "is not the baseline"
    idea = "differs from it" if facts["idea_differs_from_control"] else "equals it"
    lines = f"{facts['executed']} of {facts['added_statements']} added statements ran, {facts['idea_only']} with the idea on only"
    operators = ", ".join(
        f"{name} {calls:+d}" for name, calls in list(facts["operators"].items())[:6]
    )
    recipe = "".join(
        f"; {name}: baseline {values[0]}, control {values[1]}, idea {values[2]}"
        for name, values in facts["recipe"].items()
    )
    order = "; another order of samples" if facts["order_differs"] else ""
    arms = f"control {control}, idea {idea} (by up to {facts['largest_difference']:.2g})"
    return clean(f"  {arms}; {lines}; operators {operators or 'the same'}{order}{recipe}")


def _judged(folder: RunFolder) -> list[str]:
    """One line a criterion, or why nobody judged."""
    if not folder.judgement.is_file():
        return []
    judgement = Judgement.from_dict(read_json(folder.judgement))
    if not judgement.findings:
        return [clean(f"judge: absent: {judgement.absent}")]
    marks = {True: "passes", False: "doubted"}
    return [
        clean(
            f"judge: {found.id} {marks[found.passed]} ({sum(found.votes)}/{len(found.votes)}): {found.text}"
            + (f" | {found.quote}" if found.quote else "")
            + (f" | {found.reason}" if found.reason else "")
        )
        for found in judgement.findings
    ]


def _check(check: dict) -> str:
    took = f" {check['seconds']:.1f} s" if check["seconds"] else ""
    return f"{check['name']} {'failed' if check['status'] else 'skipped' if check['message'] else 'passed'}{took}"

"""The diff of each run against the one before: coloured on a terminal, plain in a pipe."""

from __future__ import annotations

from rich.text import Text

from agent.archive import Archive, read_json
from agent.failure import clean
from agent.report.console import console

STYLES = {"+": "green", "-": "red", "@": "cyan"}


def print_experiment(archive: Archive) -> None:
    """Every attempt: status, what the gate found, what went wrong, and its diff against the run before."""
    out = console()
    for folder in archive.attempts():
        result = read_json(folder.result)
        out.print(Text(f"\n{folder.folder.name}: {result['status']}", style="bold"))
        if folder.gate.is_file():
            out.print(Text("gate: " + ", ".join(_check(check) for check in read_json(folder.gate))))
        if result["message"]:
            out.print(Text(clean(result["message"])), soft_wrap=True)
        for line in clean(folder.diff.read_text(encoding="utf-8")).splitlines():
            style = "bold" if line.startswith(("+++", "---")) else STYLES.get(line[:1], "")
            out.print(Text(line, style=style), soft_wrap=True)


def _check(check: dict) -> str:
    took = f" {check['seconds']:.1f} s" if check["seconds"] else ""
    return f"{check['name']} {check['status'] or ('skipped' if check['message'] else 'passed')}{took}"

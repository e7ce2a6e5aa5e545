"""The diary, runs/DIARY.md: an entry for every experiment that has its verdict.

An entry is written from the archive alone.

What a user writes there stays: an entry is put at the end, and the file is written whole or not at
all. Two commands take turns.
"""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from markupsafe import Markup

from agent.archive.commentary import load_commentary
from agent.archive.session import spent
from agent.report.summary import Summary
from agent.report.terminal.verdict_text import headline
from agent.report.text.attempt_lines import attempt_lines
from agent.report.text.markdown import render_markdown
from agent.util.files import disk_faults, write_bytes
from agent.util.locks import locked

DIARY = "DIARY.md"
LOCK = ".diary.lock"
OPENING = (
    "# Diary\n\n"
    "An entry for every experiment that came to its verdict, the last one below. "
    "Your own notes stay as they are.\n"
)


def enter(runs: Path, summary: Summary, verdict: dict[str, Any]) -> None:
    """Add the experiment's entry to the diary, unless it has one: the mark in it says so.

    Raises Fault for a damaged archive and a full disk.
    """
    mark = f"<!-- experiment {summary.name} -->"
    with locked(runs / LOCK, wait=True):
        path = (runs / DIARY).resolve()  # it may be a link to where the user keeps it
        with disk_faults(path):
            before = path.read_bytes() if path.exists() else OPENING.encode()
        if mark.encode() in before:
            return
        text = entry(summary, verdict, mark)
        write_bytes(path, before.rstrip(b"\n") + b"\n\n" + text.encode("utf-8", "replace"))


def entry(summary: Summary, verdict: dict[str, Any], mark: str) -> str:
    """Return the entry of an experiment, which begins with its mark."""
    cost, tokens = spent(summary.archive)
    return render_markdown(
        "diary.md.j2",
        marker=Markup(mark),
        date=moment(summary.ended),
        one=summary,
        v=verdict,
        headline=headline(verdict),
        reasons="; ".join(verdict["reasons"]),
        tried=attempt_lines(summary.archive),
        reading=load_commentary(summary.archive),
        cost=cost,
        tokens=tokens,
        path=Markup(summary.name),
    )


def moment(time: float | None) -> str:
    """Return a time as people read it, in UTC."""
    if not time:
        return "no date"
    return datetime.fromtimestamp(time, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")

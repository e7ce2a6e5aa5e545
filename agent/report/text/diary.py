"""runs/DIARY.md: one entry an experiment, written when it has its verdict, from its archive alone.

What a user writes there stays: an entry is put at the end, and the file is written whole or not at all. Two commands take turns.
"""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from markupsafe import Markup

from agent.archive.commentary import load_commentary
from agent.archive.paths import Archive
from agent.archive.session import spent
from agent.report.summary import Summary
from agent.report.terminal.verdict_text import headline
from agent.report.text.attempt_lines import tell
from agent.report.text.markdown import render_markdown
from agent.util.files import disk_faults, write_bytes
from agent.util.locks import locked

DIARY, LOCK = "DIARY.md", ".diary.lock"
OPENING = "# Diary\n\nAn entry for every experiment that came to its verdict, the last one below. Your own notes stay as they are.\n"


def enter(runs: Path, one: Summary, verdict: dict[str, Any]) -> None:
    """Nothing where the experiment has its entry: the mark in it says so. Raises Fault for a damaged archive and a full disk."""
    mark = f"<!-- experiment {one.name} -->"
    with locked(runs / LOCK, wait=True):
        path = (runs / DIARY).resolve()  # it may be a link to where the user keeps it
        with disk_faults(path):
            before = path.read_bytes() if path.exists() else OPENING.encode()
        if mark.encode() not in before:
            write_bytes(
                path,
                before.rstrip(b"\n")
                + b"\n\n"
                + entry(one, verdict, mark).encode("utf-8", "replace"),
            )


def entry(one: Summary, verdict: dict[str, Any], mark: str) -> str:
    archive: Archive = one.archive
    cost, tokens = spent(archive)
    return render_markdown(
        "diary.md.j2",
        marker=Markup(mark),
        date=moment(one.ended),
        one=one,
        v=verdict,
        headline=headline(verdict),
        reasons="; ".join(verdict["reasons"]),
        tried=tell(archive),
        reading=load_commentary(archive),
        cost=cost,
        tokens=tokens,
        path=Markup(one.name),
    )


def moment(time: float | None) -> str:
    return (
        datetime.fromtimestamp(time, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
        if time
        else "no date"
    )

"""What the replies of an experiment cost, as its session says."""

from __future__ import annotations

from typing import Any

from agent.archive.paths import Archive
from agent.util.files import read_events

READING = "reading"  # how the purposes begin of what is asked when the verdict stands


def spent(archive: Archive, *, reading: bool = True) -> tuple[float | None, int]:
    """US dollars (None: a price is unknown) and tokens of all replies, those of unfinished turns, of the judge and empty ones too.

    reading False: only what came before the verdict, so that it is the same whenever it is computed.
    """
    lines = [
        line
        for line in read_events(archive.session)
        if reading or not str(line.get("purpose", "")).startswith(READING)
    ]
    replies: list[dict[str, Any]] = [
        line for line in lines if ("reply" in line or "cost" in line) and not line.get("replayed")
    ]
    costs = [line.get("cost") for line in replies]
    tokens = sum(
        (line.get("prompt_tokens") or 0) + (line.get("completion_tokens") or 0) for line in replies
    )
    return None if None in costs else float(sum(filter(None, costs))), tokens

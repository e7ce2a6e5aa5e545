"""This record is queue.json: which ideas a command works on, and how each ended."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.util.errors import Fault
from agent.util.files import read_json
from agent.util.text import finite

FOLDER = "_queue"
STATE = "queue.json"
LOCK = ".lock"


@dataclass(frozen=True)
class QueueEntry:
    """An idea of a command."""

    title: str
    slug: str
    source: str
    key: str = ""  # the key of its experiment, once that is known
    code: int | None = None  # the exit code that its end stands for; None: not ended
    stopped_by: str = ""  # the reason where its code is not 0


@dataclass(frozen=True)
class QueueState:
    """The ideas of a command, in order."""

    began: float  # seconds since 1970
    entries: tuple[QueueEntry, ...]

    @property
    def position(self) -> int:
        """The position of the idea that is being worked on; their number if all have ended."""
        for number, entry in enumerate(self.entries):
            if entry.code is None:
                return number
        return len(self.entries)


def load_queue(folder: Path) -> QueueState:
    """Return the state of a command. Raises Fault("archive", ...) for a damaged one."""
    path = folder / STATE
    stored = read_json(path)
    try:
        entries = tuple(map(_entry, stored["ideas"]))
        began = finite(stored["began"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Fault("archive", f"{path}: not a queue of this version: {error}") from error
    if began is None:
        raise Fault("archive", f"{path}: says no time")
    return QueueState(began, entries)


def _entry(stored: dict[str, Any]) -> QueueEntry:
    fields: dict[str, Any] = {}
    for name, value in stored.items():
        fields[name] = str(value)
    code = stored.get("code")
    if "code" in stored:
        fields["code"] = None if code is None else int(code)
    return QueueEntry(**fields)

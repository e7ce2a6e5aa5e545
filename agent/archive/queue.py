"""TODO: docstring."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.util.errors import Fault
from agent.util.files import read_json
from agent.util.text import finite

FOLDER, STATE, LOCK = "_queue", "queue.json", ".lock"


@dataclass(frozen=True)
class QueueEntry:
    """One idea of a command."""

    title: str
    slug: str
    source: str
    key: str = ""  # of its experiment, once that is known
    code: int | None = None  # as an exit code; None: not ended
    stopped_by: str = ""  # where its code is not 0


@dataclass(frozen=True)
class QueueState:
    """The ideas of a command, in order."""

    began: float  # seconds since 1970
    entries: tuple[QueueEntry, ...]

    @property
    def position(self) -> int:
        """Of the idea that is being worked on; their number where all have ended."""
        return next(
            (number for number, entry in enumerate(self.entries) if entry.code is None),
            len(self.entries),
        )


def load_queue(folder: Path) -> QueueState:
    """Raises Fault("archive", ...) for a damaged one."""
    stored = read_json(folder / STATE)
    try:
        entries = tuple(
            QueueEntry(**{name: _known(name, value) for name, value in entry.items()})
            for entry in stored["ideas"]
        )
        began = finite(stored["began"])
    except (KeyError, TypeError, AttributeError) as error:
        raise Fault("archive", f"{folder / STATE}: not a queue of this version: {error}") from error
    if began is None:
        raise Fault("archive", f"{folder / STATE}: says no time")
    return QueueState(began, entries)


def _known(name: str, value: Any) -> Any:
    return (None if value is None else int(value)) if name == "code" else str(value)

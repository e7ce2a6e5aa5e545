"""What a command was given to do and how far it is, on disk for whoever looks. No decision reads it.

runs/_queue/<UTC stamp>/: queue.json, and a lock that the command holds for as long as it lives: where nobody holds it, the
command has ended, or was killed. A disk that does not take it stops nothing: what counts stands in the archives.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from agent.errors import Fault
from agent.files import new_stamped, read_json, write_json
from agent.idea import Idea
from agent.locks import locked
from agent.text import finite

FOLDER, STATE, LOCK = "_queue", "queue.json", ".lock"


@dataclass(frozen=True)
class Entry:
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
    entries: tuple[Entry, ...]

    @property
    def position(self) -> int:
        """Of the idea that is being worked on; their number where all have ended."""
        return next((number for number, entry in enumerate(self.entries) if entry.code is None), len(self.entries))


def load_queue(folder: Path) -> QueueState:
    """Raises Fault("archive", ...) for a damaged one."""
    stored = read_json(folder / STATE)
    try:
        entries = tuple(Entry(**{name: _known(name, value) for name, value in entry.items()}) for entry in stored["ideas"])
        began = finite(stored["began"])
    except (KeyError, TypeError, AttributeError) as error:
        raise Fault("archive", f"{folder / STATE}: not a queue of this version: {error}") from error
    if began is None:
        raise Fault("archive", f"{folder / STATE}: says no time")
    return QueueState(began, entries)


def _known(name: str, value: Any) -> Any:
    return (None if value is None else int(value)) if name == "code" else str(value)


class Recorder:
    """Writes the state of the command that runs."""

    def __init__(self, folder: Path | None, state: QueueState):
        self.folder, self._state = folder, state

    def note(self, number: int, **fields: Any) -> None:
        """Set these fields of the idea with this number."""
        entries = list(self._state.entries)
        entries[number] = replace(entries[number], **fields)
        self._state = replace(self._state, entries=tuple(entries))
        self.write()

    def write(self) -> None:
        if self.folder:
            try:
                write_json(self.folder / STATE, {"began": self._state.began, "ideas": [asdict(entry) for entry in self._state.entries]})
            except Fault:
                pass

    @property
    def of_nothing(self) -> bool:
        """Nothing could begin, for what the user gave."""
        return all(entry.code == 2 for entry in self._state.entries)


@contextmanager
def recorded(runs: Path, ideas: Sequence[Idea]) -> Iterator[Recorder]:
    """Keep the state of this command while inside."""
    state = QueueState(round(time.time(), 3), tuple(Entry(idea.title, idea.slug, str(idea.path)) for idea in ideas))
    parent, recorder = runs / FOLDER, Recorder(None, state)
    made = [path for path in (parent, *parent.parents) if not path.exists()]
    with ExitStack() as held:
        try:
            folder = new_stamped(parent)
            held.enter_context(locked(folder / LOCK))
            recorder = Recorder(folder, state)
        except Fault:
            pass  # whatever the disk has against it, the first archive meets too, and says
        recorder.write()
        yield recorder
        if recorder.of_nothing:  # it would only be in the way
            _remove(recorder.folder, made)


def _remove(folder: Path | None, made: list[Path]) -> None:
    """A command's folder, and those around it that were made for it."""
    if folder:
        shutil.rmtree(folder, ignore_errors=True)
    for parent in made:
        try:
            parent.rmdir()
        except OSError:
            return  # others use it

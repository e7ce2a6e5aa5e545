"""The record of a command: what it was given to do and how far it is, on disk for whoever looks.

runs/_queue/<UTC stamp>/: queue.json, and a lock that the command holds for as long as it lives:
where nobody holds it, the command has ended, or was killed. No decision reads it, and a disk that
does not take it stops nothing: what counts stands in the archives.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from agent.archive.queue import FOLDER, LOCK, STATE, QueueEntry, QueueState
from agent.experiment.idea import Idea
from agent.util.errors import Fault
from agent.util.files import write_json
from agent.util.locks import locked
from agent.util.stamped import new_stamped


class Recorder:
    """The writer of the state of the command that runs."""

    def __init__(self, folder: Path | None, state: QueueState):
        self.folder = folder  # None: the disk did not take it
        self._state = state

    def note(self, number: int, **fields: Any) -> None:
        """Set these fields of the idea with this number."""
        entries = list(self._state.entries)
        entries[number] = replace(entries[number], **fields)
        self._state = replace(self._state, entries=tuple(entries))
        self.write()

    def write(self) -> None:
        """Write the state; a disk that does not take it is passed over."""
        if self.folder is None:
            return
        content = {
            "began": self._state.began,
            "ideas": [asdict(entry) for entry in self._state.entries],
        }
        try:
            write_json(self.folder / STATE, content)
        except Fault:
            pass

    @property
    def nothing_began(self) -> bool:
        """No idea could begin, for what the user gave."""
        return all(entry.code == 2 for entry in self._state.entries)


@contextmanager
def recorded(runs: Path, ideas: Sequence[Idea]) -> Iterator[Recorder]:
    """Keep the state of this command while inside."""
    entries = []
    for idea in ideas:
        entries.append(QueueEntry(idea.title, idea.slug, source=str(idea.path)))
    now = round(time.time(), 3)
    state = QueueState(now, tuple(entries))
    recorder = Recorder(None, state)
    parent = runs / FOLDER
    new_folders = [path for path in (parent, *parent.parents) if not path.exists()]
    with ExitStack() as held:
        try:
            folder = new_stamped(parent)
            held.enter_context(locked(folder / LOCK))
            recorder = Recorder(folder, state)
        except Fault:
            pass  # whatever the disk has against it, the first archive meets too, and says
        recorder.write()
        yield recorder
        if recorder.nothing_began:  # it would only be in the way
            _remove(recorder.folder, new_folders)


def _remove(folder: Path | None, new_folders: list[Path]) -> None:
    """Remove a command's folder, and those around it that were made for it."""
    if folder:
        shutil.rmtree(folder, ignore_errors=True)
    for parent in new_folders:
        try:
            parent.rmdir()
        except OSError:
            return  # others use it

"""The attempts of an experiment as a diary and a write-up tell them: one line each."""

from __future__ import annotations

from dataclasses import dataclass

from agent.archive.gist import gist
from agent.archive.paths import Archive, RunFolder
from agent.archive.run import Run, load_run
from agent.util.files import read_untrusted_text
from agent.util.text import bounded_line

CHARACTERS = 160  # of what the coder or a program says in such a line


@dataclass(frozen=True)
class AttemptLine:
    """One attempt."""

    run: Run
    about: str  # the first line of what the coder said of it
    problem: str  # what went wrong, '' where nothing did

    @property
    def status(self) -> str:
        return self.run.status.value.replace("_", " ")


def tell(archive: Archive) -> list[AttemptLine]:
    """Every attempt in the order of making. Raises Fault("archive", ...) where one is damaged."""
    return [_tell(folder) for folder in archive.attempts()]


def _tell(folder: RunFolder) -> AttemptLine:
    run = load_run(folder)
    said = read_untrusted_text(folder.reply, 2**16).strip()
    return AttemptLine(
        run,
        bounded_line(_opening(said), CHARACTERS),
        "" if run.ok else bounded_line(gist(run.message), CHARACTERS),
    )


def _opening(said: str) -> str:
    """Its first paragraph; '' where it begins with code or with the name of a file."""
    first = said.split("\n\n")[0]
    return "" if "```" in first or "<<<<<<<" in first else first

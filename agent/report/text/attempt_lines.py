"""The attempts of an experiment as a diary and a write-up tell them: one line each."""

from __future__ import annotations

from dataclasses import dataclass

from agent.archive.gist import gist
from agent.archive.paths import Archive, RunFolder
from agent.archive.run import Run, load_run
from agent.util.files import read_untrusted_text
from agent.util.text import bounded_line

CHARACTERS = 160  # of what the coder or a program says in such a line
REPLY_BYTES = 2**16  # of a reply, whose first paragraph is looked for


@dataclass(frozen=True)
class AttemptLine:
    """The line of one attempt."""

    run: Run
    about: str  # the first line of what the coder said of it
    problem: str  # what went wrong, '' where nothing did

    @property
    def status(self) -> str:
        """Return how the attempt ended, in words."""
        return self.run.status.value.replace("_", " ")


def attempt_lines(archive: Archive) -> list[AttemptLine]:
    """Return a line for every attempt, in the order of making.

    Raises Fault("archive", ...) where one is damaged.
    """
    return [_line_of(folder) for folder in archive.attempts()]


def _line_of(folder: RunFolder) -> AttemptLine:
    run = load_run(folder)
    reply = read_untrusted_text(folder.reply, REPLY_BYTES).strip()
    about = bounded_line(_opening(reply), CHARACTERS)
    problem = ""
    if not run.ok:
        problem = bounded_line(gist(run.message), CHARACTERS)
    return AttemptLine(run, about, problem)


def _opening(reply: str) -> str:
    """Return the first paragraph; '' where it begins with code or with the name of a file."""
    paragraph = reply.split("\n\n")[0]
    if "```" in paragraph or "<<<<<<<" in paragraph:
        return ""
    return paragraph

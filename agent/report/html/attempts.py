"""One attempt as a page shows it: what was asked and answered, what the gate found, how it ended.

How the program changed is shown beside the attempt before, the run before, and the scaffold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from agent.archive.judgement import Judgement
from agent.archive.paths import Archive, RunFolder
from agent.archive.run import Run, RunStatus, load_run
from agent.report.html.excerpts import Excerpts
from agent.report.html.side_by_side import SideBySide, side_by_side
from agent.task.contract import MAIN, REQUIREMENTS
from agent.util.errors import Fault
from agent.util.files import read_events, read_json, read_untrusted_text

LOG_BYTES = 6_000
PROMPT_BYTES = 20_000
REPLY_BYTES = 40_000
ROW_BYTES = 120  # of one row of a side-by-side diff, besides its lines
MOST_ATTEMPTS = 200
MOST_CHECKS = 20  # the harness makes six
Part = TypeVar("Part")


@dataclass(frozen=True)
class Other:
    """Another version of the program, with which an attempt is compared."""

    folder: RunFolder
    title: str


@dataclass(frozen=True)
class Comparison:
    """One file of an attempt beside the same file of another."""

    title: str
    file: str
    sides: SideBySide | None  # None: the page is full
    open: bool = False  # the whole change of the run that the verdict is about is shown unasked


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt, complete as far as the archive is. Its texts are harmless, and bounded."""

    run: Run
    edit: dict[str, Any]
    checks: list[dict[str, Any]]
    facts: dict[str, Any]
    judgement: Judgement | None
    comparisons: list[Comparison]
    message: str
    prompt: str
    reply: str
    logs: list[tuple[str, str]]
    damage: tuple[str, ...] = ()


def load_attempts(archive: Archive, excerpts: Excerpts, chosen: str | None) -> list[Attempt]:
    """Return every attempt in the order in which it was made. One that is damaged says so.

    chosen: the name of the folder of the run that was confirmed. It comes first while the page has
    room, as the verdict is about it.
    """
    edits = []
    for event in read_events(archive.events):
        if event["event"] == "edit" and event["attempt"]:
            edits.append(event)
    folders = archive.attempts()
    previous = [archive.run(0), *folders]
    count = min(len(folders), len(edits))
    indices = list(range(count))
    indices.sort(key=lambda index: folders[index].folder.name != chosen)
    reader = AttemptReader(archive, excerpts, chosen)
    attempts = {}
    for index in indices[:MOST_ATTEMPTS]:
        attempts[index] = reader.read(
            folders[index],
            previous[index],
            edits[index],
        )
    return [attempts[index] for index in sorted(attempts)]


@dataclass(frozen=True)
class AttemptReader:
    """The reader of the attempts of one experiment."""

    archive: Archive
    excerpts: Excerpts
    chosen: str | None

    def read(self, folder: RunFolder, previous: RunFolder, edit: dict[str, Any]) -> Attempt:
        """Return an attempt, with its program beside that of the attempt before and of others."""
        damage: list[str] = []
        run = _try(damage, lambda: load_run(folder))
        if run is None:
            run = _lost(folder, edit)
        report = None
        if folder.gate.is_file():
            report = _try(damage, lambda: read_json(folder.gate))
        report = report or {}
        checks = report.get("checks") or []
        judgement = None
        if folder.judgement.is_file():
            judgement = _try(damage, lambda: _load_judgement(folder))
        others = self._others(previous, edit["number"])
        return Attempt(
            run=run,
            edit=edit,
            checks=checks[:MOST_CHECKS],
            facts=report.get("facts") or {},
            judgement=judgement,
            comparisons=self._comparisons(folder, others),
            message=self.excerpts.text(run.message),
            prompt=self.excerpts.head(folder.prompt, PROMPT_BYTES),
            reply=self.excerpts.head(folder.reply, REPLY_BYTES, code=True),
            logs=self._logs(folder),
            damage=tuple(damage),
        )

    def _others(self, previous: RunFolder, number: int) -> list[Other]:
        """Return what an attempt is compared with.

        This is the attempt before, for a repair is lost in the whole change, the run before, and
        the scaffold.
        """
        others = {}
        for folder in (previous, self.archive.run(number - 1)):
            name = folder.folder.name
            others[name] = Other(folder, f"against {name}")
        scaffold = self.archive.run(0)
        others[scaffold.folder.name] = Other(scaffold, "against the scaffold")
        return list(others.values())

    def _comparisons(self, folder: RunFolder, others: list[Other]) -> list[Comparison]:
        is_chosen = folder.folder.name == self.chosen
        comparisons = []
        for other in others:
            for name in (MAIN, REQUIREMENTS):
                old = read_untrusted_text(other.folder.code / name)
                new = read_untrusted_text(folder.code / name)
                if name != MAIN and old == new:
                    continue
                sides = side_by_side(old, new)
                fits = self.excerpts.spend(_size(sides))
                comparison = Comparison(
                    title=other.title,
                    file=name,
                    sides=sides if fits else None,
                    open=is_chosen and other is others[-1],
                )
                comparisons.append(comparison)
        return comparisons

    def _logs(self, folder: RunFolder) -> list[tuple[str, str]]:
        """Return the end of each log that is not empty, with the name of its file."""
        logs = []
        for path in (folder.stdout, folder.stderr):
            text = self.excerpts.tail(path, LOG_BYTES)
            if text:
                logs.append((path.name, text))
        return logs


def _try(damage: list[str], read: Callable[[], Part]) -> Part | None:
    """Return a part of an attempt; None where it is damaged, which is added to what is damaged."""
    try:
        return read()
    except Fault as fault:
        damage.append(fault.detail)
        return None


def _lost(folder: RunFolder, edit: dict[str, Any]) -> Run:
    """Return what the events say of an attempt whose result cannot be read."""
    return Run(
        number=edit["number"],
        status=RunStatus.NO_RESULT,
        folder=folder.folder.name,
        message="its result.json cannot be read",
    )


def _load_judgement(folder: RunFolder) -> Judgement:
    return Judgement.from_dict(read_json(folder.judgement))


def _size(sides: SideBySide) -> int:
    size = 0
    for row in sides.rows:
        size += ROW_BYTES + len(row.before) + len(row.after)
    return size

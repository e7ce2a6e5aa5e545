"""One attempt as a page shows it: what was asked and answered, what the gate found, how the program changed, how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agent.archive.judgement import Judgement
from agent.archive.paths import Archive, RunFolder
from agent.archive.run import Run, RunStatus, load_run
from agent.report.html.excerpts import Excerpts
from agent.report.html.side_by_side import SideBySide, side_by_side
from agent.task.contract import MAIN, REQUIREMENTS
from agent.util.errors import Fault
from agent.util.files import read_events, read_json, read_untrusted_text

LOG_BYTES, PROMPT_BYTES, REPLY_BYTES = 6_000, 20_000, 40_000
ROW_BYTES = 120  # of one row of a side-by-side diff, besides its lines
MOST_ATTEMPTS, MOST_CHECKS = 200, 20  # the harness makes six checks


@dataclass(frozen=True)
class Comparison:
    """One file of this attempt beside the same file of another."""

    title: str
    file: str
    sides: SideBySide | None  # None: the page is full
    open: bool = False  # shown without being asked for: the whole change of the run that the verdict is about


@dataclass(frozen=True)
class Attempt:
    """Complete as far as the archive is. Texts are harmless, and bounded."""

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
    """Every attempt in the order in which it was made. One that is damaged says so. chosen: the folder of the run that was confirmed."""
    edits = [
        event
        for event in read_events(archive.events)
        if event["event"] == "edit" and event["attempt"]
    ]
    folders = archive.attempts()
    pairs = list(zip(zip([archive.run(0), *folders], folders, strict=False), edits, strict=False))
    # The run that the verdict is about comes first while the page has room.
    order = sorted(range(len(pairs)), key=lambda index: folders[index].folder.name != chosen)
    loaded = {
        index: _load(archive, *pairs[index], excerpts, chosen) for index in order[:MOST_ATTEMPTS]
    }
    return [loaded[index] for index in sorted(loaded)]


def _load(
    archive: Archive,
    pair: tuple[RunFolder, RunFolder],
    edit: dict[str, Any],
    excerpts: Excerpts,
    chosen: str | None,
) -> Attempt:
    last, folder = pair
    damage = list[str]()

    def tried(read: Any, absent: Any) -> Any:
        try:
            return read()
        except Fault as fault:
            damage.append(fault.detail)
            return absent

    run: Run = tried(lambda: load_run(folder), None) or _lost(folder, edit)
    report = tried(lambda: read_json(folder.gate), {}) if folder.gate.is_file() else {}
    judgement = (
        tried(lambda: Judgement.from_dict(read_json(folder.judgement)), None)
        if folder.judgement.is_file()
        else None
    )
    return Attempt(
        run,
        edit,
        (report.get("checks") or [])[:MOST_CHECKS],
        report.get("facts") or {},
        judgement,
        _comparisons(
            folder, _others(archive, last, edit["number"]), excerpts, folder.folder.name == chosen
        ),
        excerpts.text(run.message),
        excerpts.head(folder.prompt, PROMPT_BYTES),
        excerpts.head(folder.reply, REPLY_BYTES, code=True),
        [
            (path.name, text)
            for path in (folder.stdout, folder.stderr)
            if (text := excerpts.tail(path, LOG_BYTES))
        ],
        tuple(damage),
    )


def _lost(folder: RunFolder, edit: dict[str, Any]) -> Run:
    """What the events say of an attempt whose result cannot be read."""
    return Run(
        edit["number"],
        RunStatus.NO_RESULT,
        folder.folder.name,
        message="its result.json cannot be read",
    )


def _others(archive: Archive, last: RunFolder, number: int) -> list[tuple[RunFolder, str]]:
    """What an attempt is compared with: the attempt before, for a repair is lost in the whole change; the run before; the scaffold."""
    before, scaffold = archive.run(number - 1), archive.run(0)
    found = {
        last.folder.name: (last, f"against {last.folder.name}"),
        before.folder.name: (before, f"against {before.folder.name}"),
    }
    return list((found | {scaffold.folder.name: (scaffold, "against the scaffold")}).values())


def _comparisons(
    folder: RunFolder, others: list[tuple[RunFolder, str]], excerpts: Excerpts, chosen: bool
) -> list[Comparison]:
    found = []
    for other, title in others:
        for name in (MAIN, REQUIREMENTS):
            old, new = (read_untrusted_text(one.code / name) for one in (other, folder))
            if name == MAIN or old != new:
                sides = side_by_side(old, new)
                fits = excerpts.spend(
                    sum(ROW_BYTES + len(row.before) + len(row.after) for row in sides.rows)
                )
                found.append(
                    Comparison(
                        title, name, sides if fits else None, chosen and other is others[-1][0]
                    )
                )
    return found

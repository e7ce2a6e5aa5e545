"""What is written for people while and after an experiment runs. Made from the archive; never a reason for a command to fail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from agent.archive.paths import Archive
from agent.archive.verdict import load_verdict
from agent.report.html.pages import outdated, write_page, write_queue_page
from agent.report.summary import MISSHAPEN, Summary, summarise
from agent.report.text.diary import DIARY, enter
from agent.report.text.write_up import write_up
from agent.util.errors import Fault
from agent.util.text import clean


def write_reports(archive: Archive, runs: Path) -> list[str]:
    """Diary and write-up where there is a verdict, and the pages. One line for each that could not be written."""
    one = summarise(archive)
    written = _write_texts(one, runs) if one.finished and not archive.write_up.exists() else ""
    paged = _attempt(archive.report.name, lambda: write_page(archive)) if outdated(archive) else ""
    return [problem for problem in (written, paged, write_overview(runs)) if problem]


def write_overview(runs: Path) -> str:
    """The page of all experiments; '' or what kept it from being written."""
    return _attempt(f"{runs / 'report.html'}", lambda: write_queue_page(runs))


def _write_texts(one: Summary, runs: Path) -> str:
    """The diary's entry, then report.md, which stands for both: where it is, nothing is written again.

    So a kill at any point is made good by the next command, and an entry that the user took out stays out.
    """
    verdict = load_verdict(one.archive)
    assert verdict
    name = one.archive.write_up.name
    return _attempt(DIARY, lambda: enter(runs, one, verdict)) or _attempt(
        name, lambda: write_up(one, verdict)
    )


def _attempt(name: str, write: Callable[[], object]) -> str:
    """What kept this from being written, or ''. Archives are edited by hand, and of other versions."""
    try:
        write()
    except Fault as fault:
        return clean(f"{name} was not written: {fault.detail}")
    except MISSHAPEN as error:
        return clean(
            f"{name} was not written: not an archive of this version: {type(error).__name__}: {error}"
        )
    return ""

"""Reports are written for people while and after an experiment runs.

They are made from the archive, and never a reason for a command to fail.
"""

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
    """Write the pages, and where there is a verdict the diary's entry and the write-up.

    Returns one line for each that could not be written.
    """
    summary = summarise(archive)
    problems = []
    if summary.finished and not archive.write_up.exists():
        problems.append(_write_texts(summary, runs))
    if outdated(archive):
        problems.append(_attempt(archive.report.name, lambda: write_page(archive)))
    problems.append(write_overview(runs))
    return [problem for problem in problems if problem]


def write_overview(runs: Path) -> str:
    """Write the page of all experiments. Returns '' or what kept it from being written."""
    return _attempt(f"{runs / 'report.html'}", lambda: write_queue_page(runs))


def _write_texts(summary: Summary, runs: Path) -> str:
    """Write the diary's entry, then report.md. Returns '' or what kept one from being written.

    report.md stands for both: where it is, nothing is written again. So a kill at any point is
    made good by the next command, and an entry that the user took out stays out.
    """
    verdict = load_verdict(summary.archive)
    assert verdict
    problem = _attempt(DIARY, lambda: enter(runs, summary, verdict))
    if problem:
        return problem
    return _attempt(summary.archive.write_up.name, lambda: write_up(summary, verdict))


def _attempt(name: str, write: Callable[[], object]) -> str:
    """Write something. Returns '' or what kept it from being written.

    Archives are edited by hand, and of other versions.
    """
    try:
        write()
    except Fault as fault:
        return clean(f"{name} was not written: {fault.detail}")
    except MISSHAPEN as error:
        return clean(
            f"{name} was not written: not an archive of this version: "
            f"{type(error).__name__}: {error}"
        )
    return ""

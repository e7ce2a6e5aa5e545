"""What is written for people when an experiment has its verdict. Made from the archive; never a reason for a command to fail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from agent.archive import Archive
from agent.errors import Fault
from agent.report.diary import DIARY, enter
from agent.report.summary import summarise
from agent.report.writeup import write_up
from agent.text import clean
from agent.verdict_file import load_verdict


def write_reports(archive: Archive, runs: Path) -> list[str]:
    """The diary's entry, then report.md, which stands for both: where it is, nothing is written again. One line for what could not be.

    So a kill at any point is made good by the next command, and an entry that the user took out stays out. Nothing without a verdict.
    """
    one = summarise(archive)
    if not one.finished or archive.write_up.exists():
        return []
    verdict = load_verdict(archive)
    assert verdict
    problem = _attempt(DIARY, lambda: enter(runs, one, verdict)) or _attempt(archive.write_up.name, lambda: write_up(one, verdict))
    return [problem] if problem else []


def _attempt(name: str, write: Callable[[], None]) -> str:
    """What kept this from being written, or ''. Archives are edited by hand, and of other versions."""
    try:
        write()
    except Fault as fault:
        return clean(f"{name} was not written: {fault.detail}")
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        return clean(f"{name} was not written: not an archive of this version: {type(error).__name__}: {error}")
    return ""

"""The event log of one experiment, and what it says about how far the experiment is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from agent.archive.run import RunStatus
from agent.util.files import read_events

Event = dict[str, Any]


@dataclass(frozen=True)
class EventLog:
    """The events.jsonl of one experiment, read anew for every question: it is the state."""

    path: Path

    def named(self, *names: str) -> list[Event]:
        """Return the events with one of these names, in order."""
        events = read_events(self.path)
        return [event for event in events if event["event"] in names]

    def successes(self) -> list[Event]:
        """Return the attempts that gave a run."""
        return [event for event in self.named("attempt") if _succeeded(event)]

    def run_number(self) -> int:
        """Return the number of the run that is being worked on."""
        return len(self.successes()) + 1

    def failures_in_a_row(self) -> int:
        """Count the failed attempts since the last run."""
        attempts = self.named("attempt")
        return _count_last(attempts, lambda attempt: not _succeeded(attempt))

    def idle_replies_in_a_row(self) -> int:
        """Count the last replies that changed nothing."""
        attempts = self.named("attempt")
        return _count_last(attempts, lambda attempt: attempt["status"] == RunStatus.NO_EDIT)

    def open_edit(self) -> Event | None:
        """Return the edit of an earlier process whose attempt was not finished."""
        steps = self.named("edit", "attempt")
        if not steps or steps[-1]["event"] != "edit":
            return None
        edit = steps[-1]
        return edit if edit["attempt"] else None


def _succeeded(attempt: Event) -> bool:
    return bool(attempt["status"] == RunStatus.SUCCESS)


def _count_last(attempts: list[Event], test: Callable[[Event], bool]) -> int:
    """Count how many attempts at the end pass the test."""
    return len(list(takewhile(test, reversed(attempts))))

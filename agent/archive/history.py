"""The history of an experiment is read from its events: when it was worked on, what ended it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agent.util.text import finite


@dataclass(frozen=True)
class History:
    """The begin and the end of an experiment, and how long it was worked on."""

    stopped: str | None  # a StopReason
    began: float | None  # seconds since 1970
    ended: float | None
    # From the begin of each command to its last event: the time between commands does not count.
    seconds: float

    @classmethod
    def of(cls, events: list[dict[str, Any]]) -> History:
        """Return the history that these events tell."""
        reasons = [event["reason"] for event in events if event["event"] == "stopped"]
        timed = [event for event in events if finite(event.get("time")) is not None]
        times = [event["time"] for event in timed]
        return cls(
            stopped=reasons[-1] if reasons else None,
            began=times[0] if times else None,
            ended=times[-1] if times else None,
            seconds=sum(map(_duration, _sittings(timed))),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the history as plain values, for tables and programs."""
        return {
            "stopped": self.stopped,
            "began": self.began,
            "ended": self.ended,
            "seconds": round(self.seconds, 1),
        }


def _sittings(events: list[dict[str, Any]]) -> list[list[float]]:
    """Return the times of the events of each command."""
    sittings = list[list[float]]()
    for event in events:
        if event["event"] == "sitting" or not sittings:
            sittings.append([])
        sittings[-1].append(event["time"])
    return sittings


def _duration(sitting: list[float]) -> float:
    # A clock that was set back must not make a command take less than nothing.
    return max(0.0, sitting[-1] - sitting[0])

"""When an experiment was worked on, and what ended it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agent.util.text import finite


@dataclass(frozen=True)
class History:
    """Of one experiment, from its events."""

    stopped: str | None  # a StopReason
    began: float | None  # seconds since 1970
    ended: float | None
    seconds: float  # from the begin of each command to its last event: the time between commands is not counted

    @classmethod
    def of(cls, events: list[dict[str, Any]]) -> History:
        reasons = [event["reason"] for event in events if event["event"] == "stopped"]
        known = [event for event in events if finite(event.get("time")) is not None]
        times, sittings = [event["time"] for event in known], list[list[float]]()
        for event in known:
            if event["event"] == "sitting" or not sittings:
                sittings.append([])
            sittings[-1].append(event["time"])
        # A clock that was set back must not make a command take less than nothing.
        seconds = sum(max(0.0, sitting[-1] - sitting[0]) for sitting in sittings)
        return cls(
            reasons[-1] if reasons else None,
            times[0] if times else None,
            times[-1] if times else None,
            seconds,
        )

    def as_dict(self) -> dict[str, Any]:
        return {
            "stopped": self.stopped,
            "began": self.began,
            "ended": self.ended,
            "seconds": round(self.seconds, 1),
        }

"""Make texts and times fit for a line of watch."""

from __future__ import annotations

import time

from agent.util.text import clean

LONGEST = 160  # characters of a text that a program, a model or a user wrote


def short_line(text: object, longest: int = LONGEST) -> str:
    """Return a text without control codes and line ends, and bounded."""
    line = " ".join(clean(str(text)).split())
    return line if len(line) <= longest else line[: longest - 3] + "..."


def state_words(state: str) -> str:
    """Return the state of an experiment in words."""
    return state.replace("_", " ")


def clock(seconds: float | None) -> str:
    """Return a local time; with the date where it was not today."""
    try:
        then = time.localtime(seconds or 0.0)
        today = time.localtime()
    except (ValueError, OverflowError, OSError):
        return "?"
    form = "%H:%M" if then[:3] == today[:3] else "%Y-%m-%d %H:%M"
    return time.strftime(form, then)

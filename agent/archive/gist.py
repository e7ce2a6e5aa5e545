"""A long message about a failed attempt is cut down here to the line that tables show."""

from __future__ import annotations

LAST_LINES = "Its last lines:"  # how the first line of a message ends if a program's output follows
TRACEBACK = "Traceback (most recent call last):"


def gist(message: str) -> str:
    """Return in a line what a coder was told of a failure.

    That is where it happened, and the exception, the last words or the first finding.
    """
    stripped = (line.strip("- ") for line in message.split("\n"))
    lines = [line for line in stripped if line]
    if not lines:
        return ""
    first = lines[0]
    last = lines[-1]
    if TRACEBACK in lines:
        return last if first == TRACEBACK else f"{first} {last}"
    if len(lines) == 1 or not first.endswith(":"):
        return first
    detail = last if first.endswith(LAST_LINES) else lines[1]
    return f"{first} {detail}"

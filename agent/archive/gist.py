"""Of the message about a failed attempt, tables and verdicts show a line, which is found here."""

from __future__ import annotations

LAST_LINES = "Its last lines:"  # how the first line of a message ends if a program's output follows
TRACEBACK = "Traceback (most recent call last):"


def gist(message: str) -> str:
    """Return in a line what a coder was told of a failure.

    That is where it happened, and the exception, the last words or the first finding.
    """
    stripped = (line.strip("- ") for line in message.split("\n"))
    lines = [line for line in stripped if line]
    if TRACEBACK in lines:
        return lines[-1] if lines[0] == TRACEBACK else f"{lines[0]} {lines[-1]}"
    if len(lines) < 2 or not lines[0].endswith(":"):
        return lines[0] if lines else ""
    detail = lines[-1] if lines[0].endswith(LAST_LINES) else lines[1]
    return f"{lines[0]} {detail}"

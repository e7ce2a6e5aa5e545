"""TODO: docstring."""

from __future__ import annotations

_LAST = "Its last lines:"

_START = "Traceback (most recent call last):"


def gist(message: str) -> str:
    """One line of what a coder was told of a failure: where, and the exception, the last words or the first finding."""
    lines = [line.strip("- ") for line in message.split("\n") if line.strip("- ")]
    if _START in lines:
        return " ".join([*lines[: lines.index(_START)][:1], lines[-1]])
    if lines and lines[0].endswith(":"):
        return " ".join(
            [lines[0], lines[-1] if lines[0].endswith(_LAST) else lines[1]]
            if len(lines) > 1
            else lines
        )
    return lines[0] if lines else ""

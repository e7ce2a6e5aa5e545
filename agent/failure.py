"""What a failed run printed -> the few lines that explain it. Its output is untrusted text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from agent.text import bound, clean
from agent.workspace import MAIN

if TYPE_CHECKING:
    from agent.runner import Execution

_FRAME = re.compile(r'  File "(?P<path>[^"]*)", line (?P<line>\d+)(, in (?P<where>.*))?')
_LAST = "Its last lines:"
_START = "Traceback (most recent call last):"


def explain(execution: Execution, stdout: str, stderr: str) -> str:
    """The exception and the frames of main.py; else how it ended and its last lines. Bounded."""
    if execution.limit:
        return f"{execution.stopped} {_LAST}\n{_last(stdout, stderr)}"
    if _START in (errors := clean(stderr)):
        return bound(_own_frames(errors[errors.rindex(_START) :]))
    if execution.exit_code < 0:
        return f"It was killed by signal {-execution.exit_code}. {_LAST}\n{_last(stdout, stderr)}"
    return f"It ended with exit code {execution.exit_code}. {_LAST}\n{_last(stdout, stderr)}"


def gist(message: str) -> str:
    """One line of what a coder was told of a failure: where, and the exception, the last words or the first finding."""
    lines = [line.strip("- ") for line in message.split("\n") if line.strip("- ")]
    if _START in lines:
        return " ".join([*lines[: lines.index(_START)][:1], lines[-1]])
    if lines and lines[0].endswith(":"):
        return " ".join([lines[0], lines[-1] if lines[0].endswith(_LAST) else lines[1]] if len(lines) > 1 else lines)
    return lines[0] if lines else ""


def _own_frames(traceback: str) -> str:
    """The traceback with only the frames of main.py: those of libraries and of protocol.py tell the coder nothing it can edit."""
    kept, own = list[str](), True
    for line in traceback.split("\n"):
        if match := _FRAME.match(line):
            path = match["path"]
            installed = "/site-packages/" in path or "/lib/python" in path  # also where the whole disk lies under /work
            own = path.rsplit("/", 1)[-1] == MAIN and not installed
            if own:
                line = f'  File "{MAIN}", line {match["line"]}' + (match[3] or "")
        elif not line.startswith("    "):
            own = True
        if own:
            kept.append(line)
    return "\n".join(kept)


def _last(stdout: str, stderr: str, count: int = 12) -> str:
    lines = [line for line in clean(f"{stdout}\n{stderr}").split("\n") if line.strip()]
    return bound("\n".join(lines[-count:])) or "(it printed nothing)"

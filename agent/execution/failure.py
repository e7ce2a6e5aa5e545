"""What a failed run printed -> the few lines that explain it. Its output is untrusted text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from agent.archive.gist import LAST_LINES, TRACEBACK
from agent.task.contract import MAIN
from agent.util.text import bound, clean

if TYPE_CHECKING:
    from agent.execution.request import Execution


_FRAME = re.compile(r'  File "(?P<path>[^"]*)", line (?P<line>\d+)(, in (?P<where>.*))?')


def explain(execution: Execution, stdout: str, stderr: str) -> str:
    """The exception and the frames of main.py; else how it ended and its last lines. Bounded."""
    if execution.limit:
        return f"{execution.stopped} {LAST_LINES}\n{_last(stdout, stderr)}"
    if TRACEBACK in (errors := clean(stderr)):
        return bound(_own_frames(errors[errors.rindex(TRACEBACK) :]))
    if execution.exit_code < 0:
        return (
            f"It was killed by signal {-execution.exit_code}. {LAST_LINES}\n{_last(stdout, stderr)}"
        )
    return f"It ended with exit code {execution.exit_code}. {LAST_LINES}\n{_last(stdout, stderr)}"


def _own_frames(traceback: str) -> str:
    """The traceback with only the frames of main.py: those of libraries and of protocol.py tell the coder nothing it can edit."""
    kept, own = list[str](), True
    for line in traceback.split("\n"):
        if match := _FRAME.match(line):
            path = match["path"]
            installed = (
                "/site-packages/" in path or "/lib/python" in path
            )  # also where the whole disk lies under /work
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

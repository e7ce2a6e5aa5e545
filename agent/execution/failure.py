"""The few lines that explain a failed run, out of what it printed: untrusted text."""

from __future__ import annotations

import re

from agent.archive.gist import LAST_LINES, TRACEBACK
from agent.execution.request import Execution
from agent.task.contract import MAIN
from agent.util.text import bound, clean

SHOWN_LINES = 12

_FRAME = re.compile(r'  File "(?P<path>[^"]*)", line (?P<line>\d+)(, in (?P<where>.*))?')


def explain(execution: Execution, stdout: str, stderr: str) -> str:
    """Return the exception and the frames of main.py; else how it ended and its last lines.

    Bounded, and without control codes and secrets.
    """
    errors = clean(stderr)
    if TRACEBACK in errors and not execution.limit:
        return bound(_own_frames(errors[errors.rindex(TRACEBACK) :]))
    return f"{_end(execution)} {LAST_LINES}\n{_last_lines(stdout, stderr)}"


def _end(execution: Execution) -> str:
    if execution.limit:
        return execution.stopped
    if execution.exit_code < 0:
        return f"It was killed by signal {-execution.exit_code}."
    return f"It ended with exit code {execution.exit_code}."


def _own_frames(traceback: str) -> str:
    """Return the traceback with only the frames of main.py.

    Those of libraries and of protocol.py tell the coder nothing that it can edit.
    """
    kept: list[str] = []
    own = True
    for line in traceback.split("\n"):
        frame = _FRAME.match(line)
        if frame:
            own = _is_main(frame["path"])
            line = f'  File "{MAIN}", line {frame["line"]}' + (frame[3] or "")
        elif not line.startswith("    "):
            own = True
        if own:
            kept.append(line)
    return "\n".join(kept)


def _is_main(path: str) -> bool:
    """Tell whether a frame's file is the program's own."""
    # Looked for anywhere in the path: the whole disk may lie under /work.
    installed = "/site-packages/" in path or "/lib/python" in path
    return path.rsplit("/", 1)[-1] == MAIN and not installed


def _last_lines(stdout: str, stderr: str) -> str:
    lines = [line for line in clean(f"{stdout}\n{stderr}").split("\n") if line.strip()]
    return bound("\n".join(lines[-SHOWN_LINES:])) or "(it printed nothing)"

"""What a failed run printed -> the few lines that explain it. Its output is untrusted text."""

from __future__ import annotations

import re

from agent.runner import Execution
from agent.secrets import redact

MAX_LINES, MAX_CHARACTERS = 40, 4000
_TERMINAL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(\x07|\x1b\\)?|\x1b[@-_]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]")
_FRAME = re.compile(r'  File "(?P<path>[^"]*)", line (?P<line>\d+)(, in (?P<where>.*))?')
_START = "Traceback (most recent call last):"


def clean(text: str) -> str:
    """Without control codes; of a line that was overwritten (a progress bar) only what stood there last."""
    lines = [line.rstrip("\r").rsplit("\r", 1)[-1] for line in _TERMINAL.sub("", text).split("\n")]
    return redact(_CONTROL.sub("", "\n".join(lines)))


def explain(execution: Execution, stdout: str, stderr: str, timeout: float) -> str:
    """The exception and the frames of the program's own files; else how it ended and its last lines. Bounded."""
    if execution.timed_out:
        return f"It ran longer than {timeout:g} s and was stopped. Its last lines:\n{_last(stdout, stderr)}"
    if _START in (errors := clean(stderr)):
        return bound(_own_frames(errors[errors.rindex(_START) :]))
    if execution.exit_code < 0:
        return f"It was killed by signal {-execution.exit_code}. Its last lines:\n{_last(stdout, stderr)}"
    return f"It ended with exit code {execution.exit_code}. Its last lines:\n{_last(stdout, stderr)}"


def bound(text: str, lines: int = MAX_LINES, characters: int = MAX_CHARACTERS) -> str:
    """At most so much, from both ends; what is left out is said."""
    rows = text.strip("\n").split("\n")
    if len(rows) > lines:
        half = lines // 2
        rows = [*rows[:half], f"[... {len(rows) - 2 * half} lines left out ...]", *rows[-half:]]
    text = "\n".join(rows)
    if len(text) > characters:
        half = characters // 2
        text = f"{text[:half]}\n[... {len(text) - 2 * half} characters left out ...]\n{text[-half:]}"
    return text


def fence(text: str) -> str:
    """text between backticks that it cannot close itself."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}\n{text}\n{ticks}"


def _own_frames(traceback: str) -> str:
    """The traceback with only the frames of the run's own files: library frames tell the coder nothing it can edit."""
    kept, own = list[str](), True
    for line in traceback.split("\n"):
        if match := _FRAME.match(line):
            own = "/work/" in match["path"] or "/gate/" in match["path"] or "/" not in match["path"]
            if own:
                name = match["path"].rsplit("/", 1)[-1]
                line = f'  File "{name}", line {match["line"]}' + (match[3] or "")
        elif not line.startswith("    "):
            own = True
        if own:
            kept.append(line)
    return "\n".join(kept)


def _last(stdout: str, stderr: str, count: int = 12) -> str:
    lines = [line for line in clean(f"{stdout}\n{stderr}").split("\n") if line.strip()]
    return bound("\n".join(lines[-count:])) or "(it printed nothing)"

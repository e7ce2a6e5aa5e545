"""Untrusted text is made fit for a terminal, a prompt or an archive: it holds what it shows."""

from __future__ import annotations

import math
import re
from typing import Any

from agent.util.secrets import redact

MAX_LINES = 40
MAX_CHARACTERS = 4000
LINE_CHARACTERS = 300

# An operating-system command must end on its own line: else one stray byte would swallow all that
# follows it.
_TERMINAL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\\\)")

# Also what has no width, turns the direction of what follows, or ends a line for some readers only.
_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    r"\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def clean(text: str, hidden: list[str] | None = None) -> str:
    """Return text without control codes and secrets.

    Of a line that was overwritten (a progress bar) only what stood there last is kept.
    hidden: the secret values, for a caller that looks them up once for many texts.
    """
    if text.isascii() and text.isprintable():
        return redact(text, hidden)
    lines = _TERMINAL.sub("", text).split("\n")
    shown = "\n".join(map(_last_state, lines))
    return redact(_CONTROL.sub("", shown), hidden)


def _last_state(line: str) -> str:
    return line.rstrip("\r").rsplit("\r", 1)[-1]


def visible(text: str) -> str:
    """Return text with its control characters written out: in a diff nothing may be hidden."""
    return redact(_CONTROL.sub(_escaped, text))


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def finite(value: Any) -> float | None:
    """Return value as a finite float; None for anything else, too large integers included."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def bound(text: str, lines: int = MAX_LINES, characters: int = MAX_CHARACTERS) -> str:
    """Return at most so much of a text, from both ends, with a note of what is left out."""
    rows = text.strip("\n").split("\n")
    if len(rows) > lines:
        half = lines // 2
        note = f"[... {len(rows) - 2 * half} lines left out ...]"
        rows = [*rows[:half], note, *rows[-half:]]
    text = "\n".join(rows)
    if len(text) > characters:
        half = characters // 2
        note = f"[... {len(text) - 2 * half} characters left out ...]"
        text = f"{text[:half]}\n{note}\n{text[-half:]}"
    return text


def fence(text: str) -> str:
    """Return text between backticks that it cannot close itself."""
    runs = re.findall(r"`+", text)
    longest = max(map(len, runs), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}\n{text}\n{ticks}"


def one_line(text: str) -> str:
    """Return text with every run of white space as one space."""
    return " ".join(text.split())


def bounded_line(text: str, most: int = LINE_CHARACTERS) -> str:
    """Return untrusted text as one line of bounded length."""
    line = one_line(clean(text))
    return line if len(line) <= most else line[: most - 1] + "…"

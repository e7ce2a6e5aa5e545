"""Untrusted text made fit for a terminal, a prompt or an archive: what it shows is all that it holds."""

from __future__ import annotations

import math
import re
from typing import Any

from agent.util.secrets import redact

MAX_LINES, MAX_CHARACTERS = 40, 4000

# An operating-system command must end on its own line: else one stray byte would swallow all that follows it.
_TERMINAL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\\\)")

# Also what has no width, turns the direction of what follows, or ends a line for some readers only.
_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    r"\U000e0000-\U000e007f]"
)


def clean(text: str, hidden: list[str] | None = None) -> str:
    """Without control codes; of a line that was overwritten (a progress bar) only what stood there last.

    hidden: the secret values, for who cleans many texts and looks them up once.
    """
    if text.isascii() and text.isprintable():
        return redact(text, hidden)
    lines = [line.rstrip("\r").rsplit("\r", 1)[-1] for line in _TERMINAL.sub("", text).split("\n")]
    return redact(_CONTROL.sub("", "\n".join(lines)), hidden)


def visible(text: str) -> str:
    """text with its control characters written out: for a diff, in which nothing may be hidden."""
    return redact(_CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text))


def finite(value: Any) -> float | None:
    """value as a finite float; None for anything else, numbers too large for a float included."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def bound(text: str, lines: int = MAX_LINES, characters: int = MAX_CHARACTERS) -> str:
    """At most so much, from both ends; what is left out is said."""
    rows = text.strip("\n").split("\n")
    if len(rows) > lines:
        half = lines // 2
        rows = [*rows[:half], f"[... {len(rows) - 2 * half} lines left out ...]", *rows[-half:]]
    text = "\n".join(rows)
    if len(text) > characters:
        half = characters // 2
        text = (
            f"{text[:half]}\n[... {len(text) - 2 * half} characters left out ...]\n{text[-half:]}"
        )
    return text


def fence(text: str) -> str:
    """text between backticks that it cannot close itself."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}\n{text}\n{ticks}"


LINE_CHARACTERS = 300


def one_line(text: str) -> str:
    """Every run of white space as one space."""
    return " ".join(text.split())


def bounded_line(text: str, most: int = LINE_CHARACTERS) -> str:
    """Untrusted text as one line of bounded length."""
    line = one_line(clean(text))
    return line if len(line) <= most else line[: most - 1] + "…"

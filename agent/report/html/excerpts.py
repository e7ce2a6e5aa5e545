"""Untrusted texts on a page: made harmless, and cut to a size.

What was left out is said with the place where it lies.
"""

from __future__ import annotations

from pathlib import Path

from agent.util.files import read_untrusted
from agent.util.text import clean, visible

MAX_COLUMNS = 2000  # of one line
PAGE_BYTES = 1_500_000  # of all texts of a page, so that it can be mailed


class Excerpts:
    """The texts of one page, given out until it is full; then it is said where the rest lies."""

    def __init__(self, root: Path, most: int = PAGE_BYTES):
        self.root = root
        self.left = most  # bytes

    def head(self, path: Path, most: int, *, code: bool = False) -> str:
        """Return the beginning of a file, '' where there is none.

        In code, control characters are written out, not taken out.
        """
        data = read_untrusted(path, most + 1)
        if data is None:
            return ""
        text = data[:most].decode("utf-8", "replace")
        is_cut = len(data) > most
        return self.text(text, code=code, cut=is_cut, place=path)

    def tail(self, path: Path, most: int) -> str:
        """Return the end of a log, without the half of a line that it may begin with."""
        data = read_untrusted(path) or b""
        text = data[-most:].decode("utf-8", "replace")
        is_cut = len(data) > most
        if is_cut and "\n" in text:
            _, _, text = text.partition("\n")
        return self.text(text, cut=is_cut, place=path, end=True)

    def text(
        self,
        text: str,
        *,
        code: bool = False,
        cut: bool = False,
        place: Path | None = None,
        end: bool = False,
    ) -> str:
        """Return a text as a page may show it, while the page has room for it.

        code: Control characters are written out, not taken out.
        cut: The text is a part of a longer one, which lies in place.
        end: It is the end of that one, not its beginning.
        """
        harmless = visible(text) if code else clean(text)
        shown = "\n".join(_narrow(line) for line in harmless.split("\n"))
        if not self.spend(len(shown.encode("utf-8", "replace"))):
            return f"[left out, for the page would grow too long: {self._name(place)}]"
        if not cut:
            return shown
        note = f"[... the whole text lies in {self._name(place)}]"
        if end:
            return f"{note}\n{shown}"
        return f"{shown}\n{note}"

    def spend(self, size: int) -> bool:
        """Return True where a part of this many bytes still fits, and count it."""
        if size > self.left:
            return False
        self.left -= size
        return True

    def _name(self, place: Path | None) -> str:
        if place is None:
            return "the archive"
        return str(place.relative_to(self.root))


def _narrow(line: str) -> str:
    if len(line) <= MAX_COLUMNS:
        return line
    return f"{line[:MAX_COLUMNS]} [... {len(line) - MAX_COLUMNS:,} characters]"

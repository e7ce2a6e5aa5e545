"""Untrusted texts on a page: made harmless, cut to a size, and what was left out is said with the place where it lies."""

from __future__ import annotations

from pathlib import Path

from agent.util.files import read_untrusted
from agent.util.text import clean, visible

MAX_COLUMNS = 2000  # of one line
PAGE_BYTES = 1_500_000  # of all texts of a page, so that it can be mailed


class Excerpts:
    """Gives out texts until the page is full; then says where the rest lies."""

    def __init__(self, root: Path, most: int = PAGE_BYTES):
        self.root, self.left = root, most

    def head(self, path: Path, most: int, *, code: bool = False) -> str:
        """The beginning of a file, '' where there is none. code: with its control characters written out, not taken out."""
        data = read_untrusted(path, most + 1)
        if data is None:
            return ""
        return self.text(
            data[:most].decode("utf-8", "replace"), code=code, cut=len(data) > most, place=path
        )

    def tail(self, path: Path, most: int) -> str:
        """The end of a log, without the halves of a line and of a character it may begin with."""
        data = read_untrusted(path) or b""
        text = data[-most:].decode("utf-8", "replace")
        if len(data) > most and "\n" in text:
            text = text.partition("\n")[2]
        return self.text(text, cut=len(data) > most, place=path, end=True)

    def text(
        self,
        text: str,
        *,
        code: bool = False,
        cut: bool = False,
        place: Path | None = None,
        end: bool = False,
    ) -> str:
        lines = (visible if code else clean)(text).split("\n")
        shown = "\n".join(_narrow(line) for line in lines)
        if (size := len(shown.encode("utf-8", "replace"))) > self.left:
            return f"[left out, for the page would grow too long: {self._name(place)}]"
        self.left -= size
        note = f"[... the whole text lies in {self._name(place)}]"
        return f"{note}\n{shown}" if cut and end else f"{shown}\n{note}" if cut else shown

    def spend(self, size: int) -> bool:
        """Whether a part of this many bytes still fits; then it is counted."""
        if size > self.left:
            return False
        self.left -= size
        return True

    def _name(self, place: Path | None) -> str:
        return str(place.relative_to(self.root)) if place else "the archive"


def _narrow(line: str) -> str:
    return (
        line
        if len(line) <= MAX_COLUMNS
        else f"{line[:MAX_COLUMNS]} [... {len(line) - MAX_COLUMNS:,} characters]"
    )

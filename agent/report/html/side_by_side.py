"""Two versions of a program beside each other, for pages: which lines went, and which came.

Each line is highlighted. Lines are compared as they are; control characters are written out first,
so that nothing in a line can hide. Not covered: moved lines are shown as gone and come; words
within a changed line are not marked.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest

from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from agent.util.text import visible

CONTEXT = 3  # equal lines around a change
MAX_LINES = 4000  # of one version
MAX_COLUMNS = 400  # of one line
KINDS = {"equal": "equal", "replace": "changed", "delete": "removed", "insert": "added"}
Line = tuple[int | None, Markup]  # its number and its text
NO_LINE: Line = (None, Markup(""))


@dataclass(frozen=True)
class DiffRow:
    """One line of both versions. A number is None where that version has no such line."""

    kind: str  # equal, changed, removed, added, or gap: lines that are equal and left out
    left: int | None
    before: Markup
    right: int | None
    after: Markup


@dataclass(frozen=True)
class SideBySide:
    """The rows of a comparison, and how many lines were added and removed."""

    rows: list[DiffRow]
    added: int
    removed: int
    cut: str = ""  # which part of the versions was not compared


def side_by_side(before: str, after: str) -> SideBySide:
    """Return the changes with CONTEXT lines around each; no row where both are the same."""
    left = _lines(before)
    right = _lines(after)
    cut = ""
    if max(len(left), len(right)) > MAX_LINES:
        cut = f"only the first {MAX_LINES:,} lines were compared"
        left = left[:MAX_LINES]
        right = right[:MAX_LINES]
    shown_left = _highlighted(left)
    shown_right = _highlighted(right)
    rows: list[DiffRow] = []
    added = 0
    removed = 0
    shown_up_to = 0  # lines of the new version
    for group in SequenceMatcher(None, left, right).get_grouped_opcodes(CONTEXT):
        start = group[0][3]
        if start > shown_up_to:
            rows.append(_gap(start - shown_up_to))
        for tag, left_start, left_end, right_start, right_end in group:
            gone = shown_left[left_start:left_end]
            come = shown_right[right_start:right_end]
            rows += _rows(tag, gone, come)
            if tag != "equal":
                added += len(come)
                removed += len(gone)
        shown_up_to = group[-1][4]
    return SideBySide(rows, added, removed, cut)


def _lines(text: str) -> list[str]:
    lines = visible(text.replace("\t", "    ")).split("\n")
    if lines[-1] == "":
        lines.pop()
    return [_narrow(line) for line in lines]


def _narrow(line: str) -> str:
    if len(line) <= MAX_COLUMNS:
        return line
    return f"{line[:MAX_COLUMNS]} [... {len(line) - MAX_COLUMNS:,} characters]"


def _highlighted(lines: list[str]) -> list[Line]:
    """Return each line as HTML of its own, with its number.

    Pygments escapes the text, and closes at the end of a line what is open.
    """
    if not lines:
        return []
    formatter = HtmlFormatter(nowrap=True, classprefix="t-")
    html = highlight("\n".join(lines), PythonLexer(stripnl=False), formatter)
    shown = html.split("\n")[: len(lines)]
    assert len(shown) == len(lines)
    return [(number, Markup(line)) for number, line in enumerate(shown, 1)]


def _gap(skipped: int) -> DiffRow:
    lines = "line" if skipped == 1 else "lines"
    return DiffRow(
        kind="gap",
        left=None,
        before=Markup(""),
        right=None,
        after=Markup(f"{skipped} equal {lines}"),
    )


def _rows(tag: str, left: list[Line], right: list[Line]) -> list[DiffRow]:
    rows = []
    for (old, before), (new, after) in zip_longest(left, right, fillvalue=NO_LINE):
        kind = KINDS[tag]
        if old is None:
            kind = "added"
        elif new is None:
            kind = "removed"
        row = DiffRow(
            kind=kind,
            left=old,
            before=before,
            right=new,
            after=after,
        )
        rows.append(row)
    return rows

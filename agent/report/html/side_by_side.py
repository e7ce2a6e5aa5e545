"""Two versions of a program beside each other: which lines went, which came, each highlighted. For pages.

Lines are compared as they are; control characters are written out first, so that nothing in a line can hide.
Not covered: moved lines are shown as gone and come; words within a changed line are not marked.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher

from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from agent.util.text import visible

CONTEXT = 3  # equal lines around a change
MAX_LINES = 4000  # of one version
MAX_COLUMNS = 400  # of one line


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
    rows: list[DiffRow]
    added: int
    removed: int
    cut: str = ""  # what of the versions was not compared


def side_by_side(before: str, after: str) -> SideBySide:
    """The changes with CONTEXT lines around each; no row where both are the same."""
    left, right = _lines(before), _lines(after)
    cut = (
        f"only the first {MAX_LINES:,} lines were compared"
        if max(len(left), len(right)) > MAX_LINES
        else ""
    )
    left, right = left[:MAX_LINES], right[:MAX_LINES]
    matcher = SequenceMatcher(None, left, right)
    shown_left, shown_right = _highlighted(left), _highlighted(right)
    rows: list[DiffRow] = []
    added = removed = end = 0
    for group in matcher.get_grouped_opcodes(CONTEXT):
        if skipped := group[0][3] - end:
            rows.append(
                DiffRow(
                    "gap",
                    None,
                    Markup(""),
                    None,
                    Markup(f"{skipped} equal line{'s' if skipped > 1 else ''}"),
                )
            )
        for tag, i1, i2, j1, j2 in group:
            rows += _rows(
                tag, list(enumerate(shown_left, 1))[i1:i2], list(enumerate(shown_right, 1))[j1:j2]
            )
            added, removed = (
                added + (j2 - j1) * (tag != "equal"),
                removed + (i2 - i1) * (tag != "equal"),
            )
        end = group[-1][4]
    return SideBySide(rows, added, removed, cut)


def _lines(text: str) -> list[str]:
    lines = visible(text.replace("\t", "    ")).split("\n")
    if lines[-1] == "":
        lines.pop()
    return [
        line
        if len(line) <= MAX_COLUMNS
        else f"{line[:MAX_COLUMNS]} [... {len(line) - MAX_COLUMNS:,} characters]"
        for line in lines
    ]


def _highlighted(lines: list[str]) -> list[Markup]:
    """Each line as HTML of its own: Pygments escapes the text, and closes at the end of a line what is open."""
    if not lines:
        return []
    html = highlight(
        "\n".join(lines), PythonLexer(stripnl=False), HtmlFormatter(nowrap=True, classprefix="t-")
    )
    shown = [Markup(line) for line in html.split("\n")[: len(lines)]]
    assert len(shown) == len(lines)
    return shown


def _rows(
    tag: str, left: list[tuple[int, Markup]], right: list[tuple[int, Markup]]
) -> list[DiffRow]:
    kinds = {"equal": "equal", "replace": "changed", "delete": "removed", "insert": "added"}
    rows = []
    for index in range(max(len(left), len(right))):
        (old, before), (new, after) = (
            part[index] if index < len(part) else (None, Markup("")) for part in (left, right)
        )
        kind = "added" if old is None else "removed" if new is None else kinds[tag]
        rows.append(DiffRow(kind, old, before, new, after))
    return rows

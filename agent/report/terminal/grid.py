"""Draw a table that fits its terminal.

Columns that matter less are left out, long texts are shortened, a number is never cut or wrapped.
rich's own Table does neither, and takes two seconds for a thousand rows.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style

from agent.util.secrets import secret_values
from agent.util.text import clean

GAP = 2  # blanks between columns
BOLD = Style(bold=True)
PALE = Style(dim=True)
RULE = "─"
LONGEST_RULE = 160


@dataclass(frozen=True)
class Column:
    """The texts of a column, one a row; any text may stand in them."""

    name: str
    cells: list[str] = field(default_factory=list)
    right: bool = False
    leave_out: int = 0  # rank by which it goes where there is no room; the largest first, 0 never
    shortest: int = 0  # cells to which its texts may be shortened; 0: never
    tail: int = 0  # characters of the end that a shortened text keeps
    legend: str = ""  # what the name means, printed below the table


@dataclass(frozen=True)
class Grid:
    """A table of columns of one length.

    It is wider than the terminal only where nothing is left to leave out, and in a pipe as wide as
    its texts are.
    """

    columns: list[Column]
    title: str = ""
    caption: str = ""
    # The styles of the rows, '' for none. A colour says nothing that a word does not.
    styles: list[str] = field(default_factory=list)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table for rich."""
        width = options.max_width if options.is_terminal else 10**6
        filled = [_cleaned(column) for column in self.columns if any(column.cells)]
        columns, widths = fit(filled, width)
        if self.title:
            yield from _wrapped(self.title, width, BOLD)
        names = [column.name for column in columns]
        yield from _line(_row(names, columns, widths), BOLD)
        yield from _line(_rule(widths, options.ascii_only))
        rows = zip(*(column.cells for column in columns), strict=True)
        for index, cells in enumerate(rows):
            style = Style.parse(self.styles[index]) if self.styles else None
            yield from _line(_row(cells, columns, widths), style)
        notes = [self.caption, *(column.legend for column in columns)]
        yield from _wrapped("; ".join(filter(None, notes)), width, PALE)
        yield Segment.line()


def fit(columns: list[Column], width: int) -> tuple[list[Column], list[int]]:
    """Return the columns that are shown in this width, and the width of each."""
    while _total(list(map(_least, columns))) > width:
        first_to_go = max((column.leave_out for column in columns), default=0)
        if not first_to_go:
            break
        columns = [column for column in columns if column.leave_out != first_to_go]
    widths = list(map(_natural, columns))
    # Names are shortened last: they are typed again.
    names_last = sorted(range(len(columns)), key=lambda index: columns[index].tail)
    for index in names_last:
        surplus = _total(widths) - width
        possible = widths[index] - _least(columns[index])
        widths[index] -= max(0, min(surplus, possible))
    return columns, widths


def cells_of(text: str) -> int:
    """Return how wide a text is on a terminal."""
    return len(text) if text.isascii() else cell_len(text)


def shortened(text: str, width: int, tail: int) -> str:
    """Return a text in this many cells, with a mark where something is left out.

    That is at its end, or before its last `tail` characters.
    """
    end = ""
    if tail and tail + 2 <= width:
        end = text[-tail:]
    begin = text[: len(text) - len(end)]
    return set_cell_size(begin, width - cells_of(end) - 1) + "…" + end


def _total(widths: list[int]) -> int:
    """Add up the widths of columns and the gaps between them."""
    return sum(widths) + GAP * (len(widths) - 1)


def _natural(column: Column) -> int:
    return max(map(cells_of, [column.name, *column.cells]))


def _least(column: Column) -> int:
    natural = _natural(column)
    if not column.shortest:
        return natural
    return min(natural, max(column.shortest, cells_of(column.name)))


def _cleaned(column: Column) -> Column:
    hidden = secret_values()
    cells = [_plain(cell, hidden) for cell in column.cells]
    return replace(column, name=_plain(column.name, hidden), cells=cells)


def _plain(text: str, hidden: list[str]) -> str:
    return " ".join(clean(text, hidden).split())


def _rule(widths: list[int], ascii_only: bool) -> str:
    length = min(_total(widths), LONGEST_RULE)
    return "-" * length if ascii_only else RULE * length


def _row(cells: Sequence[str], columns: list[Column], widths: list[int]) -> str:
    padded = []
    for cell, column, width in zip(cells, columns, widths, strict=True):
        size = cells_of(cell)
        if size > width:
            cell = shortened(cell, width, column.tail)
            size = width
        blanks = " " * (width - size)
        if column.right:
            padded.append(blanks + cell)
        else:
            padded.append(cell + blanks)
    return (" " * GAP).join(padded).rstrip()


def _wrapped(text: str, width: int, style: Style) -> Iterator[Segment]:
    for line in textwrap.wrap(clean(text), max(20, width)):
        yield from _line(line, style)


def _line(text: str, style: Style | None = None) -> Iterator[Segment]:
    yield Segment(text, style)
    yield Segment.line()

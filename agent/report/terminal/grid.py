"""A table that fits its terminal: columns that matter less are left out, long texts are shortened, a number is never cut or wrapped.

rich's own Table does neither, and takes two seconds for a thousand rows.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style

from agent.util.secrets import secret_values
from agent.util.text import clean

GAP = 2  # blanks between columns
BOLD, PALE = Style(bold=True), Style(dim=True)
RULE, LONGEST_RULE = "─", 160


@dataclass(frozen=True)
class Column:
    """Texts, one a row; any text may stand in them."""

    name: str
    cells: list[str]
    right: bool = False
    leave_out: int = 0  # where the terminal is too narrow; the largest first, 0 never
    shortest: int = 0  # cells to which its texts may be shortened; 0: never
    tail: int = 0  # characters of the end that a shortened text keeps
    legend: str = ""  # what the name means, said below the table


@dataclass(frozen=True)
class Grid:
    """Columns of one length. Wider than the terminal only where nothing is left to leave out; in a pipe as wide as it is."""

    columns: list[Column]
    title: str = ""
    caption: str = ""
    styles: list[str] = field(
        default_factory=list
    )  # one a row, '' for none; colour says nothing that a word does not

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width if options.is_terminal else 10**6
        columns, widths = fit(
            [_cleaned(column) for column in self.columns if any(column.cells)], width
        )
        if self.title:
            yield from _lines(self.title, width, BOLD)
        yield from _line(_row([column.name for column in columns], columns, widths), BOLD)
        yield from _line(
            ("-" if options.ascii_only else RULE)
            * min(sum(widths) + GAP * (len(widths) - 1), LONGEST_RULE)
        )
        for index, cells in enumerate(zip(*(column.cells for column in columns), strict=True)):
            yield from _line(
                _row(cells, columns, widths),
                Style.parse(self.styles[index]) if self.styles else None,
            )
        legends = [column.legend for column in columns if column.legend]
        yield from _lines("; ".join(filter(None, [self.caption, *legends])), width, PALE)
        yield Segment.line()


def fit(columns: list[Column], width: int) -> tuple[list[Column], list[int]]:
    """The columns that are shown in this width, and the width of each."""
    while sum(_least(column) + GAP for column in columns) - GAP > width:
        if not (least := max((column.leave_out for column in columns), default=0)):
            break
        columns = [column for column in columns if column.leave_out != least]
    widths = [_natural(column) for column in columns]
    for index in sorted(
        range(len(columns)), key=lambda place: columns[place].tail
    ):  # names last: they are typed again
        surplus = sum(widths) + GAP * (len(widths) - 1) - width
        widths[index] -= max(0, min(surplus, widths[index] - _least(columns[index])))
    return columns, widths


def _natural(column: Column) -> int:
    return max(map(cells_of, [column.name, *column.cells]))


def _least(column: Column) -> int:
    natural = _natural(column)
    return min(natural, max(column.shortest, cells_of(column.name))) if column.shortest else natural


def cells_of(text: str) -> int:
    """How wide a text is on a terminal."""
    return len(text) if text.isascii() else cell_len(text)


def _cleaned(column: Column) -> Column:
    hidden = secret_values()
    return replace(
        column,
        name=_plain(column.name, hidden),
        cells=[_plain(cell, hidden) for cell in column.cells],
    )


def _plain(text: str, hidden: list[str]) -> str:
    return " ".join(clean(text, hidden).split())


def _row(cells: list[str] | tuple[str, ...], columns: list[Column], widths: list[int]) -> str:
    shown = []
    for cell, column, width in zip(cells, columns, widths, strict=True):
        if (size := cells_of(cell)) > width:
            cell, size = shortened(cell, width, column.tail), width
        blanks = " " * (width - size)
        shown.append(blanks + cell if column.right else cell + blanks)
    return (" " * GAP).join(shown).rstrip()


def shortened(text: str, width: int, tail: int) -> str:
    """In this many cells, with a mark where something is left out: at its end, or before its last `tail` characters."""
    end = text[-tail:] if tail and tail + 2 <= width else ""
    return set_cell_size(text[: len(text) - len(end)], width - cells_of(end) - 1) + "…" + end


def _lines(text: str, width: int, style: Style | None = None) -> Iterator[Segment]:
    for line in textwrap.wrap(clean(text), max(20, width)):
        yield from _line(line, style)


def _line(text: str, style: Style | None = None) -> Iterator[Segment]:
    yield Segment(text, style)
    yield Segment.line()

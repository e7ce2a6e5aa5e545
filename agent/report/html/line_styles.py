"""How each run is drawn, in a picture and in its legend.

A run has a colour, a mark and a dash, so that no colour is needed to tell two apart.
"""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from agent.report.curves import CONFIRMED, CONTROL, Curves

COLOURS = 6  # of the palette, that runs of the coder have in turn
FIRST_COLOUR = 2  # of them
MARKS = "os^Dv<>p"
DASHES = ("-", "--", "-.", ":")
# The dashes and marks, whose names are matplotlib's, as SVG.
_DASHED = {"-": "none", "--": "6 3", "-.": "6 2 1 2", ":": "2 2"}
_SHAPES = {
    "": "",
    "o": "M20 7m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0",
    "s": "M16 3h8v8h-8z",
    "^": "M20 2l5 9h-10z",
    "D": "M20 2l5 5-5 5-5-5z",
    "v": "M20 12l5-9h-10z",
    "<": "M15 7l9-5v10z",
    ">": "M25 7l-9-5v10z",
    "p": "M20 2l5 4-2 6h-6l-2-6z",
}


@dataclass(frozen=True)
class LineStyle:
    """The style of one run's line; mark and dash are matplotlib's."""

    colour: int  # its place in the palette
    mark: str
    dash: str
    width: float = 1.6


@dataclass(frozen=True)
class LegendEntry:
    """The entry of one run in a legend."""

    number: int
    name: str
    group: str
    swatch: Markup


CONTROL_STYLE = LineStyle(colour=0, mark="", dash="--", width=1.1)
CONFIRMED_STYLE = LineStyle(colour=1, mark="", dash=":", width=1.4)


def line_styles(runs: list[Curves]) -> list[LineStyle]:
    """Return the style of each run.

    The coder's runs have strong colours, controls one thin grey, confirming runs one thin colour.
    """
    styles = []
    explored = 0
    for curves in runs:
        if curves.group == CONTROL:
            styles.append(CONTROL_STYLE)
        elif curves.group == CONFIRMED:
            styles.append(CONFIRMED_STYLE)
        else:
            styles.append(_explored_style(explored))
            explored += 1
    return styles


def legend(runs: list[Curves]) -> list[LegendEntry]:
    """Return an entry for each run, with its line in small."""
    styles = line_styles(runs)
    entries = []
    for number, curves in enumerate(runs):
        entry = LegendEntry(
            number=number,
            name=curves.run,
            group=curves.group,
            swatch=swatch(styles[number]),
        )
        entries.append(entry)
    return entries


def swatch(style: LineStyle) -> Markup:
    """Return the line of one run in small."""
    css = f"stroke: var(--c{style.colour}); stroke-dasharray: {_DASHED[style.dash]}"
    line = Markup('<path class="line" style="{}" d="M0 7H40"/>').format(css)
    shape = _SHAPES[style.mark]
    mark = Markup('<path style="fill: var(--c{})" d="{}"/>').format(style.colour, shape)
    svg = Markup('<svg class="swatch" viewBox="0 0 40 14" aria-hidden="true">{}{}</svg>')
    return svg.format(line, mark)


def _explored_style(number: int) -> LineStyle:
    return LineStyle(
        colour=FIRST_COLOUR + number % COLOURS,
        mark=MARKS[number % len(MARKS)],
        dash=DASHES[number // COLOURS % len(DASHES)],
        width=2.0,
    )

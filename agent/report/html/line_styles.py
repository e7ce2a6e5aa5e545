"""How each run is drawn, in a picture and in its legend: a colour, a mark and a dash, so that no colour is needed to tell two apart."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from agent.report.curves import CONFIRMED, CONTROL, Curves

MARKS = "os^Dv<>p"
DASHES = ("-", "--", "-.", ":")
# The same, which are matplotlib's, as SVG.
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
    colour: int
    mark: str
    dash: str
    width: float = 1.6


def line_styles(curves: list[Curves]) -> list[LineStyle]:
    """The coder's runs in strong colours; controls in one thin grey; confirming runs in one thin colour."""
    made, explored = [], 0
    for one in curves:
        if one.group == CONTROL:
            made.append(LineStyle(0, "", "--", 1.1))
        elif one.group == CONFIRMED:
            made.append(LineStyle(1, "", ":", 1.4))
        else:
            made.append(
                LineStyle(
                    2 + explored % 6,
                    MARKS[explored % len(MARKS)],
                    DASHES[explored // 6 % len(DASHES)],
                    2.0,
                )
            )
            explored += 1
    return made


def swatch(look: LineStyle) -> Markup:
    """The line of one run in small."""
    style = f"stroke: var(--c{look.colour}); stroke-dasharray: {_DASHED[look.dash]}"
    line = Markup('<path class="line" style="{}" d="M0 7H40"/>').format(style)
    mark = Markup('<path style="fill: var(--c{})" d="{}"/>').format(look.colour, _SHAPES[look.mark])
    return Markup('<svg class="swatch" viewBox="0 0 40 14" aria-hidden="true">{}{}</svg>').format(
        line, mark
    )

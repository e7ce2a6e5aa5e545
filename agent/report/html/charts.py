"""Pictures for pages, drawn by matplotlib as SVG: whole without a script, sharp on paper.

They are light or dark with the page: colours are names of CSS variables (--ink, --faint, --c0 ...),
put in place of colours that no picture uses; every line also has a mark and a dash of its own. A
line is a group with an id, `<name of the picture>--<number of the run>`, so that a script can hide
it.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from agent.report.curves import Curves, Points
from agent.report.html.line_styles import LineStyle, line_styles

VARIABLES = {
    "#010101": "--ink",
    "#020202": "--faint",
    "#030303": "--grid",
    "#040400": "--c0",
    "#040401": "--c1",
    "#040402": "--c2",
    "#040403": "--c3",
    "#040404": "--c4",
    "#040405": "--c5",
    "#040406": "--c6",
    "#040407": "--c7",
}
INK, FAINT, GRID, *PALETTE = VARIABLES
WIDTH = 6.0  # inches, of which a page makes what it likes
HEIGHT = 3.8
MARKED_POINTS = 8  # of a curve
DIVERGED = 6  # times the usual value: from there a value is left above the picture
# Ids that matplotlib counts: they are the same in every picture.
_COUNTED = re.compile(
    r' id="(?:figure|axes|patch|line2d|text|[xy]tick|matplotlib\.axis|LineCollection)_\d+"'
)
_OWN_STYLES = re.compile(r"<metadata>.*?</metadata>|<style.*?</style>", re.S)
_SIZE = re.compile(r'(<svg[^>]*?) width="[^"]*"| height="[\d.]+pt"')
_FONT = re.compile(r"font: ?([\d.]+px) '[^;\"]*|'DejaVu Sans'[^;\"]*")
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "assay",
    "font.size": 11,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "figure.constrained_layout.use": True,
    "axes.titlesize": 12,
    "savefig.transparent": True,
}


@dataclass(frozen=True)
class Picture:
    """A picture of curves, and how its horizontal axis lies in it."""

    svg: Markup
    box: tuple[float, float]  # where the axis begins and ends, in shares of the picture's width
    span: tuple[float, float]  # the numbers at these two places
    note: str = ""  # which values are not in the picture


def curve_picture(runs: list[Curves], metric: str, title: str, name: str) -> Picture:
    """Return a picture of all runs over each other: the metric by epoch.

    The ids of its lines begin with the name.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, HEIGHT))
        axes = figure.subplots()
        epochs: list[float] = []
        values: list[float] = []
        styles = line_styles(runs)
        for number, curves in enumerate(runs):
            points = curves.of(metric)
            if points:
                _draw_curve(axes, points, styles[number], f"{name}--{number}")
            for epoch, value in points:
                epochs.append(epoch)
                values.append(value)
        axes.set_title(title, parse_math=False)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(set(epochs)) == 1:
            # One epoch is no curve: a column of dots, with whole numbers beside it.
            axes.margins(x=10)
        note = _limit(axes, values)
        described = f"{title} of {len(runs)} runs by epoch"
        svg = _svg(figure, f"{described}; the same numbers are in each run's metrics.csv")
        box = axes.get_position()
        return Picture(
            svg=svg,
            box=(box.x0, box.x1),
            span=axes.get_xlim(),
            note=note,
        )


def _draw_curve(axes: Axes, points: Points, style: LineStyle, identifier: str) -> None:
    x, y = zip(*points, strict=True)
    mark = style.mark
    if not mark and len(points) == 1:
        mark = "."
    axes.plot(
        x,
        y,
        color=PALETTE[style.colour],
        linestyle=style.dash,
        linewidth=style.width,
        marker=mark,
        markersize=6,
        markevery=max(1, len(points) // MARKED_POINTS),
        gid=identifier,
    )


def _limit(axes: Axes, values: list[float]) -> str:
    """Leave out values that would press all others flat, as of a run that diverged.

    Returns '' or what is left out.
    """
    usual = float(np.quantile(values, 0.9))
    lowest = min(values)
    highest = max(values)
    if usual <= 0 or highest < DIVERGED * usual:
        return ""
    axes.set_ylim(min(0.0, lowest), 2 * usual)
    return f"values up to {highest:.3g} lie above the picture"


def seeds_picture(verdict: dict[str, Any]) -> Markup:
    """Return a picture of every fresh seed of both arms, with what its images alone explain.

    Under them stands the difference of the arms.
    """
    idea = verdict["candidate"]
    control = verdict["baseline"]
    rows = len(idea["acc"]) + len(control["acc"]) + 2  # two are those of the means
    differences = {}
    if verdict["effect"]:
        differences["idea - control"] = verdict["effect"]
    if verdict["against_scaffold"]:
        differences["idea - scaffold"] = verdict["against_scaffold"]
    with rc_context(STYLE):
        height = 0.5 + 0.27 * rows + 0.5 + 0.35 * len(differences)
        figure = Figure(figsize=(WIDTH, height))
        ratios = [rows, 1.2 + 1.3 * len(differences)]
        above, below = figure.subplots(2, 1, height_ratios=ratios)
        _draw_arms(above, idea, control, verdict["integrity"]["test_count"])
        _draw_differences(below, differences, 100 * verdict["idea"]["min_effect"])
        described = "Accuracy on the hidden test of every seed of both arms, and their difference"
        return _svg(figure, f"{described}; a table has the numbers")


def _draw_arms(
    axes: Axes, idea: dict[str, Any], control: dict[str, Any], count: int | None
) -> None:
    """Draw every seed of both arms, which were graded on so many images, and the means."""
    labels: list[str] = []
    for name, arm, colour, mark in (
        ("idea", idea, PALETTE[1], "s"),
        ("control", control, PALETTE[0], "o"),
    ):
        for seed, accuracy in zip(arm["seeds"], arm["acc"], strict=True):
            axes.errorbar(
                100 * accuracy,
                -len(labels),
                xerr=100 * _half_width(accuracy, count),
                fmt=mark,
                color=colour,
                markersize=5,
                elinewidth=0.9,
            )
            labels.append(f"{name}, seed {seed}")
        axes.plot(
            100 * arm["mean"],
            -len(labels),
            marker="D",
            color=colour,
            markersize=9,
            linestyle="",
        )
        labels.append(f"{name}, mean")
    axes.set_yticks(range(0, -len(labels), -1), labels)
    axes.set_xlabel("accuracy on the hidden test, %")


def _half_width(accuracy: float, count: int | None) -> float:
    """Return half of the 95 % interval that the number of images alone explains."""
    if not count:
        return 0.0
    return float(1.96 * np.sqrt(accuracy * (1 - accuracy) / count))


def _draw_differences(axes: Axes, differences: dict[str, dict[str, Any]], smallest: float) -> None:
    """Draw effects, each with its interval, and the smallest effect, which is in points."""
    for row, effect in enumerate(differences.values()):
        delta = 100 * effect["delta"]
        low, high = effect["ci95"]
        axes.errorbar(
            delta,
            -row,
            xerr=[[delta - 100 * low], [100 * high - delta]],
            fmt="D",
            color=INK,
            markersize=8,
            capsize=5,
            elinewidth=2,
        )
    axes.axvline(0, color=INK, linewidth=1)
    axes.axvline(smallest, color=FAINT, linewidth=1, linestyle="--")
    axes.set_yticks(range(0, -len(differences), -1), list(differences))
    axes.set_ylim(-len(differences) + 0.4, 0.6)
    axes.set_xlabel("difference, percentage points")


def _svg(figure: Figure, described: str) -> Markup:
    """Return a picture as an element for a page.

    matplotlib escapes what stands in texts; of ours are all but names of runs.
    """
    out = io.StringIO()
    metadata = {"Date": None, "Creator": None}
    figure.savefig(out, format="svg", metadata=metadata)
    text = out.getvalue()
    svg = text[text.index("<svg") :]
    svg = _OWN_STYLES.sub("", svg)
    svg = _COUNTED.sub("", svg)
    svg = _SIZE.sub(r"\1", svg, count=2)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    svg = _FONT.sub(_own_font, svg)
    label = Markup.escape(described)
    return Markup(svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1))


def _own_font(match: re.Match[str]) -> str:
    size = match[1]
    if not size:
        return "var(--sans)"
    return f"font: {size} var(--sans)"

"""Pictures for pages, drawn by matplotlib as SVG: whole without a script, sharp on paper, light or dark with the page.

Colours are names of CSS variables (--ink, --faint, --c0 ...), put in place of colours that no picture uses; every line also has a mark and
a dash of its own. A line is a group with an id, `<name of the picture>--<number of the run>`, so that a script can hide it.
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

from agent.report.curves import Curves
from agent.report.html.line_styles import line_styles

VARIABLES = {
    "#010101": "--ink",
    "#020202": "--faint",
    "#030303": "--grid",
    **{f"#0404{i:02x}": f"--c{i}" for i in range(8)},
}
INK, FAINT, GRID, *PALETTE = VARIABLES
WIDTH, HEIGHT = 6.0, 3.8  # inches, of which a page makes what it likes
_COUNTED = re.compile(
    r' id="(?:figure|axes|patch|line2d|text|[xy]tick|matplotlib\.axis|LineCollection)_\d+"'
)  # the same in every picture
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
    svg: Markup
    box: tuple[
        float, float
    ]  # where the horizontal axis begins and ends, in shares of the picture's width
    span: tuple[float, float]  # what stands there
    note: str = ""  # what is not in the picture


def curve_picture(curves: list[Curves], metric: str, title: str, name: str) -> Picture:
    """All runs over each other: the metric by epoch. name: for the ids of its lines."""
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, HEIGHT))
        axes = figure.subplots()
        for number, (one, look) in enumerate(zip(curves, line_styles(curves), strict=True)):
            if points := one.of(metric):
                x, y = zip(*points, strict=True)
                mark = look.mark or ("." if len(x) == 1 else "")
                axes.plot(
                    x,
                    y,
                    color=PALETTE[look.colour],
                    linestyle=look.dash,
                    linewidth=look.width,
                    marker=mark,
                    markersize=6,
                    markevery=max(1, len(x) // 8),
                    gid=f"{name}--{number}",
                )
        axes.set_title(title, parse_math=False)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len({epoch for one in curves for epoch, _ in one.of(metric)}) == 1:
            axes.margins(
                x=10
            )  # one epoch is no curve: a column of dots, with whole numbers beside it
        note = _limit(axes, [value for one in curves for _, value in one.of(metric)])
        svg = _svg(
            figure,
            f"{title} of {len(curves)} runs by epoch; the same numbers are in each run's metrics.csv",
        )
        box = axes.get_position()
        return Picture(svg, (box.x0, box.x1), axes.get_xlim(), note)


def _limit(axes: Axes, values: list[float]) -> str:
    """One run that diverged must not press all others flat."""
    usual = float(np.quantile(values, 0.9))
    lowest, highest = min(values), max(values)
    if usual <= 0 or highest < 6 * usual:
        return ""
    axes.set_ylim(min(0.0, lowest), 2 * usual)
    return f"values up to {highest:.3g} lie above the picture"


def seeds_picture(verdict: dict[str, Any]) -> Markup:
    """Every fresh seed of both arms with what its images alone explain, and under them the difference of the arms."""
    arms = [(arm, verdict[name]) for arm, name in (("idea", "candidate"), ("control", "baseline"))]
    rows = sum(len(arm["acc"]) + 1 for _, arm in arms)
    both = ("idea - control", verdict["effect"]), ("idea - scaffold", verdict["against_scaffold"])
    differences = [(name, effect) for name, effect in both if effect]
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.5 + 0.27 * rows + 0.5 + 0.35 * len(differences)))
        above, below = figure.subplots(2, 1, height_ratios=[rows, 1.2 + 1.3 * len(differences)])
        _draw_arms(above, arms, verdict["integrity"]["test_count"])
        _draw_differences(below, differences, 100 * verdict["idea"]["min_effect"])
        return _svg(
            figure,
            "Accuracy on the hidden test of every seed of both arms, and their difference; a table has the numbers",
        )


def _draw_arms(axes: Axes, arms: list[tuple[str, dict[str, Any]]], count: int | None) -> None:
    labels, y = list[str](), 0
    for (name, arm), colour, mark in zip(arms, (PALETTE[1], PALETTE[0]), "so", strict=True):
        for seed, accuracy in zip(arm["seeds"], arm["acc"], strict=True):
            width = 1.96 * np.sqrt(accuracy * (1 - accuracy) / count) if count else 0.0
            axes.errorbar(
                100 * accuracy,
                y,
                xerr=100 * width,
                fmt=mark,
                color=colour,
                markersize=5,
                elinewidth=0.9,
            )
            labels.append(f"{name}, seed {seed}")
            y -= 1
        axes.plot(100 * arm["mean"], y, marker="D", color=colour, markersize=9, linestyle="")
        labels.append(f"{name}, mean")
        y -= 1
    axes.set_yticks(range(0, y, -1), labels)
    axes.set_xlabel("accuracy on the hidden test, %")


def _draw_differences(
    axes: Axes, differences: list[tuple[str, dict[str, Any]]], smallest: float
) -> None:
    for y, (_, effect) in enumerate(differences):
        delta, low, high = (100 * value for value in (effect["delta"], *effect["ci95"]))
        axes.errorbar(
            delta,
            -y,
            xerr=[[delta - low], [high - delta]],
            fmt="D",
            color=INK,
            markersize=8,
            capsize=5,
            elinewidth=2,
        )
    axes.axvline(0, color=INK, linewidth=1)
    axes.axvline(smallest, color=FAINT, linewidth=1, linestyle="--")
    axes.set_yticks([-y for y in range(len(differences))], [name for name, _ in differences])
    axes.set_ylim(-len(differences) + 0.4, 0.6)
    axes.set_xlabel("difference, percentage points")


def _svg(figure: Figure, described: str) -> Markup:
    """As an element for a page. matplotlib escapes what stands in texts; of ours are all but names of runs."""
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.S)
    svg = _COUNTED.sub("", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"| height="[\d.]+pt"', r"\1", svg, count=2)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    svg = re.sub(
        r"font: ?([\d.]+px) '[^;\"]*|'DejaVu Sans'[^;\"]*",
        lambda m: f"font: {m[1]} var(--sans)" if m[1] else "var(--sans)",
        svg,
    )
    return Markup(
        svg.replace("<svg ", f'<svg role="img" aria-label="{Markup.escape(described)}" ', 1)
    )

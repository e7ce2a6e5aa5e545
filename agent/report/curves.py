"""The curves of an experiment: what every run wrote of itself, epoch by epoch, into metrics.csv.

These numbers are the program's own word; the graded ones are in the tables. Not covered: more than
MAX_EPOCHS rows, and more than MAX_OWN columns besides the usual.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, replace

from agent.archive.paths import Archive, RunFolder
from agent.archive.run import NAME
from agent.util.files import read_events, read_untrusted_text
from agent.util.text import finite

METRICS = {
    "train_loss": "training loss",
    "val_loss": "validation loss",
    "train_acc": "training accuracy",
    "val_acc": "validation accuracy",
}
TITLES = {"lr": "learning rate"}
# Columns that are in the table of runs, or of no interest as a curve.
PLUMBING = ("epoch", "images_per_second", "seconds", "steps", "samples")
MAX_EPOCHS = 5000
MAX_OWN = 4  # further columns that are drawn: the learning rate, and what main.py logged of its own
MAX_POINTS = 100  # of one curve in a picture
MAX_RUNS = 60
LARGEST = 1e30  # beyond it no axis can be drawn
# The groups of curves.
EXPLORED = "explored"
CONTROL = "control"
CONFIRMED = "confirmed"
Points = list[tuple[float, float]]  # (epoch, value) of each


@dataclass(frozen=True)
class Curves:
    """The curves of one run: for each metric its points."""

    run: str
    group: str
    points: dict[str, Points]

    def of(self, metric: str) -> Points:
        """Return the points of one metric, [] where the run has none."""
        return self.points.get(metric, [])


def load_curves(archive: Archive) -> list[Curves]:
    """Return the curves of the baseline, of every attempt that trained, and of every fresh seed.

    Runs of which nothing can be drawn are left out.
    """
    baseline = _read(archive.run(0), "baseline", CONTROL)
    others = []
    for folder in archive.attempts():
        others.append(_read(folder, folder.folder.name, EXPLORED))
    others += _read_fresh_seeds(archive)
    # The baseline is the first seed of the control: both are drawn as one.
    repeats = [curves for curves in others if curves.points == baseline.points]
    if repeats:
        baseline = replace(baseline, run=f"baseline ({repeats[0].run})")
    drawable = []
    for curves in (baseline, *others):
        if any(curves.points.values()) and curves not in repeats:
            drawable.append(curves)
    return drawable[:MAX_RUNS]


def drawn(runs: list[Curves]) -> dict[str, str]:
    """Return which metrics to draw, with their titles.

    These are the usual ones that some run has, and the first of the others that ever change.
    """
    seen: dict[str, set[float]] = {}
    for curves in runs:
        for metric, points in curves.points.items():
            for _, value in points:
                seen.setdefault(metric, set()).add(value)
    usual = {metric: title for metric, title in METRICS.items() if metric in seen}
    own: dict[str, str] = {}
    for metric, values in seen.items():
        changes = len(values) > 1
        if metric not in METRICS and changes and len(own) < MAX_OWN:
            own[metric] = TITLES.get(metric, metric)
    return usual | own


def read_rows(folder: RunFolder) -> list[dict[str, float]]:
    """Return the finite numbers of metrics.csv, a dictionary for each of its rows.

    There are none where it is absent or cannot be read.
    """
    text = read_untrusted_text(folder.metrics)
    rows: list[dict[str, float]] = []
    try:
        lines = io.StringIO(text.replace("\0", ""))
        for row in csv.DictReader(lines):
            rows.append(_numbers(row))
            if len(rows) == MAX_EPOCHS:
                break
    except csv.Error:  # a field of more than 128 KiB, say: what came before it can be read
        pass
    return rows


def _read_fresh_seeds(archive: Archive) -> list[Curves]:
    """Return the curves of the confirming runs, and of the seeds they are compared with."""
    confirming = {"idea"}
    runs = []
    for event in read_events(archive.events):
        if event["event"] == "confirm" and event["control"] == "own":
            confirming.add("control")
        if event["event"] == "confirmed":
            arm = event["arm"]
            group = CONFIRMED if arm == "idea" else CONTROL
            name = f"{arm}, seed {event['seed']}"
            folder = archive.named(event["folder"])
            runs.append(_read(folder, name, group, confirming=arm in confirming))
    return runs


def _read(folder: RunFolder, run: str, group: str, *, confirming: bool = False) -> Curves:
    """Return the curves of one run.

    A confirming run validates on training images, for it is shown no others: its validation
    curves are left out.
    """
    points: dict[str, Points] = {}
    for row in read_rows(folder):
        for name, value in row.items():
            if name in PLUMBING or not NAME.fullmatch(name):
                continue
            if confirming and not name.startswith("train_"):
                continue
            curve = points.setdefault(name, [])
            if "epoch" in row:
                curve.append((row["epoch"], value))
    thinned = {name: _thin(curve) for name, curve in points.items()}
    return Curves(run, group, thinned)


def _numbers(row: dict[str, str]) -> dict[str, float]:
    """Return the numbers of a row of metrics.csv, by the names of their columns."""
    numbers = {}
    for name, text in row.items():
        number = _number(text)
        if name and number is not None:
            numbers[name] = number
    return numbers


def _number(text: object) -> float | None:
    """Return a cell as a number; None where it is none, or too large to be drawn.

    A row that is shorter than the heading gives None for a cell, a longer one a list.
    """
    if not isinstance(text, str):
        return None
    try:
        value = finite(float(text))
    except ValueError:
        return None
    if value is None or abs(value) > LARGEST:
        return None
    return value


def _thin(points: Points) -> Points:
    """Return at most MAX_POINTS of the points, evenly, the last one always."""
    step = -(-len(points) // MAX_POINTS)
    if step <= 1:
        return points
    return [*points[:-1:step], points[-1]]

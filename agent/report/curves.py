"""The curves of an experiment: what every run wrote of itself, epoch by epoch, into metrics.csv.

These numbers are the program's own word; the graded ones are in the tables. Not covered: more than MAX_EPOCHS rows, and more than
MAX_OWN columns besides the usual.
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
PLUMBING = (
    "epoch",
    "images_per_second",
    "seconds",
    "steps",
    "samples",
)  # in the table of runs, or of no interest as a curve
MAX_EPOCHS = 5000
MAX_OWN = 4  # further columns that are drawn: the learning rate, and what main.py logged of its own
MAX_POINTS = 100  # of one curve in a picture
MAX_RUNS = 60
LARGEST = 1e30  # beyond it no axis can be drawn
EXPLORED, CONTROL, CONFIRMED = "explored", "control", "confirmed"


@dataclass(frozen=True)
class Curves:
    """One run: for each metric its points, (epoch, value)."""

    run: str
    group: str
    points: dict[str, list[tuple[float, float]]]

    def of(self, metric: str) -> list[tuple[float, float]]:
        return self.points.get(metric, [])


def load_curves(archive: Archive) -> list[Curves]:
    """Of the baseline, every attempt that trained, and every fresh seed; without those of which nothing can be drawn."""
    found = [
        _read(archive.run(0), "baseline", CONTROL),
        *(_read(folder, folder.folder.name, EXPLORED) for folder in archive.attempts()),
    ]
    confirming = {"idea"}
    for event in read_events(archive.events):
        if event["event"] == "confirm" and event["control"] == "own":
            confirming.add("control")
        if event["event"] == "confirmed":
            group, name = (
                CONFIRMED if event["arm"] == "idea" else CONTROL,
                f"{event['arm']}, seed {event['seed']}",
            )
            found.append(
                _read(
                    archive.named(event["folder"]),
                    name,
                    group,
                    confirming=event["arm"] in confirming,
                )
            )
    again = [
        one for one in found[1:] if one.points == found[0].points
    ]  # the baseline is the first seed of the control
    if again:
        found[0] = replace(found[0], run=f"baseline ({again[0].run})")
    return [one for one in found if any(one.points.values()) and one not in again][:MAX_RUNS]


def drawn(curves: list[Curves]) -> dict[str, str]:
    """Which metrics to draw, with their titles: the usual ones that some run has, and the first of the others that ever change."""
    there: dict[str, set[float]] = {}
    for metric, points in (
        (metric, points) for one in curves for metric, points in one.points.items() if points
    ):
        there.setdefault(metric, set()).update(value for _, value in points)
    own = [metric for metric, values in there.items() if metric not in METRICS and len(values) > 1]
    usual = {metric: title for metric, title in METRICS.items() if metric in there}
    return usual | {metric: TITLES.get(metric, metric) for metric in own[:MAX_OWN]}


def _read(folder: RunFolder, run: str, group: str, *, confirming: bool = False) -> Curves:
    """confirming: it validates on training images, for it is shown no others."""
    rows = read_rows(folder)
    names = {
        name: None for row in rows for name in row if name not in PLUMBING and NAME.fullmatch(name)
    }
    if confirming:
        names = {name: None for name in names if name.startswith("train_")}
    points = {
        name: _thin([(row["epoch"], row[name]) for row in rows if "epoch" in row and name in row])
        for name in names
    }
    return Curves(run, group, points)


def read_rows(folder: RunFolder) -> list[dict[str, float]]:
    """The finite numbers of metrics.csv, a dictionary an epoch; [] where there is none that can be read."""
    text = read_untrusted_text(folder.metrics)
    rows = []
    try:
        for row in csv.DictReader(io.StringIO(text.replace("\0", ""))):
            rows.append(
                {
                    name: number
                    for name, value in row.items()
                    if name and (number := _number(value)) is not None
                }
            )
            if len(rows) == MAX_EPOCHS:
                break
    except csv.Error:  # a field of more than 128 KiB, say: what came before it can be read
        pass
    return rows


def _number(text: object) -> float | None:
    try:
        value = finite(float(text)) if isinstance(text, str) else None
    except ValueError:
        return None
    return value if value is not None and abs(value) <= LARGEST else None


def _thin(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most MAX_POINTS of them, evenly, the last one always."""
    step = -(-len(points) // MAX_POINTS)
    return points if step <= 1 else [*points[:-1:step], points[-1]]

"""The table of runs on an experiment's page: a row for each run, with the digits to show."""

from __future__ import annotations

from dataclasses import dataclass

from agent.archive.run import Run
from agent.util.text import finite

# Numbers that a program tells of itself, with the digits to show.
MEASURED = (
    ("train_loss", 3),
    ("val_loss", 3),
    ("parameters", 0),
    ("peak_memory_mb", 0),
    ("images_per_second", 0),
)
BASELINE = "run_0, the baseline"
Cell = tuple[float | None, int | str]  # a number and its digits, or "change"
SEEDS = "seeds"  # the section that shows the confirming runs


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """The row of one run."""

    name: str
    status: str
    ok: bool
    cells: list[Cell]
    chosen: bool
    anchor: str  # of what its name links to on the page


def run_row(
    run: Run, baseline: float | None, chosen: str | None, *, confirming: bool = False
) -> RunRow:
    """Return the row of a run.

    A confirming run's validation loss is left out: it is one of training images, for that run is
    shown no others.
    """
    value = run.value if run.ok else None
    change = None
    if value is not None and baseline is not None and run.number:
        change = value - baseline
    metrics = dict(run.metrics)
    if confirming:
        metrics["val_loss"] = None
    cells: list[Cell] = [
        (value, 4),
        (change, "change"),
    ]
    for metric, digits in MEASURED:
        cells.append((finite(metrics.get(metric)), digits))
    cells.append((run.seconds, 1))
    name = BASELINE
    anchor = ""
    if run.number:
        name = anchor = run.folder
    if confirming:
        anchor = SEEDS
    return RunRow(
        name=name,
        status=run.status.value.replace("_", " "),
        ok=run.ok,
        cells=cells,
        chosen=bool(chosen) and name == chosen,
        anchor=anchor,
    )

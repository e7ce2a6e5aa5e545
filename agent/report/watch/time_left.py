"""Estimate how long an experiment will still take, and read how far a training is by its program.

Everything that a program left is bounded, and only numbers are taken from it, of columns that are
known by name.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from agent.archive.progress import share_done
from agent.archive.run import RunStatus, load_run
from agent.report.watch.steps import CODER, GATE, JUDGE, STARTING, TRAINING, ExperimentState, Step
from agent.util.files import read_untrusted
from agent.util.text import finite

MAX_ROWS_BYTES = 2**20  # bytes of a metrics.csv; of a longer one nothing is shown
MIN_SHARE = 0.02  # share of a training, before its own pace is believed
MIN_SECONDS = 1.0  # seconds of a training, before its own pace is believed
SHOWN = 2  # metrics of the run under way
LAST_EPOCH = 10**6  # what is larger is no epoch


@dataclass(frozen=True)
class TrainingProgress:
    """The state of the training under way, in its program's own words."""

    share: float | None = None  # how much is done, 0 to 1
    epoch: int | None = None  # the epoch that is being trained, from 1
    after: int | None = None  # the epoch whose metrics these are
    metrics: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class TimeLeft:
    """An estimate of the time until the verdict, and what it rests on."""

    seconds: float
    at_most: bool
    rests_on: str


@dataclass(frozen=True)
class ExpectedPace:
    """The pace of an experiment so far, in seconds."""

    spent: float  # in the step that it is at
    training: float  # of a training
    cycle: float | None  # of a run with its coder and gate; None before the first
    expected: float | None  # of the training under way by its own pace; None: not to be told


def progress_of(state: ExperimentState, step: Step) -> TrainingProgress:
    """Return how far a training is; nothing for a step in which no program trains."""
    if step.folder is None:
        return TrainingProgress()
    share = share_done(step.folder.work / "progress.json")
    row = last_row(step.folder.work / "metrics.csv")
    after = None
    if 0 < row.get("epoch", 0) <= LAST_EPOCH:
        after = int(row["epoch"])
    epoch = after
    if not state.config["open"]:  # an open scaffold may know no epochs
        epochs = int(state.config["budget"]["epochs"])
        epoch = min(epochs, max(int(share * epochs), after or 0) + 1)
    names = _metric_names(state.config["metric"]["name"])
    metrics = tuple((name, row[name]) for name in names if name in row)
    return TrainingProgress(share or None, epoch, after, metrics[:SHOWN])


def _metric_names(name: str) -> list[str]:
    """Return the columns of a metrics.csv that are shown, the most telling first."""
    names = [name, "val_loss", "train_loss"]
    if name == "val_accuracy":
        names.insert(1, "val_acc")
    return list(dict.fromkeys(names))


def last_row(path: Path) -> dict[str, float]:
    """Return the finite numbers of the last whole row of a metrics.csv, by column; {} for none."""
    data = read_untrusted(path, MAX_ROWS_BYTES)
    if data is None or len(data) == MAX_ROWS_BYTES:
        return {}
    lines = data.decode("utf-8", "replace").split("\n")[:-1]
    if not lines:
        return {}
    try:
        names = _cells(lines[0])
        cells = _cells(lines[-1])
    except csv.Error:
        return {}
    row = {}
    for name, cell in zip(names, cells, strict=False):
        value = _number(cell)
        if value is not None:
            row[name] = value
    return row


def _cells(line: str) -> list[str]:
    return next(csv.reader([line.rstrip("\r")]), [])


def _number(text: str) -> float | None:
    try:
        return finite(float(text[:64]))
    except ValueError:
        return None


def time_left(
    state: ExperimentState, step: Step, progress: TrainingProgress, now: float
) -> TimeLeft | None:
    """Return an estimate of the time until the verdict. now: seconds since 1970.

    None where nothing was trained yet that it could rest on, and before the coder is there. Failed
    attempts are counted as often as they were seen so far; runs that get slower are not foreseen.
    """
    if step.what == STARTING:
        return None
    pace = _pace(state, step, progress, now)
    if pace is None:
        return None
    cycles = step.cycles * (pace.cycle or pace.training)
    trainings = step.trainings * pace.training
    seconds = _of_this_step(step, pace) + cycles + trainings
    return TimeLeft(seconds, step.at_most, _rests_on(step, pace))


def _pace(
    state: ExperimentState, step: Step, progress: TrainingProgress, now: float
) -> ExpectedPace | None:
    spent = 0.0
    if step.begun is not None:
        spent = max(0.0, now - step.begun)
    trained = list(state.trained) or _trained_baseline(state)
    expected = None
    share = progress.share or 0.0
    if step.what == TRAINING and share >= MIN_SHARE and spent >= MIN_SECONDS:
        # A program may say what it likes; the harness ends it at the time limit.
        expected = min(spent / share, state.config["budget"]["timeout"])
    if trained:
        training = median(trained)
    elif expected is not None:
        training = expected
    else:
        return None
    return ExpectedPace(spent, training, _cycle_seconds(state.events), expected)


def _of_this_step(step: Step, pace: ExpectedPace) -> float:
    if step.what == TRAINING:
        total = pace.training if pace.expected is None else pace.expected
        return max(0.0, total - pace.spent)
    if step.what in (CODER, GATE, JUDGE):
        return max(pace.training, (pace.cycle or pace.training) - pace.spent)
    return 0.0


def _rests_on(step: Step, pace: ExpectedPace) -> str:
    training = duration(pace.training)
    parts = []
    if step.what == TRAINING:
        basis = f"of {training}"
        if pace.expected is not None:
            basis = "by its program's word"
        parts.append(f"this training {basis}")
    runs = step.cycles + (step.what in (CODER, GATE, JUDGE))
    if runs:
        whole = f"{training} without the coder"
        if pace.cycle:
            whole = f"{duration(pace.cycle)} with coder and gate"
        parts.append(f"{_several(runs, 'run')} of {whole}")
    if step.trainings:
        parts.append(f"{_several(step.trainings, 'training')} of {training}")
    return ", ".join(parts)


def _several(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number} {noun}s"


def _cycle_seconds(events: list[dict[str, Any]]) -> float | None:
    """Return what a run that succeeded took, from the question to its result, or None before one.

    Failed attempts on the way to it are included.
    """
    total = 0.0
    succeeded = 0
    edit = None
    for event in events:
        if event["event"] == "sitting":  # whatever lay between two commands was no work
            edit = None
        elif event["event"] == "edit":
            edit = event
        elif event["event"] == "attempt":
            succeeded += event["status"] == RunStatus.SUCCESS
            if edit:
                total += edit["seconds"] + max(0.0, event["time"] - edit["time"])
    return total / succeeded if succeeded else None


def _trained_baseline(state: ExperimentState) -> list[float]:
    """Return the seconds of the baseline's seeds that are there already."""
    controls = state.controls
    trained = [seed for seed in controls.seeds if seed not in controls.missing]
    return [load_run(controls.run(seed)).seconds for seed in trained]


def duration(seconds: float) -> str:
    """Return a duration for people: `45 s`, `12 min`, `2.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"

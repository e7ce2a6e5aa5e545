"""How far a training is, as its program says, and how long an experiment will still take, as an estimate.

Everything that a program left is bounded, and only numbers are taken from it, of columns that are known by name.
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

MAX_ROWS_BYTES = 2**20  # of a metrics.csv; of a longer one nothing is said
MIN_SHARE, MIN_SECONDS = 0.02, 1.0  # of a training, before its own pace is believed
SHOWN = 2  # metrics of the run under way


@dataclass(frozen=True)
class TrainingProgress:
    """Of the training under way, in its program's own words."""

    share: float | None = None  # 0 to 1
    epoch: int | None = None  # that is being trained, from 1
    after: int | None = None  # the epoch whose metrics these are
    metrics: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class TimeLeft:
    """Seconds until the verdict, and what that rests on."""

    seconds: float
    at_most: bool
    rests_on: str


def progress_of(story: ExperimentState, step: Step) -> TrainingProgress:
    """Nothing for a step in which no program trains."""
    if step.folder is None:
        return TrainingProgress()
    epochs, share = (
        int(story.config["budget"]["epochs"]),
        share_done(step.folder.work / "progress.json"),
    )
    row = last_row(step.folder.work / "metrics.csv")
    after = int(row["epoch"]) if 0 < row.get("epoch", 0) <= 10**6 else None
    name = story.config["metric"]["name"]
    names = dict.fromkeys(
        [name, *(["val_acc"] if name == "val_accuracy" else []), "val_loss", "train_loss"]
    )
    metrics = tuple((name, row[name]) for name in names if name in row)[:SHOWN]
    by_protocol = not story.config["open"]  # an open scaffold may know no epochs
    epoch = min(epochs, max(int(share * epochs), after or 0) + 1) if by_protocol else after
    return TrainingProgress(share or None, epoch, after, metrics)


def last_row(path: Path) -> dict[str, float]:
    """The finite numbers of the last whole row of a metrics.csv, by column; {} where there is none."""
    data = read_untrusted(path, MAX_ROWS_BYTES)
    if data is None or len(data) == MAX_ROWS_BYTES:
        return {}
    lines = data.decode("utf-8", "replace").split("\n")[:-1]
    try:
        head, cells = (next(csv.reader([line.rstrip("\r")]), []) for line in (lines[0], lines[-1]))
    except (csv.Error, IndexError):
        return {}
    return {
        name: value
        for name, cell in zip(head, cells, strict=False)
        if (value := _number(cell)) is not None
    }


def _number(text: str) -> float | None:
    try:
        return finite(float(text[:64]))
    except ValueError:
        return None


def time_left(
    story: ExperimentState, step: Step, progress: TrainingProgress, now: float
) -> TimeLeft | None:
    """None where nothing was trained yet that it could rest on, and before the coder is there. now: seconds since 1970.

    An estimate: failed attempts are counted as often as they were seen so far; runs that get slower are not foreseen.
    """
    if step.what == STARTING:
        return None
    spent = max(0.0, now - step.begun) if step.begun is not None else 0.0
    trained = list(story.trained) or _trained_baseline(story)
    by_pace = step.what == TRAINING and (progress.share or 0) >= MIN_SHARE and spent >= MIN_SECONDS
    if not trained and not by_pace:
        return None
    # A program may say what it likes; the harness ends it at the time limit.
    total = (
        min(spent / progress.share, story.config["budget"]["timeout"])
        if by_pace and progress.share
        else 0.0
    )
    training = median(trained) if trained else total
    cycle = _cycle_seconds(story.events)
    this = _of_this_step(step, spent, total if by_pace else training, training, cycle or training)
    seconds = this + step.cycles * (cycle or training) + step.trainings * training
    return TimeLeft(seconds, step.at_most, _rests_on(step, by_pace, training, cycle))


def _of_this_step(step: Step, spent: float, total: float, training: float, cycle: float) -> float:
    if step.what == TRAINING:
        return max(0.0, total - spent)
    return max(training, cycle - spent) if step.what in (CODER, GATE, JUDGE) else 0.0


def _rests_on(step: Step, by_pace: bool, training: float, cycle: float | None) -> str:
    said = list[str]()
    if step.what == TRAINING:
        said.append(
            "this training by its program's word"
            if by_pace
            else f"this training of {duration(training)}"
        )
    whole = (
        f"{duration(cycle)} with coder and gate"
        if cycle
        else f"{duration(training)} without the coder"
    )
    if runs := step.cycles + (step.what in (CODER, GATE, JUDGE)):
        said.append(f"{_several(runs, 'run')} of {whole}")
    if step.trainings:
        said.append(f"{_several(step.trainings, 'training')} of {duration(training)}")
    return ", ".join(said)


def _several(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _cycle_seconds(events: list[dict[str, Any]]) -> float | None:
    """What a run that succeeded took from the question to its result, failed attempts included; None before the first."""
    total, edit, succeeded = 0.0, None, 0
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


def _trained_baseline(story: ExperimentState) -> list[float]:
    """Seconds of the baseline's seeds that are there already."""
    baseline = story.baseline
    return [
        load_run(baseline.run(seed)).seconds
        for seed in baseline.seeds
        if seed not in baseline.missing
    ]


def duration(seconds: float) -> str:
    """For people: `45 s`, `12 min`, `2.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

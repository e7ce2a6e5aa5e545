"""Result tables: one experiment from its archive, many from their summaries."""

from __future__ import annotations

from typing import Any

from agent.archive.paths import Archive, RunFolder
from agent.archive.run import Metric, Run, load_run
from agent.report.summary import DAMAGED, FAULT, OLD, RUNNING, UNFINISHED, Summary
from agent.report.terminal.grid import Column, Grid
from agent.util.errors import Fault
from agent.util.files import read_json
from agent.util.text import finite
from agent.verdict.chance import expected_false_wins, sampling_noise

STYLES = {"supported": "green", RUNNING: "cyan", FAULT: "yellow", OLD: "yellow", DAMAGED: "red"}
STAMP = 17  # characters at the end of an experiment's name that tell it from the others of its idea
POINTS = "effect and interval in percentage points"
Q = "q: share of false wins among the ideas whose p-value is no larger"


def experiment_table(archive: Archive, problems: list[str] | None = None) -> Grid:
    """One row an attempt, failed ones too; the change is against the baseline, of one run each, so it is no verdict.

    Raises Fault where a result is gone or damaged; with a list of problems it is noted there, and shown as damaged.
    """
    config = read_json(archive.config)
    folders = [
        folder for folder in (archive.run(0),) if folder.result.is_file()
    ] + archive.attempts()
    runs = [_load(folder, problems) for folder in folders]
    baseline = next((run for run in runs if run and run.number == 0), None)
    metric, reference = Metric(**config["metric"]), baseline.value if baseline else None
    columns = [
        Column("run", [folder.folder.name for folder in folders]),
        Column(
            "status",
            [
                "damaged"
                if not run
                else run.status.value.replace("_", " ")
                if run.number
                else "baseline"
                for run in runs
            ],
        ),
        Column(metric.name, [number(run and run.value, 4) for run in runs], right=True),
        Column(
            "change",
            [change(run.value if run and run.number else None, reference) for run in runs],
            right=True,
        ),
        *(
            Column(
                name,
                [number(run and run.metrics.get(key), digits) for run in runs],
                right=True,
                leave_out=order,
            )
            for name, key, digits, order in (
                ("train loss", "train_loss", 3, 4),
                ("val loss", "val_loss", 3, 4),
                ("images/s", "images_per_second", 0, 3),
                ("params", "parameters", 0, 2),
            )
        ),
        Column(
            "seconds", [number(run and run.seconds, 1) for run in runs], right=True, leave_out=1
        ),
    ]
    title = f"{config['idea']}: {metric.name}" + (
        ", self-reported" if config["open"] else " on validation data"
    )
    return Grid(
        columns,
        title,
        _noise_caption(config, baseline),
        ["" if run and run.ok else "dim" for run in runs],
    )


def verdict_table(shown: list[Summary], among: list[Summary]) -> Grid | None:
    """One row an experiment that has a verdict; None where there is none. among: all that were tried, for which q is corrected."""
    decided = [one for one in shown if one.finished]
    if not decided:
        return None
    compared = sum(one.effect is not None for one in among)
    chance = f"ideas compared: {compared}; {expected_false_wins(compared):.2f} wins are to be expected by chance alone"
    columns = [
        _names(decided),
        Column("verdict", [_words(one.state) for one in decided]),
        Column(
            "effect",
            [points(one.effect["delta"]) if one.effect else "" for one in decided],
            right=True,
            legend=POINTS,
        ),
        Column("95 % interval", [interval(one) for one in decided], right=True),
        Column(
            "q",
            ["" if one.q is None else f"{one.q:.3f}" for one in decided],
            right=True,
            leave_out=3,
            legend=Q,
        ),
        Column("time", [ratio(one.time_ratio) for one in decided], right=True, leave_out=1),
        Column("params", [ratio(one.parameter_ratio) for one in decided], right=True, leave_out=2),
        Column("with", [", ".join(one.qualifiers) for one in decided], leave_out=4, shortest=16),
    ]
    return Grid(columns, "", chance, [STYLES.get(one.state, "") for one in decided])


def overview_table(shown: list[Summary], among: list[Summary]) -> Grid:
    """One row an experiment, whatever became of it."""
    columns = [
        _names(shown),
        Column(
            "data",
            [one.data or ("" if one.state in (OLD, DAMAGED) else "its own") for one in shown],
            leave_out=4,
            shortest=8,
        ),
        Column("baseline", [number(one.baseline, 4) for one in shown], right=True),
        Column("best", [number(one.best, 4) for one in shown], right=True),
        Column("change", [change(one.best, one.baseline) for one in shown], right=True),
        Column("runs", [_known(one, f"{one.runs}") for one in shown], right=True, leave_out=2),
        Column("failed", [_known(one, f"{one.failed}") for one in shown], right=True, leave_out=2),
        Column("tokens", [_known(one, f"{one.tokens}") for one in shown], right=True, leave_out=3),
        Column(
            "cost $",
            [_known(one, "unknown" if one.cost is None else f"{one.cost:.2f}") for one in shown],
            right=True,
            leave_out=1,
        ),
        Column("ended", [ending(one) for one in shown], shortest=14),
    ]
    part = f"{len(shown):,} of {len(among):,} experiments" if len(shown) < len(among) else ""
    return Grid(columns, "", part, [STYLES.get(one.state, "") for one in shown])


def ending(one: Summary) -> str:
    """What ended it, or what it waits for."""
    if one.state in (FAULT, OLD, DAMAGED):
        return f"{_words(one.state)}: {one.note}".replace(f"{one.archive.folder}/", "")
    if one.state == UNFINISHED:
        return "unfinished"
    return one.state if one.state == RUNNING else one.stopped or ""


def interval(one: Summary) -> str:
    """Its ends, in percentage points."""
    return "[{}, {}]".format(*map(points, one.effect["ci95"])) if one.effect else ""


def points(share: float) -> str:
    return f"{100 * share:+.2f}"


def ratio(value: float | None) -> str:
    return f"{value:.1f}x" if value else ""


def change(value: float | None, baseline: float | None) -> str:
    return "" if value is None or baseline is None else f"{value - baseline:+.4f}"


def data_line(info: dict[str, Any]) -> str:
    """What a data set was split into."""
    counts = f"{info['train_count']:,} images to train on, {info['val_count']:,} to validate on, {info['test_count']:,} hidden"
    return f"data: {info['name']}, {counts}; {info['duplicates_dropped']:,} duplicates across the splits dropped"


def run_line(run: Run, metric: Metric) -> str:
    """One attempt as a line, for those who watch or read a log."""
    value = f"{metric.name} {run.value:.4f}, " if run.value is not None else ""
    return f"  {run.folder or 'run_0'}: {run.status.value.replace('_', ' ')}, {value}{run.seconds:.0f} s"


def _load(folder: RunFolder, problems: list[str] | None) -> Run | None:
    try:
        return load_run(folder)
    except Fault as fault:
        if problems is None:
            raise
        problems.append(str(fault))
        return None


def _noise_caption(config: dict[str, Any], baseline: Run | None) -> str:
    if not config["dataset"] or config["open"] or baseline is None:
        return ""
    count = config["dataset"]["val_count"]
    noise = sampling_noise(baseline.value, count)
    return (
        f"one run each: {count:,} images alone explain differences up to {noise:.4f}; seeds come on top"
        if noise
        else ""
    )


def _names(shown: list[Summary]) -> Column:
    return Column("experiment", [one.name for one in shown], shortest=STAMP + 6, tail=STAMP)


def _known(one: Summary, text: str) -> str:
    """Nothing for an experiment of which nothing can be read, where 0 would be a claim."""
    return "" if one.state == DAMAGED else text


def _words(name: str) -> str:
    return name.replace("_", " ")


def number(value: Any, digits: int) -> str:
    return "" if finite(value) is None else f"{value:,.{digits}f}"

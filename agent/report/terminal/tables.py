"""Make the tables of results: of one experiment from its archive, of many from their summaries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from agent.archive.paths import Archive, RunFolder
from agent.archive.run import Metric, Run, load_run
from agent.report.summary import DAMAGED, FAULT, OLD, RUNNING, UNFINISHED, Summary
from agent.report.terminal.grid import Column, Grid
from agent.util.errors import Fault
from agent.util.files import read_json
from agent.util.text import finite
from agent.verdict.chance import expected_false_wins, sampling_noise

STYLES = {
    "supported": "green",
    RUNNING: "cyan",
    FAULT: "yellow",
    OLD: "yellow",
    DAMAGED: "red",
}
STAMP = 17  # characters at the end of an experiment's name that tell it from others of its idea
EXPERIMENT = Column("experiment", shortest=STAMP + 6, tail=STAMP)
POINTS = "effect and interval in percentage points"
Q = "q: share of false wins among the ideas whose p-value is no larger"


def experiment_table(archive: Archive, problems: list[str] | None = None) -> Grid:
    """Return a table with a row for each attempt, failed ones too.

    The change is against the baseline, of one run each, so it is no verdict. Raises Fault where a
    result is gone or damaged; with a list of problems it is noted there, and shown as damaged.
    """
    config = read_json(archive.config)
    folders = archive.attempts()
    if archive.run(0).result.is_file():
        folders = [archive.run(0), *folders]
    runs = [_load(folder, problems) for folder in folders]
    baseline = next((run for run in runs if run and run.number == 0), None)
    reference = baseline.value if baseline else None
    metric = Metric(**config["metric"])
    kind = ", self-reported" if config["open"] else " on validation data"
    columns = [
        Column("run"),
        Column("status"),
        Column(metric.name, right=True),
        Column("change", right=True),
        Column("train loss", right=True, leave_out=4),
        Column("val loss", right=True, leave_out=4),
        Column("images/s", right=True, leave_out=3),
        Column("params", right=True, leave_out=2),
        Column("seconds", right=True, leave_out=1),
    ]
    rows = []
    styles = []
    for folder, run in zip(folders, runs, strict=True):
        rows.append(_attempt_cells(folder, run, reference))
        succeeded = run is not None and run.ok
        styles.append("" if succeeded else "dim")
    return Grid(
        _filled(columns, rows),
        title=f"{config['idea']}: {metric.name}{kind}",
        caption=_noise_caption(config, baseline),
        styles=styles,
    )


def _load(folder: RunFolder, problems: list[str] | None) -> Run | None:
    try:
        return load_run(folder)
    except Fault as fault:
        if problems is None:
            raise
        problems.append(str(fault))
        return None


def _attempt_cells(folder: RunFolder, run: Run | None, baseline: float | None) -> list[str]:
    name = folder.folder.name
    if run is None:
        return [name, "damaged", "", "", "", "", "", "", ""]
    metrics = run.metrics
    return [
        name,
        _words(run.status.value) if run.number else "baseline",
        number(run.value, 4),
        change(run.value, baseline) if run.number else "",
        number(metrics.get("train_loss"), 3),
        number(metrics.get("val_loss"), 3),
        number(metrics.get("images_per_second"), 0),
        number(metrics.get("parameters"), 0),
        number(run.seconds, 1),
    ]


def _noise_caption(config: dict[str, Any], baseline: Run | None) -> str:
    if not config["dataset"] or config["open"] or baseline is None:
        return ""
    count = config["dataset"]["val_count"]
    noise = sampling_noise(baseline.value, count)
    if not noise:
        return ""
    explained = f"{count:,} images alone explain differences up to {noise:.4f}"
    return f"one run each: {explained}; seeds come on top"


def verdict_table(shown: list[Summary], among: list[Summary]) -> Grid | None:
    """Return a table with a row for each experiment that has a verdict; None without any.

    among: all that were tried, for which q is corrected.
    """
    decided = [summary for summary in shown if summary.finished]
    if not decided:
        return None
    compared = sum(summary.effect is not None for summary in among)
    wins = f"{expected_false_wins(compared):.2f} wins are to be expected by chance alone"
    columns = [
        EXPERIMENT,
        Column("verdict"),
        Column("effect", right=True, legend=POINTS),
        Column("95 % interval", right=True),
        Column("q", right=True, leave_out=3, legend=Q),
        Column("time", right=True, leave_out=1),
        Column("params", right=True, leave_out=2),
        Column("with", leave_out=4, shortest=16),
    ]
    return Grid(
        _filled(columns, map(_verdict_cells, decided)),
        caption=f"ideas compared: {compared}; {wins}",
        styles=list(map(_style, decided)),
    )


def _verdict_cells(summary: Summary) -> list[str]:
    effect = summary.effect
    return [
        summary.name,
        _words(summary.state),
        points(effect["delta"]) if effect else "",
        interval(summary),
        number(summary.q, 3),
        ratio(summary.time_ratio),
        ratio(summary.parameter_ratio),
        ", ".join(summary.qualifiers),
    ]


def overview_table(shown: list[Summary], among: list[Summary]) -> Grid:
    """Return a table with a row for each experiment, whatever became of it."""
    part = ""
    if len(shown) < len(among):
        part = f"{len(shown):,} of {len(among):,} experiments"
    columns = [
        EXPERIMENT,
        Column("data", leave_out=4, shortest=8),
        Column("baseline", right=True),
        Column("best", right=True),
        Column("change", right=True),
        Column("runs", right=True, leave_out=2),
        Column("failed", right=True, leave_out=2),
        Column("tokens", right=True, leave_out=3),
        Column("cost $", right=True, leave_out=1),
        Column("ended", shortest=14),
    ]
    return Grid(
        _filled(columns, map(_overview_cells, shown)),
        caption=part,
        styles=list(map(_style, shown)),
    )


def _overview_cells(summary: Summary) -> list[str]:
    values = [
        number(summary.baseline, 4),
        number(summary.best, 4),
        change(summary.best, summary.baseline),
    ]
    if summary.state == DAMAGED:  # nothing can be read, and 0 would be a claim
        return [summary.name, _data(summary), *values, "", "", "", "", ending(summary)]
    return [
        summary.name,
        _data(summary),
        *values,
        str(summary.runs),
        str(summary.failed),
        str(summary.tokens),
        "unknown" if summary.cost is None else f"{summary.cost:.2f}",
        ending(summary),
    ]


def _data(summary: Summary) -> str:
    if summary.data or summary.state in (OLD, DAMAGED):
        return summary.data
    return "its own"


def _filled(columns: list[Column], rows: Iterable[list[str]]) -> list[Column]:
    """Return the columns with the cells of these rows, each of which has a cell for each column."""
    filled = [replace(column, cells=[]) for column in columns]
    for row in rows:
        for column, cell in zip(filled, row, strict=True):
            column.cells.append(cell)
    return filled


def _style(summary: Summary) -> str:
    return STYLES.get(summary.state, "")


def ending(summary: Summary) -> str:
    """Return what ended an experiment, or what it waits for."""
    if summary.state in (FAULT, OLD, DAMAGED):
        note = f"{_words(summary.state)}: {summary.note}"
        return note.replace(f"{summary.archive.folder}/", "")
    if summary.state in (UNFINISHED, RUNNING):
        return summary.state
    return summary.stopped or ""


def interval(summary: Summary) -> str:
    """Return the ends of the 95 % interval, in percentage points; '' without an effect."""
    if not summary.effect:
        return ""
    low, high = summary.effect["ci95"]
    return f"[{points(low)}, {points(high)}]"


def points(share: float) -> str:
    """Return a share of 1 in percentage points, with its sign."""
    return f"{100 * share:+.2f}"


def ratio(value: float | None) -> str:
    """Return a ratio such as `1.4x`; '' for none."""
    if not value:
        return ""
    return f"{value:.1f}x"


def change(value: float | None, baseline: float | None) -> str:
    """Return the difference of a value from the baseline; '' where one of them is missing."""
    if value is None or baseline is None:
        return ""
    return f"{value - baseline:+.4f}"


def number(value: Any, digits: int) -> str:
    """Return a finite number with so many decimals; '' for anything else."""
    if finite(value) is None:
        return ""
    return f"{value:,.{digits}f}"


def data_line(info: dict[str, Any]) -> str:
    """Return a line about a data set: what it was split into."""
    return (
        f"data: {info['name']}, {info['train_count']:,} images to train on, "
        f"{info['val_count']:,} to validate on, {info['test_count']:,} hidden; "
        f"{info['duplicates_dropped']:,} duplicates across the splits dropped"
    )


def run_line(run: Run, metric: Metric) -> str:
    """Return one attempt as a line, for those who watch or read a log."""
    value = "" if run.value is None else f"{metric.name} {run.value:.4f}, "
    status = _words(run.status.value)
    return f"  {run.folder or 'run_0'}: {status}, {value}{run.seconds:.0f} s"


def _words(name: str) -> str:
    return name.replace("_", " ")

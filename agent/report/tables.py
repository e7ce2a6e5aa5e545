"""Result tables, from archives alone."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from agent.archive import Archive, RunFolder
from agent.errors import Fault
from agent.files import read_events, read_json
from agent.report.verdicts import load_verdict
from agent.run import Metric, Run, load_run, sampling_noise
from agent.text import clean, finite

LOSSES = (("train loss", "train_loss"), ("val loss", "val_loss"))
WIDE = 110  # columns of a terminal from which the losses are shown too


def experiment_table(archive: Archive, width: int = WIDE) -> Table:
    """One row an attempt, failed ones too; the change is against the baseline, of one run each, so it is no verdict."""
    config, baseline = read_json(archive.config), _baseline(archive)
    metric = Metric(**config["metric"])
    title = clean(f"{config['idea']}: {metric.name}") + (", self-reported" if config["open"] else " on validation data")
    table = Table(title=escape(title), title_style="bold", box=SIMPLE_HEAD, caption=_noise_caption(config, baseline))
    runs = ([baseline] if baseline else []) + [load_run(folder) for folder in archive.attempts()]
    columns = [
        ("run", [escape(run.folder or "run_0") for run in runs]),
        ("status", [run.status.value.replace("_", " ") if run.number else "baseline" for run in runs]),
        (metric.name, [_number(run.value, 4) for run in runs]),
        ("change", [_change(run, baseline) for run in runs]),
        *((name, [_number(run.metrics.get(key), 3) for run in runs]) for name, key in LOSSES if width >= WIDE),
        ("images/s", [_number(run.metrics.get("images_per_second"), 0) for run in runs]),
        ("params", [_number(run.metrics.get("parameters"), 0) for run in runs]),
        ("seconds", [_number(run.seconds, 1) for run in runs]),
    ]
    shown = [(name, cells) for name, cells in columns if any(cells)]
    for index, (name, _) in enumerate(shown):
        table.add_column(escape(name), justify="left" if index < 2 else "right", no_wrap=True)
    for run, row in zip(runs, zip(*(cells for _, cells in shown), strict=True), strict=True):
        table.add_row(*row, style=None if run.ok else "dim")
    return table


def data_line(info: dict[str, Any]) -> str:
    """What a data set was split into."""
    counts = f"{info['train_count']:,} images to train on, {info['val_count']:,} to validate on, {info['test_count']:,} hidden"
    return f"data: {info['name']}, {counts}; {info['duplicates_dropped']:,} duplicates across the splits dropped"


def run_line(run: Run, metric: Metric) -> str:
    """One attempt as a line, for those who watch or read a log."""
    value = f"{metric.name} {run.value:.4f}, " if run.value is not None else ""
    return f"  {run.folder or 'run_0'}: {run.status.value.replace('_', ' ')}, {value}{run.seconds:.0f} s"


def _noise_caption(config: dict[str, Any], baseline: Run | None) -> str | None:
    if not config["dataset"] or config["open"] or baseline is None:
        return None
    count = config["dataset"]["val_count"]
    noise = sampling_noise(baseline.value, count)
    return f"one run each: {count:,} images alone explain differences up to {noise:.4f}; seeds come on top" if noise else None


def overview_table(archives: list[Archive]) -> Table:
    """One row an experiment, in order of idea and time."""
    table = Table("experiment", "data", "baseline", "best", "change", "runs", "failed", "tokens", "cost $", "ended", box=SIMPLE_HEAD)
    for archive in archives:
        try:
            row = _overview_row(archive)
        except (Fault, KeyError) as error:  # one damaged archive must not hide the others
            row = [_name(archive), *[""] * 8, f"damaged: {error}"]
        table.add_row(*(escape(clean(cell)) for cell in row))
    return table


def _overview_row(archive: Archive) -> list[str]:
    config, events = read_json(archive.config), read_events(archive.events)
    load_verdict(archive)  # one that cannot be read is missing in the table of verdicts, so it is named in this one
    metric = Metric(**config["metric"])
    by_name: dict[str, list[dict]] = {}
    for event in events:
        by_name.setdefault(event["event"], []).append(event)
    baseline = by_name.get("baseline", [{"value": None}])[-1]["value"]
    attempts, edits = by_name.get("attempt", []), by_name.get("edit", [])
    values = [attempt["value"] for attempt in attempts if attempt["value"] is not None]
    best = metric.best(values)
    costs = [edit["cost"] for edit in edits]
    last: dict[str, Any] = next((event for event in reversed(events) if event["event"] in ("stopped", "fault", "edit", "attempt")), {})
    ended = {"stopped": last.get("reason"), "fault": f"fault: {last.get('kind')}"}.get(last.get("event", ""), "unfinished")
    return [
        _name(archive), config["dataset"]["name"] if config["dataset"] else "its own",
        _number(baseline, 4), _number(best, 4), "" if best is None or baseline is None else f"{best - baseline:+.4f}",
        str(len(values)), str(len(attempts) - len(values)), str(sum(edit["tokens_sent"] + edit["tokens_received"] for edit in edits)),
        "unknown" if None in costs else f"{sum(costs):.2f}", str(ended),
    ]  # fmt: skip


def _name(archive: Archive) -> str:
    return f"{archive.folder.parent.name}/{archive.folder.name}"


def _baseline(archive: Archive) -> Run | None:
    folder: RunFolder = archive.run(0)
    return load_run(folder) if folder.result.is_file() else None


def _change(run: Run, baseline: Run | None) -> str:
    if run.value is None or baseline is None or baseline.value is None or run.number == 0:
        return ""
    return f"{run.value - baseline.value:+.4f}"


def _number(value: Any, digits: int) -> str:
    return "" if finite(value) is None else f"{value:,.{digits}f}"

"""Result tables, from archives alone."""

from __future__ import annotations

from typing import Any

from rich.markup import escape
from rich.table import Table

from agent.archive import Archive, RunFolder
from agent.files import read_events, read_json
from agent.run import Metric, Run, load_run, sampling_noise


def experiment_table(archive: Archive) -> Table:
    """One row an attempt, failed ones too; the change is against the baseline, of one run each, so it is no verdict."""
    config, baseline = read_json(archive.config), _baseline(archive)
    metric = Metric(**config["metric"])
    title = f"{config['idea']}: {metric.name}" + (", self-reported" if config["open"] else " on validation data")
    table = Table(
        "run", "status", metric.name, "change", "train loss", "val loss", "images/s", "parameters", "seconds", title=escape(title)
    )
    for column in table.columns[2:]:
        column.justify = "right"
    if config["dataset"] and not config["open"] and baseline:
        count = config["dataset"]["val_count"]
        noise = sampling_noise(baseline.value, count)
        table.caption = f"one run each: {count:,} images alone explain differences up to {noise:.4f}; seeds come on top" if noise else None
    for run in ([baseline] if baseline else []) + [load_run(folder) for folder in archive.attempts()]:
        info = run.metrics
        table.add_row(
            escape(run.folder or "run_0 (baseline)"), run.status.value, _number(run.value, 4), _change(run, baseline),
            _number(info.get("train_loss"), 3), _number(info.get("val_loss"), 3), _number(info.get("images_per_second"), 0),
            _number(info.get("parameters"), 0), _number(run.seconds, 1), style=None if run.ok else "dim",
        )  # fmt: skip
    return table


def overview_table(archives: list[Archive]) -> Table:
    """One row an experiment, in order of idea and time."""
    table = Table("experiment", "data", "baseline", "best", "change", "runs", "failed", "tokens", "cost $", "ended")
    for archive in archives:
        table.add_row(*(escape(cell) for cell in _overview_row(archive)))
    return table


def _overview_row(archive: Archive) -> list[str]:
    config, events = read_json(archive.config), read_events(archive.events)
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
        f"{archive.folder.parent.name}/{archive.folder.name}", config["dataset"]["name"] if config["dataset"] else "its own",
        _number(baseline, 4), _number(best, 4), "" if best is None or baseline is None else f"{best - baseline:+.4f}",
        str(len(values)), str(len(attempts) - len(values)), str(sum(edit["tokens_sent"] + edit["tokens_received"] for edit in edits)),
        "unknown" if None in costs else f"{sum(costs):.2f}", str(ended),
    ]  # fmt: skip


def _baseline(archive: Archive) -> Run | None:
    folder: RunFolder = archive.run(0)
    return load_run(folder) if folder.result.is_file() else None


def _change(run: Run, baseline: Run | None) -> str:
    if run.value is None or baseline is None or baseline.value is None or run.number == 0:
        return ""
    return f"{run.value - baseline.value:+.4f}"


def _number(value: Any, digits: int) -> str:
    return f"{value:,.{digits}f}" if isinstance(value, (int, float)) and not isinstance(value, bool) else ""

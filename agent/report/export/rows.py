"""Experiments as rows for scripts (`review --json`, `review --csv`), chosen and put in order.

A row has these fields, always all of them and in this order. What is not known is null in JSON and
empty in CSV; numbers are numbers.

    name             <idea>/<stamp>, as `review NAME` takes it
    folder           of the archive
    state            the class of the verdict (supported, not_supported, inconclusive,
                     not_implemented, no_result, invalid), or why there is none: running,
                     unfinished, fault, old_format, damaged
    note             the verdict's reasons; which fault stopped it; what is damaged
    title, data, epochs, model, metric
    self_reported    true where the numbers are the program's own (an open scaffold)
    baseline, best   of the metric on validation data, one run each; change: best - baseline
    runs, failed     how many runs the coder made, and failed attempts
    effect           idea - control on the hidden test, in shares of 1 (0.019 is 1.9 percentage
                     points)
    low, high        ends of its 95 % interval, likewise
    p_value          one-sided; q: share of false wins among the experiments under runs/ whose
                     p-value is no larger; null for one alone
    idea_seeds, control_seeds      how many fresh seeds were compared
    time_ratio, parameter_ratio    idea / scaffold
    qualifiers       what has to be said with the verdict: a list in JSON, joined by "; " in CSV
    tokens, cost     cost in US dollars, null where a price is unknown
    stopped          why the coder stopped
    began, ended     seconds since 1970; seconds: that commands worked on it

In CSV a text that a spreadsheet would take for a formula begins with an apostrophe. Control
characters never stand in either.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from agent.archive.paths import Archive
from agent.report.summary import DAMAGED, OLD, STATES, Summary
from agent.util.errors import UserError
from agent.util.secrets import redact
from agent.util.text import visible

LARGEST_FIRST = (
    "effect",
    "low",
    "high",
    "best",
    "change",
    "runs",
    "failed",
    "time_ratio",
    "parameter_ratio",
    "tokens",
    "cost",
    "began",
    "ended",
    "seconds",
)
SMALLEST_FIRST = ("name", "state", "title", "data", "epochs", "model", "baseline", "p_value", "q")
HEADINGS = {
    "experiment": "name",
    "verdict": "state",
    "interval": "low",
    "time": "time_ratio",
    "params": "parameter_ratio",
}
COUNTED = ("runs", "failed", "tokens", "seconds")  # 0 in a summary that could not be read
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def row(summary: Summary) -> dict[str, Any]:
    """Return the row of one experiment: the fields that the module's docstring lists."""
    effect = summary.effect or {}
    low, high = effect.get("ci95", (None, None))
    change = None
    if summary.best is not None and summary.baseline is not None:
        change = summary.best - summary.baseline
    fields: dict[str, Any] = {
        "name": summary.name,
        "folder": str(summary.archive.folder),
        "state": summary.state,
        "note": summary.note,
        "title": summary.title,
        "data": summary.data,
        "epochs": summary.epochs,
        "model": summary.model,
        "metric": summary.metric,
        "self_reported": summary.open,
        "baseline": summary.baseline,
        "best": summary.best,
        "change": change,
        "runs": summary.runs,
        "failed": summary.failed,
        "effect": effect.get("delta"),
        "low": low,
        "high": high,
        "p_value": effect.get("p_value"),
        "q": summary.q,
        "idea_seeds": effect.get("n_cand"),
        "control_seeds": effect.get("n_base"),
        "time_ratio": summary.time_ratio,
        "parameter_ratio": summary.parameter_ratio,
        "qualifiers": list(summary.qualifiers),
        "tokens": summary.tokens,
        "cost": summary.cost,
        "stopped": summary.stopped,
        "began": summary.began,
        "ended": summary.ended,
        "seconds": summary.seconds,
    }
    if summary.state in (DAMAGED, OLD):
        fields |= dict.fromkeys(COUNTED)
    return fields


def as_json(summaries: Iterable[Summary]) -> str:
    """Return a JSON array with one object a line."""
    lines = ",".join(f"\n{dump(row(summary))}" for summary in summaries)
    return f"[{lines}\n]\n"


def dump(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON in ASCII.

    So no control character can reach a terminal, and no half of a pair of surrogates a reader.
    """
    return redact(json.dumps(value, indent=indent))


def as_csv(summaries: Iterable[Summary]) -> str:
    """Return a heading, and one line an experiment."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    nothing = Summary(archive=Archive(Path()), state=DAMAGED)
    writer.writerow(row(nothing))  # the names of its fields
    for summary in summaries:
        writer.writerow([_cell(value) for value in row(summary).values()])
    return redact(text.getvalue())


def chosen(summaries: list[Summary], classes: set[str]) -> list[Summary]:
    """Return the experiments of these states, and all of them where no state is named."""
    return [summary for summary in summaries if not classes or summary.state in classes]


def states_of(arguments: list[str]) -> set[str]:
    """Return the states that `--verdict` names, repeated or comma separated.

    Raises UserError for what is no state of an experiment.
    """
    names = set()
    for argument in arguments:
        for name in argument.split(","):
            words = name.strip().lower()
            names.add(words.replace("-", "_").replace(" ", "_"))
    unknown = sorted(names.difference(STATES))
    if unknown:
        raise UserError(f"--verdict {unknown[0]}: no such class; there are {', '.join(STATES)}")
    return names


def ordered(summaries: list[Summary], column: str | None) -> list[Summary]:
    """Return the experiments by a field of row() or a heading of the tables.

    Those without a value come last. Raises UserError for another name.
    """
    if column is None:
        return summaries
    column = HEADINGS.get(column, column)
    columns = LARGEST_FIRST + SMALLEST_FIRST
    if column not in columns:
        raise UserError(f"--sort {column}: no such column; there are {', '.join(sorted(columns))}")
    known = []
    unknown = []
    for summary in summaries:
        value = _sort_value(summary, column)
        if value is None:
            unknown.append(summary)
        else:
            known.append((value, summary))
    known.sort(key=lambda pair: pair[0], reverse=column in LARGEST_FIRST)
    return [summary for _, summary in known] + unknown


def _sort_value(summary: Summary, column: str) -> Any:
    if column == "state":
        return STATES.index(summary.state)
    return row(summary)[column]


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        value = "; ".join(value)
    if not isinstance(value, str):
        return value
    text = visible(value)
    if text.startswith(FORMULA):
        return f"'{text}"
    return text

"""Experiments as rows for scripts (`review --json`, `review --csv`), and which of them are shown, in which order.

A row has these fields, always all of them and in this order. What is not known is null in JSON and empty in CSV; numbers are numbers.

    name             <idea>/<stamp>, as `review NAME` takes it
    folder           of the archive
    state            the class of the verdict (supported, not_supported, inconclusive, not_implemented, no_result, invalid), or why
                     there is none: running, unfinished, fault, old_format, damaged
    note             the verdict's reasons; which fault stopped it; what is damaged
    title, data, epochs, model, metric
    self_reported    true where the numbers are the program's own (an open scaffold)
    baseline, best   of the metric on validation data, one run each; change: best - baseline
    runs, failed     how many runs the coder made, and failed attempts
    effect           idea - control on the hidden test, in shares of 1 (0.019 is 1.9 percentage points)
    low, high        ends of its 95 % interval, likewise
    p_value          one-sided; q: share of false wins among the experiments under runs/ whose p-value is no larger; null for one alone
    idea_seeds, control_seeds      how many fresh seeds were compared
    time_ratio, parameter_ratio    idea / scaffold
    qualifiers       what has to be said with the verdict: a list in JSON, joined by "; " in CSV
    tokens, cost     cost in US dollars, null where a price is unknown
    stopped          why the coder stopped
    began, ended     seconds since 1970; seconds: that commands worked on it

In CSV a text that a spreadsheet would take for a formula begins with an apostrophe. Control characters never stand in either.
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
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def row(one: Summary) -> dict[str, Any]:
    effect, known = one.effect or {}, one.state not in (DAMAGED, OLD)
    low, high = effect.get("ci95", (None, None))
    change = None if one.best is None or one.baseline is None else one.best - one.baseline
    return {
        "name": one.name,
        "folder": str(one.archive.folder),
        "state": one.state,
        "note": one.note,
        "title": one.title,
        "data": one.data,
        "epochs": one.epochs,
        "model": one.model,
        "metric": one.metric,
        "self_reported": one.open,
        "baseline": one.baseline,
        "best": one.best,
        "change": change,
        "runs": one.runs if known else None,
        "failed": one.failed if known else None,
        "effect": effect.get("delta"),
        "low": low,
        "high": high,
        "p_value": effect.get("p_value"),
        "q": one.q,
        "idea_seeds": effect.get("n_cand"),
        "control_seeds": effect.get("n_base"),
        "time_ratio": one.time_ratio,
        "parameter_ratio": one.parameter_ratio,
        "qualifiers": list(one.qualifiers),
        "tokens": one.tokens if known else None,
        "cost": one.cost,
        "stopped": one.stopped,
        "began": one.began,
        "ended": one.ended,
        "seconds": one.seconds if known else None,
    }


def as_json(found: Iterable[Summary]) -> str:
    """An array with one object a line."""
    return "[" + ",".join(f"\n{dump(row(one))}" for one in found) + "\n]\n"


def dump(value: Any, indent: int | None = None) -> str:
    """JSON in ASCII: no control character can reach a terminal, no half of a pair of surrogates a reader."""
    return redact(json.dumps(value, indent=indent))


def as_csv(found: Iterable[Summary]) -> str:
    """A heading, and one line an experiment."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(row(Summary(Archive(Path()), DAMAGED)))
    writer.writerows([_cell(value) for value in row(one).values()] for one in found)
    return redact(text.getvalue())


def chosen(found: list[Summary], classes: set[str]) -> list[Summary]:
    """Those of these states; all where none is named."""
    return [one for one in found if not classes or one.state in classes]


def states_of(asked: list[str]) -> set[str]:
    """`--verdict`, repeated or comma separated. Raises UserError for what is no state of an experiment."""
    names = {
        name.strip().lower().replace("-", "_").replace(" ", "_")
        for one in asked
        for name in one.split(",")
    }
    if unknown := sorted(names.difference(STATES)):
        raise UserError(f"--verdict {unknown[0]}: no such class; there are {', '.join(STATES)}")
    return names


def ordered(found: list[Summary], column: str | None) -> list[Summary]:
    """By a field of row() or a heading of the tables, those without a value last. Raises UserError for another name."""
    if column is None:
        return found
    column = HEADINGS.get(column, column)
    if column not in LARGEST_FIRST + SMALLEST_FIRST:
        raise UserError(
            f"--sort {column}: no such column; there are {', '.join(sorted(LARGEST_FIRST + SMALLEST_FIRST))}"
        )
    keyed = [
        (STATES.index(one.state) if column == "state" else row(one)[column], one) for one in found
    ]
    known = sorted(
        (pair for pair in keyed if pair[0] is not None),
        key=lambda pair: pair[0],
        reverse=column in LARGEST_FIRST,
    )
    return [one for _, one in known] + [one for value, one in keyed if value is None]


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        value = "; ".join(value)
    if not isinstance(value, str):
        return value
    text = visible(value)
    return f"'{text}" if text.startswith(FORMULA) else text

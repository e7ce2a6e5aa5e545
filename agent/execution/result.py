"""The result of a run, read from what it left: plain data that a model's program wrote."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from agent.archive.paths import RunFolder
from agent.archive.run import NAME, Budget, Metric, Run, RunStatus
from agent.execution.failure import explain
from agent.execution.request import Execution
from agent.util.files import read_untrusted, read_untrusted_text, write_bytes
from agent.util.text import clean, finite

MAX_FIELDS = 200
MAX_TEXT = 200  # characters of a text among the results

_OUT_OF_MEMORY = re.compile(
    r"^(MemoryError|RuntimeError:.*(can't allocate memory|out of memory)|.*OutOfMemoryError)", re.M
)

_STATUS_OF_LIMIT = {
    "": RunStatus.CRASH,
    "time": RunStatus.TIMEOUT,
    "memory": RunStatus.MEMORY_LIMIT,
    "processes": RunStatus.PROCESS_LIMIT,
    "disk": RunStatus.DISK_LIMIT,
}


def read_run(number: int, folder: RunFolder, execution: Execution, metric: Metric) -> Run:
    """Return the run with what it reports of itself, or with what went wrong.

    Never raises for what the program did.
    """
    rows = read_untrusted(folder.work / "metrics.csv")
    if rows is not None:
        write_bytes(folder.metrics, rows)
    run = Run(
        number,
        RunStatus.SUCCESS,
        "",
        seconds=execution.seconds,
        cpu_seconds=execution.cpu_seconds,
        used=asdict(execution.used),
    )
    if not execution.ok:
        message = explain(
            execution, read_untrusted_text(folder.stdout), read_untrusted_text(folder.stderr)
        )
        limit = execution.limit
        if not limit and _OUT_OF_MEMORY.search(message):
            limit = "memory"
        return replace(run, status=_STATUS_OF_LIMIT[limit], message=message)
    info, problem = _final_info(folder.work)
    value = finite(info.get(metric.name))
    if not problem and value is None:
        problem = f"final_info.json has no finite number {metric.name!r}"
    if problem:
        message = f"It ended without an error, but {problem}."
        return replace(run, status=RunStatus.NO_RESULT, message=message)
    return replace(run, metrics=info, value=value)


def implausible(metrics: dict[str, Any], budget: Budget) -> str:
    """Return why final_info.json cannot be protocol.py's own, or ''.

    It is evidence, not proof: main.py could write all of this.
    """
    accuracy = finite(metrics.get("val_accuracy"))
    if accuracy is None or not 0 <= accuracy <= 1:
        return (
            f"The val_accuracy in final_info.json is {metrics.get('val_accuracy')}; "
            "protocol.py writes a share of 1."
        )
    epochs = finite(metrics.get("epochs"))
    steps = finite(metrics.get("steps"))
    samples = finite(metrics.get("samples"))
    if epochs != budget.epochs or not steps or not samples:
        return (
            "final_info.json does not tell of a whole training: "
            "call protocol.run(Model) last, as the scaffold does."
        )
    for key in ("parameters", "updates", "backwards"):
        count = finite(metrics.get(key))
        if count is None or count <= 0:
            return (
                "final_info.json does not count parameters, updates and backward passes: "
                "leave what protocol.py writes as it is."
            )
    return ""


def _final_info(work: Path) -> tuple[dict[str, Any], str]:
    """Return the plain values of final_info.json, or what is wrong with it.

    The form {"set": {"means": {...}}}, which some scaffolds write, is flattened.
    """
    data = read_untrusted(work / "final_info.json", 2**20)
    if data is None:
        return {}, "it wrote no final_info.json"
    try:
        stored = json.loads(data)
    except (ValueError, RecursionError):
        return {}, "its final_info.json is not JSON"
    if not isinstance(stored, dict):
        return {}, "its final_info.json is not an object"
    means: dict[str, Any] = {}
    for value in stored.values():
        if isinstance(value, dict) and isinstance(value.get("means"), dict):
            means |= value["means"]
    info = {}
    for key, value in list((means | stored).items())[:MAX_FIELDS]:
        plain = _plain(value)
        if NAME.fullmatch(key) and plain is not None:
            info[key] = plain
    return info, ""


def _plain(value: Any) -> str | float | int | bool | None:
    """Return a short text, a finite number or a truth value; None for anything else."""
    if isinstance(value, str):
        return clean(value).replace("\n", " ")[:MAX_TEXT]
    plain = isinstance(value, bool) or finite(value) is not None
    return value if plain else None

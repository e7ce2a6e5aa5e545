"""TODO: docstring."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.archive.paths import RunFolder
from agent.archive.run import NAME, Budget, Metric, Run, RunStatus
from agent.execution.failure import explain
from agent.util.files import read_untrusted, read_untrusted_text, write_bytes
from agent.util.text import clean, finite

if TYPE_CHECKING:
    from agent.execution.request import Execution


MAX_FIELDS = 200

_OUT_OF_MEMORY = re.compile(
    r"^(MemoryError|RuntimeError:.*(can't allocate memory|out of memory)|.*OutOfMemoryError)", re.M
)


_OF_LIMIT = {
    "": RunStatus.CRASH,
    "time": RunStatus.TIMEOUT,
    "memory": RunStatus.MEMORY_LIMIT,
    "processes": RunStatus.PROCESS_LIMIT,
    "disk": RunStatus.DISK_LIMIT,
}


def read_run(number: int, folder: RunFolder, execution: Execution, metric: Metric) -> Run:
    """What came out. Never raises for what the program did."""
    if (rows := read_untrusted(folder.work / "metrics.csv")) is not None:
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
        limit = execution.limit or ("memory" if _OUT_OF_MEMORY.search(message) else "")
        return replace(run, status=_OF_LIMIT[limit], message=message)
    info, problem = _final_info(folder.work)
    measured = finite(info.get(metric.name))
    if not problem and measured is None:
        problem = f"final_info.json has no finite number {metric.name!r}"
    if problem:
        return replace(
            run, status=RunStatus.NO_RESULT, message=f"It ended without an error, but {problem}."
        )
    return replace(run, metrics=info, value=measured)


def implausible(metrics: dict[str, Any], budget: Budget) -> str:
    """Why final_info.json cannot be protocol.py's own, or ''. Evidence, not proof: main.py could write all of this."""
    accuracy, epochs, steps, samples = (
        finite(metrics.get(key)) for key in ("val_accuracy", "epochs", "steps", "samples")
    )
    if accuracy is None or not 0 <= accuracy <= 1:
        return f"The val_accuracy in final_info.json is {metrics.get('val_accuracy')}; protocol.py writes a share of 1."
    if epochs != budget.epochs or not steps or not samples:
        return "final_info.json does not tell of a whole training: call protocol.run(Model) last, as the scaffold does."
    if any((finite(metrics.get(key)) or -1) <= 0 for key in ("parameters", "updates", "backwards")):
        return "final_info.json does not count parameters, updates and backward passes: leave what protocol.py writes as it is."
    return ""


def _final_info(work: Path) -> tuple[dict[str, Any], str]:
    """Its plain values, flattened from the {"set": {"means": {...}}} form that some scaffolds write; or what is wrong."""
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
    kept = {
        key: _plain(value)
        for key, value in list((means | stored).items())[:MAX_FIELDS]
        if NAME.fullmatch(key)
    }
    return {key: value for key, value in kept.items() if value is not None}, ""


def _plain(value: Any) -> str | float | int | bool | None:
    """A short text, a finite number or a truth value; None for anything else."""
    if isinstance(value, str):
        return clean(value).replace("\n", " ")[:200]
    return value if isinstance(value, bool) or finite(value) is not None else None

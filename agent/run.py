"""One attempt to train main.py: its request to the runner, and what is read of what it left.

What a run leaves was written by a model's program: read as regular files only, bounded, never executed or unpickled.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.archive import RunFolder
from agent.errors import Fault
from agent.failure import explain
from agent.files import read_json, read_untrusted, write_bytes
from agent.text import clean, finite

if TYPE_CHECKING:  # tables of many experiments need neither
    from agent.datasets import Dataset
    from agent.runner import Execution

MAX_FIELDS = 200
_OUT_OF_MEMORY = re.compile(r"^(MemoryError|RuntimeError:.*(can't allocate memory|out of memory)|.*OutOfMemoryError)", re.M)
NAME = re.compile(r"[\w./ -]{1,80}")  # of a number that a run tells of; anything else is no name


class RunStatus(str, Enum):
    """How an attempt ended. Everything but SUCCESS is a failed attempt and does not count as a run."""

    SUCCESS = "success"
    NO_EDIT = "no_edit"  # the reply changed nothing
    GUARD_FAILED = "guard_failed"  # a file was edited that may not be, or main.py does what belongs to protocol.py
    LINT_FAILED = "lint_failed"
    SMOKE_FAILED = "smoke_failed"  # a few steps already crash, hang, or give a loss that is not a number
    NOT_LIVE = "not_live"  # switching the idea on changes nothing
    REQUIREMENTS_FAILED = "requirements_failed"  # requirements.txt names what may not, or cannot, be installed
    RECIPE_CHANGED = "recipe_changed"  # another learning rate, batch size, ... of which the idea says nothing
    CRASH = "crash"
    TIMEOUT = "timeout"
    MEMORY_LIMIT = "memory_limit"  # these three: it took more than it may, and was stopped
    PROCESS_LIMIT = "process_limit"
    DISK_LIMIT = "disk_limit"
    NO_RESULT = "no_result"  # it ended well and left no readable result


_OF_LIMIT = {"": RunStatus.CRASH, "time": RunStatus.TIMEOUT, "memory": RunStatus.MEMORY_LIMIT, "processes": RunStatus.PROCESS_LIMIT,
             "disk": RunStatus.DISK_LIMIT}  # fmt: skip


@dataclass(frozen=True)
class Metric:
    """The number that runs are compared by."""

    name: str = "val_accuracy"
    direction: str = "max"

    def best(self, values: list[float]) -> float | None:
        return (max if self.direction == "max" else min)(values, default=None)


@dataclass(frozen=True)
class Budget:
    """What every run of an experiment gets alike."""

    epochs: int
    seed: int
    timeout: float  # seconds
    device: str = "auto"
    threads: int = 2


@dataclass(frozen=True)
class Run:
    """One attempt, complete."""

    number: int  # 0 is the baseline
    status: RunStatus
    folder: str  # its name in the archive
    metrics: dict[str, Any] = field(default_factory=dict)  # final_info.json, plain numbers and texts only
    value: float | None = None  # of the metric that runs are compared by
    message: str = ""  # what went wrong, for the coder
    seconds: float = 0.0  # wall clock of the training process, and of the prediction: work may be moved from one to the other
    cpu_seconds: float = 0.0  # of the same, with all that they started
    self_reported: bool = False  # the number comes from code that the coder edits
    environment: str = ""  # key of what it ran with; the packages are in its environment.json
    variables: dict[str, str] = field(default_factory=dict)  # how the harness's decisions reached the program
    used: dict[str, int] = field(default_factory=dict)  # the most at one time: memory (bytes), processes, disk (bytes)
    sandbox: str = "none"  # that it was trained in
    network: bool = False  # it could use the network

    @property
    def ok(self) -> bool:
        return self.status is RunStatus.SUCCESS

    def save(self) -> dict[str, Any]:
        return asdict(self) | {"status": self.status.value}


_ADDED = ("environment", "used", "sandbox", "network")  # which older archives lack


def load_run(folder: RunFolder) -> Run:
    """Raises Fault("archive", ...) where the result is gone or damaged."""
    stored = read_json(folder.result)
    try:
        kept = {name: stored[name] for name in Run.__dataclass_fields__ if name != "status" and (name in stored or name not in _ADDED)}
        return _typed(Run(**kept, status=RunStatus(stored["status"])))
    except (KeyError, TypeError, ValueError) as error:
        raise Fault("archive", f"{folder.result}: not a result of this version: {error}") from error


def _typed(run: Run) -> Run:
    """The same. Raises ValueError for what was edited by hand to another type than is computed with."""
    texts, parts = (run.folder, run.message, run.environment, run.sandbox), (run.metrics, run.variables, run.used)
    numbers = (run.number, run.seconds, run.cpu_seconds, 0 if run.value is None else run.value)
    if not all(isinstance(text, str) for text in texts) or not all(isinstance(part, dict) for part in parts):
        raise ValueError("a field has another type")
    if any(finite(number) is None for number in numbers):
        raise ValueError("a number is none")
    return run


def environment_variables(
    dataset: Dataset | None, budget: Budget, *, arm: str, stage: str = "train", confirming: bool = False
) -> dict[str, str]:
    """How the harness's decisions reach protocol.py. confirming: with nothing to learn from validation data."""
    arrays = {}
    if dataset:
        arrays["ASSAY_ARRAYS"] = str(dataset.unlabelled if stage == "predict" else dataset.confirming if confirming else dataset.arrays)
    return arrays | {
        "ASSAY_ARM": arm, "ASSAY_STAGE": stage, "ASSAY_SEED": str(budget.seed), "ASSAY_EPOCHS": str(budget.epochs),
        "ASSAY_DEVICE": budget.device, "ASSAY_THREADS": str(budget.threads),
    }  # fmt: skip


def read_run(number: int, folder: RunFolder, execution: Execution, metric: Metric) -> Run:
    """What came out. Never raises for what the program did."""
    if (rows := read_untrusted(folder.work / "metrics.csv")) is not None:
        write_bytes(folder.metrics, rows)
    run = Run(number, RunStatus.SUCCESS, "", seconds=execution.seconds, cpu_seconds=execution.cpu_seconds, used=asdict(execution.used))
    if not execution.ok:
        message = explain(execution, _text(folder.stdout), _text(folder.stderr))
        limit = execution.limit or ("memory" if _OUT_OF_MEMORY.search(message) else "")
        return replace(run, status=_OF_LIMIT[limit], message=message)
    info, problem = _final_info(folder.work)
    measured = finite(info.get(metric.name))
    if not problem and measured is None:
        problem = f"final_info.json has no finite number {metric.name!r}"
    if problem:
        return replace(run, status=RunStatus.NO_RESULT, message=f"It ended without an error, but {problem}.")
    return replace(run, metrics=info, value=measured)


def implausible(metrics: dict[str, Any], budget: Budget) -> str:
    """Why final_info.json cannot be protocol.py's own, or ''. Evidence, not proof: main.py could write all of this."""
    accuracy, epochs, steps, samples = (finite(metrics.get(key)) for key in ("val_accuracy", "epochs", "steps", "samples"))
    if accuracy is None or not 0 <= accuracy <= 1:
        return f"The val_accuracy in final_info.json is {metrics.get('val_accuracy')}; protocol.py writes a share of 1."
    if epochs != budget.epochs or not steps or not samples:
        return "final_info.json does not tell of a whole training: call protocol.run(Model) last, as the scaffold does."
    if any((finite(metrics.get(key)) or -1) <= 0 for key in ("parameters", "updates", "backwards")):
        return "final_info.json does not count parameters, updates and backward passes: leave what protocol.py writes as it is."
    return ""


def own_values(run: Run, most: int = 12) -> str:
    """What main.py logged besides the usual, as one line: `depth_share 0.50, ...`."""
    found = {key.removeprefix("logged/"): value for key, value in run.metrics.items() if key.startswith("logged/")}
    return ", ".join(f"{name} {value:.4g}" for name, value in list(found.items())[:most] if isinstance(value, (int, float)))


def sampling_noise(accuracy: float | None, count: int) -> float | None:
    """The difference between two accuracies that `count` images alone explain: 1.96 binomial standard errors of a difference.

    Not covered: the spread over seeds, which comes on top.
    """
    if accuracy is None or not 0 <= accuracy <= 1 or count < 1:
        return None
    return 1.96 * math.sqrt(2 * accuracy * (1 - accuracy) / count)


def out_dir_arguments(main: Path) -> tuple[str, ...]:
    """`--out_dir=.` where an open scaffold declares that option, so that its results land in the working folder."""
    declared = re.search(r"""["'](--out[_-]dir)["']""", main.read_text(encoding="utf-8", errors="replace"))
    return (f"{declared[1]}=.",) if declared else ()


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
    kept = {key: _plain(value) for key, value in list((means | stored).items())[:MAX_FIELDS] if NAME.fullmatch(key)}
    return {key: value for key, value in kept.items() if value is not None}, ""


def _plain(value: Any) -> str | float | int | bool | None:
    """A short text, a finite number or a truth value; None for anything else."""
    if isinstance(value, str):
        return clean(value).replace("\n", " ")[:200]
    return value if isinstance(value, bool) or finite(value) is not None else None


def _text(path: Path) -> str:
    return (read_untrusted(path) or b"").decode("utf-8", "replace")

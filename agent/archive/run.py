"""This record is result.json: an attempt to train main.py.

A model's program wrote what a run leaves: it is read as regular files only, bounded, never executed
or unpickled.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from agent.archive.paths import RunFolder
from agent.util.errors import Fault
from agent.util.files import read_json
from agent.util.text import finite

NAME = re.compile(r"[\w./ -]{1,80}")  # of a number that a run tells of; anything else is no name


class RunStatus(str, Enum):
    """The end of an attempt. All but SUCCESS are failed attempts and do not count as a run."""

    SUCCESS = "success"
    NO_EDIT = "no_edit"  # the reply changed nothing
    # A file was edited that may not be, or main.py does what belongs to protocol.py.
    GUARD_FAILED = "guard_failed"
    LINT_FAILED = "lint_failed"
    # A few steps already crash, hang, or give a loss that is not a number.
    SMOKE_FAILED = "smoke_failed"
    NOT_LIVE = "not_live"  # switching the idea on changes nothing
    # requirements.txt names what may not, or cannot, be installed.
    REQUIREMENTS_FAILED = "requirements_failed"
    # Another learning rate, batch size, ... of which the idea says nothing.
    RECIPE_CHANGED = "recipe_changed"
    CRASH = "crash"
    TIMEOUT = "timeout"
    # With these three the program took more than it may, and was stopped.
    MEMORY_LIMIT = "memory_limit"
    PROCESS_LIMIT = "process_limit"
    DISK_LIMIT = "disk_limit"
    NO_RESULT = "no_result"  # the program ended well and left no readable result


@dataclass(frozen=True)
class Metric:
    """The number that runs are compared by."""

    name: str = "val_accuracy"
    direction: str = "max"

    def best(self, values: list[float]) -> float | None:
        """Return the best of these values, None for none."""
        if self.direction == "max":
            return max(values, default=None)
        return min(values, default=None)


@dataclass(frozen=True)
class Budget:
    """The resources that every run of an experiment gets alike."""

    epochs: int
    seed: int
    timeout: float  # seconds
    device: str = "auto"
    threads: int = 2


@dataclass(frozen=True)
class Run:
    """An attempt, complete."""

    number: int  # 0 is the baseline
    status: RunStatus
    folder: str  # its name in the archive
    # final_info.json, plain numbers and texts only.
    metrics: dict[str, Any] = field(default_factory=dict)
    value: float | None = None  # of the metric that runs are compared by
    message: str = ""  # the reason of a failure, for the coder
    # Wall clock of the training process, and of the prediction: work may be moved from one to the
    # other.
    seconds: float = 0.0
    cpu_seconds: float = 0.0  # of the same, with all processes that they started
    self_reported: bool = False  # the number comes from code that the coder edits
    environment: str = ""  # key of what it ran with; the packages are in its environment.json
    # How the harness's decisions reached the program.
    variables: dict[str, str] = field(default_factory=dict)
    # The most at one time: memory (bytes), processes, disk (bytes).
    used: dict[str, int] = field(default_factory=dict)
    sandbox: str = "none"  # the sandbox that it was trained in
    network: bool = False  # the program could use the network

    @property
    def ok(self) -> bool:
        """True for a success."""
        return self.status is RunStatus.SUCCESS

    def save(self) -> dict[str, Any]:
        """Return the run as it is stored."""
        return asdict(self) | {"status": self.status.value}


_ADDED = ("environment", "used", "sandbox", "network")  # which older archives lack


def load_run(folder: RunFolder) -> Run:
    """Return a stored run. Raises Fault("archive", ...) if the result is gone or damaged."""
    stored = read_json(folder.result)
    names = [name for name in Run.__dataclass_fields__ if name != "status"]
    try:
        fields = {name: stored[name] for name in names if name in stored or name not in _ADDED}
        run = Run(**fields, status=RunStatus(stored["status"]))
        _check_types(run)
    except (KeyError, TypeError, ValueError) as error:
        raise Fault("archive", f"{folder.result}: not a result of this version: {error}") from error
    return run


def _check_types(run: Run) -> None:
    """Raise ValueError for what was edited by hand to another type than is computed with."""
    texts = (run.folder, run.message, run.environment, run.sandbox)
    parts = (run.metrics, run.variables, run.used)
    of_type = [isinstance(text, str) for text in texts]
    of_type += [isinstance(part, dict) for part in parts]
    if not all(of_type):
        raise ValueError("a field has another type")
    numbers = [run.number, run.seconds, run.cpu_seconds]
    if run.value is not None:
        numbers.append(run.value)
    if None in map(finite, numbers):
        raise ValueError("a number is none")


def own_values(run: Run, most: int = 12) -> str:
    """Return in a line what main.py logged besides the usual: `depth_share 0.50, ...`."""
    logged = [key for key in run.metrics if key.startswith("logged/")]
    values = []
    for key in logged[:most]:
        value = run.metrics[key]
        if isinstance(value, (int, float)):
            values.append(f"{key.removeprefix('logged/')} {value:.4g}")
    return ", ".join(values)

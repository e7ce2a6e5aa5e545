"""One attempt to train main.py: its request to the runner, and what is read of what it left.

What a run leaves was written by a model's program: read as regular files only, bounded, never executed or unpickled.
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
    """How an attempt ended. Everything but SUCCESS is a failed attempt and does not count as a run."""

    SUCCESS = "success"
    NO_EDIT = "no_edit"  # the reply changed nothing
    GUARD_FAILED = "guard_failed"  # a file was edited that may not be, or main.py does what belongs to protocol.py
    LINT_FAILED = "lint_failed"
    SMOKE_FAILED = (
        "smoke_failed"  # a few steps already crash, hang, or give a loss that is not a number
    )
    NOT_LIVE = "not_live"  # switching the idea on changes nothing
    REQUIREMENTS_FAILED = (
        "requirements_failed"  # requirements.txt names what may not, or cannot, be installed
    )
    RECIPE_CHANGED = (
        "recipe_changed"  # another learning rate, batch size, ... of which the idea says nothing
    )
    CRASH = "crash"
    TIMEOUT = "timeout"
    MEMORY_LIMIT = "memory_limit"  # these three: it took more than it may, and was stopped
    PROCESS_LIMIT = "process_limit"
    DISK_LIMIT = "disk_limit"
    NO_RESULT = "no_result"  # it ended well and left no readable result


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
    metrics: dict[str, Any] = field(
        default_factory=dict
    )  # final_info.json, plain numbers and texts only
    value: float | None = None  # of the metric that runs are compared by
    message: str = ""  # what went wrong, for the coder
    seconds: float = 0.0  # wall clock of the training process, and of the prediction: work may be moved from one to the other
    cpu_seconds: float = 0.0  # of the same, with all that they started
    self_reported: bool = False  # the number comes from code that the coder edits
    environment: str = ""  # key of what it ran with; the packages are in its environment.json
    variables: dict[str, str] = field(
        default_factory=dict
    )  # how the harness's decisions reached the program
    used: dict[str, int] = field(
        default_factory=dict
    )  # the most at one time: memory (bytes), processes, disk (bytes)
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
        kept = {
            name: stored[name]
            for name in Run.__dataclass_fields__
            if name != "status" and (name in stored or name not in _ADDED)
        }
        return _typed(Run(**kept, status=RunStatus(stored["status"])))
    except (KeyError, TypeError, ValueError) as error:
        raise Fault("archive", f"{folder.result}: not a result of this version: {error}") from error


def _typed(run: Run) -> Run:
    """The same. Raises ValueError for what was edited by hand to another type than is computed with."""
    texts, parts = (
        (run.folder, run.message, run.environment, run.sandbox),
        (run.metrics, run.variables, run.used),
    )
    numbers = (run.number, run.seconds, run.cpu_seconds, 0 if run.value is None else run.value)
    if not all(isinstance(text, str) for text in texts) or not all(
        isinstance(part, dict) for part in parts
    ):
        raise ValueError("a field has another type")
    if any(finite(number) is None for number in numbers):
        raise ValueError("a number is none")
    return run


def own_values(run: Run, most: int = 12) -> str:
    """What main.py logged besides the usual, as one line: `depth_share 0.50, ...`."""
    found = {
        key.removeprefix("logged/"): value
        for key, value in run.metrics.items()
        if key.startswith("logged/")
    }
    return ", ".join(
        f"{name} {value:.4g}"
        for name, value in list(found.items())[:most]
        if isinstance(value, (int, float))
    )

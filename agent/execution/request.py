"""TODO: docstring."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from agent.execution.sandbox.policy import Sandbox
from agent.execution.sandbox.warm_server import ForkServer
from agent.execution.usage import Usage


@dataclass(frozen=True)
class Request:
    """One `python main.py`."""

    python: Path
    folder: Path  # working folder, with the main.py to run; the only one that it may write
    stdout: Path
    stderr: Path
    timeout: float  # seconds of wall clock
    sandbox: Sandbox
    environment: dict[str, str] = field(default_factory=dict)
    threads: int = 1
    arguments: tuple[str, ...] = ()
    server: ForkServer | None = (
        None  # forks the program from a warm `python` instead of starting one
    )
    readable: tuple[Path, ...] = ()  # other folders that it may read
    gpu: bool = False  # it may use the GPUs


@dataclass(frozen=True)
class Execution:
    """How the program ended."""

    exit_code: int  # negative: killed by that signal
    limit: str  # that it passed, and was ended for: time, memory, processes, disk; '' for none
    seconds: float  # wall clock
    cpu_seconds: float  # user and system, of the program and of all that it started
    dropped_bytes: int  # of output
    used: Usage
    stopped: str = ""  # a sentence about the limit, and what was used

    @property
    def ok(self) -> bool:
        return self.exit_code == 0 and not self.limit

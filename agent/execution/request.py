"""The request to run one program, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from agent.execution.sandbox.policy import Sandbox
from agent.execution.sandbox.warm_server import ForkServer
from agent.execution.usage import Usage


@dataclass(frozen=True)
class Request:
    """The request for one `python main.py`."""

    python: Path
    folder: Path  # working folder, with the main.py to run; the only one that it may write
    stdout: Path
    stderr: Path
    timeout: float  # seconds of wall clock
    sandbox: Sandbox
    environment: dict[str, str] = field(default_factory=dict)
    threads: int = 1
    arguments: tuple[str, ...] = ()
    server: ForkServer | None = None  # forks the program; None: one is started for it alone
    readable: tuple[Path, ...] = ()  # other folders that it may read
    gpu: bool = False  # it may use the GPUs


@dataclass(frozen=True, kw_only=True)
class Execution:
    """The end of a program, and what it used."""

    exit_code: int  # negative: killed by that signal
    limit: str  # the limit that it passed, and was ended for; '' for none
    seconds: float  # wall clock
    cpu_seconds: float  # user and system, of the program and of all that it started
    dropped_bytes: int  # bytes of output that were not kept
    used: Usage
    stopped: str = ""  # a sentence about the limit, and what was used

    @property
    def ok(self) -> bool:
        """Tell whether the program ended by itself and without an error."""
        return self.exit_code == 0 and not self.limit

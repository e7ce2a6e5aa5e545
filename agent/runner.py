"""One process in, one Execution out: time limit, process tree, bounded logs, nothing left running.

What the process does is data here: a crash, a hang or a gigabyte of output ends in an Execution, never in an
exception. Confinement will wrap the command; until it does, the program runs with the user's rights but without the
user's environment (see agent/secrets.py). Not covered until then: memory limits, a child that cleans its environment.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import psutil

from agent.files import disk_faults
from agent.forks import ForkServer
from agent.secrets import clean_environment

LOG_HEAD_BYTES = LOG_TAIL_BYTES = 2 * 2**20  # of each stream that are kept; the middle is counted and dropped
POLL_SECONDS = 0.05
KILL_SECONDS = 5.0  # a killed process may take so long to be gone
_TAG = "ASSAY_FOLDER"  # marks every process of a run, so that a double-forked one is found as well


@dataclass(frozen=True)
class Request:
    """One `python main.py`."""

    python: Path
    folder: Path  # working folder, with the main.py to run
    stdout: Path
    stderr: Path
    timeout: float  # seconds of wall clock
    environment: dict[str, str] = field(default_factory=dict)
    threads: int = 1
    arguments: tuple[str, ...] = ()
    server: ForkServer | None = None  # forks the program from a warm `python` instead of starting one


@dataclass(frozen=True)
class Execution:
    """How the program ended."""

    exit_code: int  # negative: killed by that signal
    timed_out: bool
    seconds: float  # wall clock
    cpu_seconds: float  # user and system, of the program and the children it waited for
    dropped_bytes: int  # of output

    @property
    def ok(self) -> bool:
        return self.exit_code == 0 and not self.timed_out


def execute(request: Request, watch: Callable[[], None] = lambda: None) -> Execution:
    """Run to the end or to the time limit, whichever is first; then kill whatever the program left behind.

    watch is called some twenty times a second while the program runs.
    """
    started = time.monotonic()
    process = _start(request)
    logs = {descriptor: _Log(path) for descriptor, path in zip(process.streams, (request.stdout, request.stderr), strict=True)}
    timed_out, ended = False, None
    try:
        with selectors.DefaultSelector() as selector:
            for descriptor in logs:
                os.set_blocking(descriptor, False)
                selector.register(descriptor, selectors.EVENT_READ)
            while ended is None and not timed_out:
                _pump(selector, logs, wait=POLL_SECONDS)
                watch()
                ended = process.poll()
                timed_out = ended is None and time.monotonic() - started > request.timeout
            code, cpu_seconds = process.kill()
            _pump(selector, logs, wait=0)
    finally:
        process.kill()
        dropped = sum(log.close() for log in logs.values())
        process.close()
    return Execution(code, timed_out, round(time.monotonic() - started, 3), round(cpu_seconds, 3), dropped)


class Process(Protocol):
    """One program that runs: spawned here, or forked by a ForkServer (agent/forks.py)."""

    streams: tuple[int, int]  # its stdout and stderr

    def poll(self) -> tuple[int, float] | None:
        """(exit code, CPU seconds) once it has ended."""
        ...

    def kill(self) -> tuple[int, float]:
        """End it and all that it started, if that has not happened yet; how it ended."""
        ...

    def close(self) -> None: ...


class Spawned:
    """A program started by its command."""

    def __init__(self, command: tuple[str, ...], folder: Path, environment: dict[str, str]):
        self._folder = folder
        self._ended: float | None = None
        self._process = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)  # fmt: skip
        assert self._process.stdout and self._process.stderr
        self.streams = self._process.stdout.fileno(), self._process.stderr.fileno()

    def poll(self) -> tuple[int, float] | None:
        if self._ended is None:
            self._ended = _reap(self._process)
        return None if self._ended is None else (self._process.returncode, self._ended)

    def kill(self) -> tuple[int, float]:
        kill_tree(self._folder, self._process)
        if self._ended is None:
            self._ended = _reap(self._process, block=True) or 0.0
        return self._process.returncode, self._ended

    def close(self) -> None:
        assert self._process.stdout and self._process.stderr
        self._process.stdout.close()
        self._process.stderr.close()


def _start(request: Request) -> Process:
    environment = _environment(request)
    if request.server:
        return request.server.start(request.folder, environment, request.threads, request.arguments)
    return Spawned((str(request.python), "main.py", *request.arguments), request.folder, environment)


def kill_tree(folder: Path, process: subprocess.Popen | None = None) -> None:
    """Kill the process group, and every process that carries the mark of `folder` or of a folder inside it; wait until they are dead."""
    if process is not None and process.returncode is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    prefix, killed = str(folder.resolve()), []
    for other in psutil.process_iter():
        try:
            tag = other.environ().get(_TAG, "")
            if other.pid != os.getpid() and (tag == prefix or tag.startswith(prefix + os.sep)):
                other.kill()
                killed.append(other)
        except (psutil.Error, OSError):
            continue  # ended meanwhile, or not ours
    until = time.monotonic() + KILL_SECONDS
    while any(map(_lives, killed)) and time.monotonic() < until:
        time.sleep(0.01)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _environment(request: Request) -> dict[str, str]:
    threads = str(max(1, request.threads))
    return clean_environment(
        **{_TAG: str(request.folder.resolve())},
        HOME=str(request.folder.resolve()), PYTHONUNBUFFERED="1", PYTHONHASHSEED="0", MPLBACKEND="Agg", HF_HUB_OFFLINE="1",
        OMP_NUM_THREADS=threads, MKL_NUM_THREADS=threads,
        OMP_WAIT_POLICY="PASSIVE",  # spinning threads of two programs on one core waste more than half of it
        CUBLAS_WORKSPACE_CONFIG=":4096:8",
    ) | request.environment  # fmt: skip


def _reap(process: subprocess.Popen, block: bool = False) -> float | None:
    """CPU seconds of the ended process, None while it runs."""
    pid, status, usage = os.wait4(process.pid, 0 if block else os.WNOHANG)
    if pid == 0:
        return None
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


def _pump(selector: selectors.BaseSelector, logs: dict[int, _Log], wait: float) -> None:
    """Move what the program wrote into its logs; at most a second at a time, so that the clock is looked at."""
    until = time.monotonic() + 1
    while (ready := selector.select(wait)) and time.monotonic() < until:
        for key, _ in ready:
            chunk = os.read(key.fd, 2**16)
            if not chunk:
                selector.unregister(key.fd)
            logs[key.fd].write(chunk)
        wait = 0
    if not selector.get_map():
        time.sleep(wait)  # both streams are closed, the program is not: do not spin


class _Log:
    """A file that keeps the head and the tail of what is written, and says what it left out between."""

    def __init__(self, path: Path):
        self._path = path
        with disk_faults(path):
            self._file = path.open("wb")
        self._room = LOG_HEAD_BYTES
        self._tail: deque[bytes] = deque()
        self._tail_bytes = self._dropped = 0

    def write(self, chunk: bytes) -> None:
        head, rest = chunk[: self._room], chunk[self._room :]
        with disk_faults(self._path):
            self._file.write(head)
            self._file.flush()
        self._room -= len(head)
        if rest:
            self._tail.append(rest)
            self._tail_bytes += len(rest)
        while self._tail_bytes > LOG_TAIL_BYTES:
            gone = len(self._tail.popleft())
            self._tail_bytes -= gone
            self._dropped += gone

    def close(self) -> int:
        """Write the tail; return how many bytes were dropped."""
        with disk_faults(self._path), self._file:
            if self._dropped:
                self._file.write(f"\n[... {self._dropped} bytes left out here ...]\n".encode())
            self._file.write(b"".join(self._tail))
        return self._dropped

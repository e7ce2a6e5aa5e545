"""One process in, one Execution out: time limit, process tree, bounded logs, nothing left running.

What the process does is data here: a crash, a hang or a gigabyte of output ends in an Execution, never in an
exception. Confinement will wrap `command`; until it does, the program runs with the user's rights but without the
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

import psutil

from agent.files import disk_faults
from agent.secrets import clean_environment

LOG_HEAD_BYTES = LOG_TAIL_BYTES = 2 * 2**20  # of each stream that are kept; the middle is counted and dropped
_TAG = "ASSAY_FOLDER"  # marks every process of a run, so that a double-forked one is found as well


@dataclass(frozen=True)
class Request:
    """One program to run."""

    command: tuple[str, ...]
    folder: Path  # working folder
    stdout: Path
    stderr: Path
    timeout: float  # seconds of wall clock
    environment: dict[str, str] = field(default_factory=dict)
    threads: int = 1


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

    watch is called about twice a second while the program runs.
    """
    started = time.monotonic()
    process = subprocess.Popen(
        request.command, cwd=request.folder, env=_environment(request), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stdout and process.stderr
    logs = {process.stdout.fileno(): _Log(request.stdout), process.stderr.fileno(): _Log(request.stderr)}
    timed_out, usage = False, None
    try:
        with selectors.DefaultSelector() as selector:
            for descriptor in logs:
                os.set_blocking(descriptor, False)
                selector.register(descriptor, selectors.EVENT_READ)
            while usage is None and not timed_out:
                _pump(selector, logs, wait=0.05 if time.monotonic() - started < 2 else 0.5)
                watch()
                usage = _reap(process)
                timed_out = usage is None and time.monotonic() - started > request.timeout
            kill_tree(request.folder, process)
            _pump(selector, logs, wait=0)
    finally:
        kill_tree(request.folder, process)
        dropped = sum(log.close() for log in logs.values())
    usage = usage or _reap(process, block=True)
    assert usage is not None
    seconds = time.monotonic() - started
    return Execution(process.returncode, timed_out, round(seconds, 3), round(usage, 3), dropped)


def kill_tree(folder: Path, process: subprocess.Popen | None = None) -> None:
    """Kill the process group, and every process that carries the mark of `folder` or of a folder inside it."""
    if process is not None and process.returncode is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    prefix = str(folder.resolve())
    for other in psutil.process_iter():
        try:
            tag = other.environ().get(_TAG, "")
            if other.pid != os.getpid() and (tag == prefix or tag.startswith(prefix + os.sep)):
                other.kill()
        except (psutil.Error, OSError):
            continue  # ended meanwhile, or not ours


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

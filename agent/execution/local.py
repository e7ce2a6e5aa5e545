"""One program in, one Execution out: confined, with limits of time, memory, processes and disk, bounded logs, nothing left running.

What the program does is data here: a crash, a hang, a fork bomb or a gigabyte of output ends in an Execution, never in an
exception. How it is confined is agent/execution/sandbox/policy.py's.
"""

from __future__ import annotations

import os
import selectors
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from agent.execution.request import Execution, Request
from agent.execution.sandbox.warm_server import ForkServer
from agent.execution.usage import Usage
from agent.util.files import disk_faults
from agent.util.secrets import clean_environment

LOG_HEAD_BYTES = LOG_TAIL_BYTES = (
    2 * 2**20
)  # of each stream that are kept; the middle is counted and dropped

POLL_SECONDS = 0.05

KILL_SECONDS = 5.0  # a killed process may take so long to be gone

_TAG = "ASSAY_FOLDER"  # marks every process of a run, so that a double-forked one is found as well


def execute(request: Request, watch: Callable[[], None] = lambda: None) -> Execution:
    """Run to the end or to a limit, whichever is first; then kill whatever the program left behind.

    watch is called some twenty times a second while the program runs. Raises Fault("sandbox", ...) where it cannot be confined.
    """
    if request.server is None:
        with ForkServer(request.python, request.threads, modules=()) as server:
            return execute(replace(request, server=server), watch)
    started = time.monotonic()
    program = request.server.start(_order(request))
    logs: dict[int, _Log] = {}
    ended, limit = None, ""
    try:
        logs |= {
            descriptor: _Log(path)
            for descriptor, path in zip(
                program.streams, (request.stdout, request.stderr), strict=True
            )
        }
        with selectors.DefaultSelector() as selector:
            for descriptor in logs:
                os.set_blocking(descriptor, False)
                selector.register(descriptor, selectors.EVENT_READ)
            selector.register(program.ending, selectors.EVENT_READ)
            while ended is None and not limit:
                _pump(selector, logs, wait=POLL_SECONDS)
                watch()
                ended = program.poll()
                limit = (
                    "time" if ended is None and time.monotonic() - started > request.timeout else ""
                )
            ended = program.kill()
            _pump(selector, logs, wait=0)
    finally:
        program.kill()
        dropped = sum(log.close() for log in logs.values())
        program.close()
    seconds, limit = round(time.monotonic() - started, 3), limit or ended.limit
    stopped = _stopped(limit, request, ended.used) if limit else ""
    return Execution(
        ended.exit_code, limit, seconds, round(ended.cpu_seconds, 3), dropped, ended.used, stopped
    )


def _order(request: Request) -> dict[str, Any]:
    """What server.py is told."""
    folder = request.folder.resolve()
    readable = tuple(place.resolve() for place in request.readable)
    asked = {
        "python": str(request.python),
        "folder": str(folder),
        "environment": _environment(request),
        "threads": request.threads,
        "arguments": list(request.arguments),
    }
    return asked | request.sandbox.order(request.python, folder, readable, request.gpu)


def _stopped(limit: str, request: Request, used: Usage) -> str:
    limits, gib = request.sandbox.limits, 2**30
    memory, written = used.memory / gib, used.disk / gib
    return {
        "time": f"It ran longer than {request.timeout:g} s and was stopped.",
        "memory": f"It took {memory:.2f} GiB of memory, more than the {limits.memory / gib:.2f} allowed, and was stopped.",
        "processes": f"It had {used.processes} processes, more than the {limits.processes} allowed, and was stopped.",
        "disk": f"It wrote {written:.2f} GiB, more than the {limits.disk / gib:.2f} allowed, and was stopped.",
    }[limit]


def kill_tree(folder: Path) -> None:
    """Kill every process that carries the mark of `folder` or of a folder inside it, left by a harness that was killed together
    with its keepers; wait until they are dead.
    """
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
    threads, folder = str(max(1, request.threads)), str(request.folder.resolve())
    return (
        clean_environment(
            **{_TAG: folder},
            PATH=f"{request.python.parent}:/usr/local/bin:/usr/bin:/bin",
            HOME=folder,
            PYTHONUNBUFFERED="1",
            PYTHONHASHSEED="0",
            MPLBACKEND="Agg",
            HF_HUB_OFFLINE="1",
            OMP_NUM_THREADS=threads,
            MKL_NUM_THREADS=threads,
            OMP_WAIT_POLICY="PASSIVE",  # spinning threads of two programs on one core waste more than half of it
            CUBLAS_WORKSPACE_CONFIG=":4096:8",
        )
        | request.environment
    )


def _pump(selector: selectors.BaseSelector, logs: dict[int, _Log], wait: float) -> None:
    """Move what the program wrote into its logs; at most a second at a time, so that the clock is looked at."""
    until = time.monotonic() + 1
    while (
        ready := [key.fd for key, _ in selector.select(wait) if key.fd in logs]
    ) and time.monotonic() < until:
        for descriptor in ready:
            chunk = os.read(descriptor, 2**16)
            if not chunk:
                selector.unregister(descriptor)
            logs[descriptor].write(chunk)
        wait = 0


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

"""One program in, one Execution out, on this machine.

It runs confined, with limits of time, memory, processes and disk, with bounded logs, and leaves
nothing running. What the program does is data here: a crash, a hang, a fork bomb or a gigabyte of
output ends in an Execution, never in an exception. How it is confined is in
agent/execution/sandbox/policy.py.
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
from agent.execution.sandbox.warm_server import ForkedProgram, ForkServer
from agent.execution.usage import Usage
from agent.util.files import disk_faults
from agent.util.secrets import clean_environment

# So much of each stream is kept; the middle is counted and dropped.
LOG_HEAD_BYTES = 2 * 2**20
LOG_TAIL_BYTES = 2 * 2**20

POLL_SECONDS = 0.05

KILL_SECONDS = 5.0  # a killed process may take so long to be gone

_TAG = "ASSAY_FOLDER"  # marks every process of a run, so that a double-forked one is found as well


def execute(request: Request, watch: Callable[[], None] = lambda: None) -> Execution:
    """Run to the end or to a limit, whichever is first; then kill what the program left behind.

    watch is called some twenty times a second while the program runs.
    Raises Fault("sandbox", ...) where it cannot be confined.
    """
    if request.server is None:
        with ForkServer(request.python, request.threads, modules=()) as server:
            return execute(replace(request, server=server), watch)
    started = time.monotonic()
    program = request.server.start(_server_request(request))
    logs: dict[int, _Log] = {}
    try:
        paths = (request.stdout, request.stderr)
        for descriptor, path in zip(program.streams, paths, strict=True):
            logs[descriptor] = _Log(path)
        limit = _follow(program, logs, started + request.timeout, watch)
    finally:
        end = program.kill()
        dropped = sum(log.close() for log in logs.values())
        program.close()
    seconds = time.monotonic() - started
    limit = limit or end.limit
    return Execution(
        exit_code=end.exit_code,
        limit=limit,
        seconds=round(seconds, 3),
        cpu_seconds=round(end.cpu_seconds, 3),
        dropped_bytes=dropped,
        used=end.used,
        stopped=_stopped(limit, request, end.used) if limit else "",
    )


def _follow(
    program: ForkedProgram, logs: dict[int, _Log], until: float, watch: Callable[[], None]
) -> str:
    """Fill the logs until the program has ended, or is late and is killed.

    Returns "time" where it is late, else ''.
    """
    limit = ""
    with selectors.DefaultSelector() as selector:
        for descriptor in logs:
            os.set_blocking(descriptor, False)
            selector.register(descriptor, selectors.EVENT_READ)
        selector.register(program.ending, selectors.EVENT_READ)
        ended = False
        while not ended and not limit:
            _pump(selector, logs, wait=POLL_SECONDS)
            watch()
            ended = program.poll() is not None
            if not ended and time.monotonic() > until:
                limit = "time"
        program.kill()
        _pump(selector, logs, wait=0)
    return limit


def _server_request(request: Request) -> dict[str, Any]:
    """Return the message that server.py gets."""
    folder = request.folder.resolve()
    readable = tuple(path.resolve() for path in request.readable)
    program = {
        "python": str(request.python),
        "folder": str(folder),
        "environment": _environment(request),
        "threads": request.threads,
        "arguments": list(request.arguments),
    }
    return program | request.sandbox.confinement(request.python, folder, readable, request.gpu)


def _stopped(limit: str, request: Request, used: Usage) -> str:
    """Return a sentence about the limit that a program has passed."""
    allowed = request.sandbox.limits
    if limit == "time":
        return f"It ran longer than {request.timeout:g} s and was stopped."
    if limit == "processes":
        amounts = f"had {used.processes} processes, more than the {allowed.processes} allowed"
    elif limit == "memory":
        most = _gib(allowed.memory)
        amounts = f"took {_gib(used.memory)} GiB of memory, more than the {most} allowed"
    else:
        amounts = f"wrote {_gib(used.disk)} GiB, more than the {_gib(allowed.disk)} allowed"
    return f"It {amounts}, and was stopped."


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f}"


def kill_tree(folder: Path) -> None:
    """Kill every process that carries the mark of `folder` or of a folder inside it, and wait.

    They were left by a harness that was killed together with its keepers.
    """
    root = str(folder.resolve())
    killed: list[psutil.Process] = []
    for other in psutil.process_iter():
        try:
            tag = other.environ().get(_TAG, "")
            marked = tag == root or tag.startswith(root + os.sep)
            if marked and other.pid != os.getpid():
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
    folder = str(request.folder.resolve())
    environment = clean_environment(
        **{_TAG: folder},
        PATH=f"{request.python.parent}:/usr/local/bin:/usr/bin:/bin",
        HOME=folder,
        PYTHONUNBUFFERED="1",
        PYTHONHASHSEED="0",
        MPLBACKEND="Agg",
        HF_HUB_OFFLINE="1",
        OMP_NUM_THREADS=threads,
        MKL_NUM_THREADS=threads,
        OMP_WAIT_POLICY="PASSIVE",  # two programs that spin on one core waste more than half of it
        CUBLAS_WORKSPACE_CONFIG=":4096:8",
    )
    return environment | request.environment


def _pump(selector: selectors.BaseSelector, logs: dict[int, _Log], wait: float) -> None:
    """Move what the program wrote into its logs.

    At most a second at a time, so that the clock is looked at.
    """
    until = time.monotonic() + 1
    while True:
        ready = [key.fd for key, _ in selector.select(wait) if key.fd in logs]
        if not ready or time.monotonic() >= until:
            return
        for descriptor in ready:
            chunk = os.read(descriptor, 2**16)
            if not chunk:
                selector.unregister(descriptor)
            logs[descriptor].write(chunk)
        wait = 0


class _Log:
    """A file that keeps the head and the tail of a stream, and says how much it left out."""

    def __init__(self, path: Path):
        self._path = path
        with disk_faults(path):
            self._file = path.open("wb")
        self._room = LOG_HEAD_BYTES
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0
        self._dropped = 0

    def write(self, chunk: bytes) -> None:
        head = chunk[: self._room]
        rest = chunk[self._room :]
        with disk_faults(self._path):
            self._file.write(head)
            self._file.flush()
        self._room -= len(head)
        if rest:
            self._tail.append(rest)
            self._tail_bytes += len(rest)
        while self._tail_bytes > LOG_TAIL_BYTES:
            oldest = len(self._tail.popleft())
            self._tail_bytes -= oldest
            self._dropped += oldest

    def close(self) -> int:
        """Write the tail; return how many bytes were dropped."""
        with disk_faults(self._path), self._file:
            if self._dropped:
                self._file.write(f"\n[... {self._dropped} bytes left out here ...]\n".encode())
            self._file.write(b"".join(self._tail))
        return self._dropped

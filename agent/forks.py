"""The harness's side of fork_server.py: one warm server for an interpreter, one forked process for each request.

A run then starts in a fraction of a second instead of the five that importing torch, Lightning and W&B takes.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from agent.errors import Fault
from agent.secrets import clean_environment

SERVER = Path(__file__).with_name("fork_server.py")
KILL_SECONDS = 30


class ForkServer:
    """`with ForkServer(python) as server`: processes of that interpreter, its libraries already imported."""

    def __init__(self, python: Path, threads: int):
        self._lock = threading.Lock()
        self._home = tempfile.TemporaryDirectory(prefix="assay-server-")
        self._errors: IO[bytes] = open(Path(self._home.name) / "stderr", "wb+")  # noqa: SIM115
        self._control, theirs = socket.socketpair()
        # What libraries read while they are imported; what a run may see is in its request.
        environment = clean_environment(HOME=self._home.name, PYTHONHASHSEED="0", MPLBACKEND="Agg", OMP_NUM_THREADS=str(threads),
                                        OMP_WAIT_POLICY="PASSIVE", OPENBLAS_NUM_THREADS="1", CUBLAS_WORKSPACE_CONFIG=":4096:8")  # fmt: skip
        self._process = subprocess.Popen([str(python), "-I", str(SERVER), str(theirs.fileno())], stdin=subprocess.DEVNULL,
                                         stdout=self._errors, stderr=self._errors, pass_fds=[theirs.fileno()],
                                         cwd=self._home.name, env=environment, start_new_session=True)  # fmt: skip
        theirs.close()

    def __enter__(self) -> ForkServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._control.close()
        try:
            self._process.wait(KILL_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()
        self._home.cleanup()

    def start(self, folder: Path, environment: Mapping[str, str], threads: int, arguments: tuple[str, ...]) -> Forked:
        """Begin `python main.py` in folder."""
        request = {"folder": str(folder.resolve()), "environment": dict(environment), "threads": threads, "arguments": list(arguments)}
        data = json.dumps(request).encode()
        ours, answer = socket.socketpair()
        (out, out_end), (err, err_end) = os.pipe(), os.pipe()
        try:
            with self._lock:
                socket.send_fds(self._control, [b"%08d" % len(data)], [answer.fileno(), out_end, err_end])
                self._control.sendall(data)
        except OSError as error:
            raise self._died() from error
        finally:
            answer.close()
            os.close(out_end)
            os.close(err_end)
        return Forked(self, ours, (out, err))

    def _died(self) -> Fault:
        """The fault to raise when the server has ended, with what it said last."""
        self._errors.seek(0)
        said = self._errors.read().decode("utf-8", "replace").strip().splitlines()[-3:]
        return Fault("environment", f"the experiments' interpreter ended: {' '.join(said) or 'it said nothing'}")

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def raise_if_dead(self) -> None:
        if not self.alive:
            raise self._died()


class Forked:
    """One forked program."""

    def __init__(self, server: ForkServer, answer: socket.socket, streams: tuple[int, int]):
        self._server, self._answer, self.streams = server, answer, streams
        self._answer.setblocking(False)
        self._ended: tuple[int, float] | None = None

    def poll(self) -> tuple[int, float] | None:
        """(exit code, CPU seconds) once the program and all that it started have ended. Raises Fault when the server died."""
        if self._ended is None:
            try:
                data = self._answer.recv(4096)
            except BlockingIOError:
                self._server.raise_if_dead()
                return None
            self._server.raise_if_dead()
            told = json.loads(data) if data else {"exit_code": -9, "cpu_seconds": 0.0}  # its keeper was killed with it
            self._ended = int(told["exit_code"]), float(told["cpu_seconds"])
        return self._ended

    def kill(self) -> tuple[int, float]:
        """End the program and everything that it started; how it ended."""
        if self._ended is None:
            try:
                self._answer.sendall(b"k")
                self._answer.settimeout(KILL_SECONDS)
                self._ended = self.poll() or (-9, 0.0)
            except (OSError, Fault):
                self._ended = -9, 0.0
        return self._ended

    def close(self) -> None:
        self._answer.close()
        for stream in self.streams:
            os.close(stream)

"""The harness's side of server.py: one server for an interpreter, one forked process for each request.

Where the server is warm, a run starts in a fraction of a second instead of the five that importing torch, Lightning and W&B takes.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from agent.execution.usage import Usage
from agent.util.errors import Fault
from agent.util.secrets import clean_environment

SERVER = Path(__file__).with_name("inside") / "server.py"

PRELOADED = (
    "numpy",
    "torch",
    "torchvision",
    "pytorch_lightning",
    "wandb",
    "pytorch_lightning.loggers.wandb",
)

KILL_SECONDS = 30


@dataclass(frozen=True)
class Exit:
    """How a program ended."""

    exit_code: int  # negative: killed by that signal
    cpu_seconds: float  # user and system, of the program and of all that it started
    limit: str = ""  # of memory, processes or disk, for which it was ended
    used: Usage = Usage()


class ForkServer:
    """`with ForkServer(python, threads) as server`: processes of that interpreter; modules: already imported."""

    def __init__(self, python: Path, threads: int, modules: tuple[str, ...] = PRELOADED):
        self._lock = threading.Lock()
        self._home = tempfile.TemporaryDirectory(prefix="assay-server-")
        self._errors: IO[bytes] = open(Path(self._home.name) / "stderr", "wb+")  # noqa: SIM115
        self._control, theirs = socket.socketpair()
        # What libraries read while they are imported; what a run may see is in its request.
        environment = clean_environment(
            HOME=self._home.name,
            TMPDIR=self._home.name,
            PYTHONHASHSEED="0",
            MPLBACKEND="Agg",
            OMP_NUM_THREADS=str(threads),
            OMP_WAIT_POLICY="PASSIVE",
            OPENBLAS_NUM_THREADS="1",
            CUBLAS_WORKSPACE_CONFIG=":4096:8",
        )
        command = [str(python), "-I", str(SERVER), str(theirs.fileno()), *modules]
        image = _image(python)
        try:
            self._process = subprocess.Popen(
                command,
                executable=f"/proc/self/fd/{image}" if image else None,
                stdin=subprocess.DEVNULL,
                stdout=self._errors,
                stderr=self._errors,
                cwd=self._home.name,
                start_new_session=True,
                pass_fds=[theirs.fileno(), *([image] if image else [])],
                env=_with_libraries(environment, python) if image else environment,
            )
        finally:
            theirs.close()
            if image:
                os.close(image)

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

    def start(self, order: dict[str, Any]) -> ForkedProgram:
        """Begin `python main.py` as the order says (see server.py)."""
        data = json.dumps(order).encode()
        ours, answer = socket.socketpair()
        (out, out_end), (err, err_end) = os.pipe(), os.pipe()
        try:
            with self._lock:
                socket.send_fds(
                    self._control, [b"%08d" % len(data)], [answer.fileno(), out_end, err_end]
                )
                self._control.sendall(data)
        except OSError as error:
            raise self._died() from error
        finally:
            answer.close()
            os.close(out_end)
            os.close(err_end)
        return ForkedProgram(self, ours, (out, err))

    def _died(self) -> Fault:
        """The fault to raise when the server has ended, with what it said last."""
        self._errors.seek(0)
        said = self._errors.read().decode("utf-8", "replace").strip().splitlines()[-3:]
        return Fault(
            "environment",
            f"the experiments' interpreter ended: {' '.join(said) or 'it said nothing'}",
        )

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def raise_if_dead(self) -> None:
        if not self.alive:
            raise self._died()


class ForkedProgram:
    """One forked program."""

    def __init__(self, server: ForkServer, answer: socket.socket, streams: tuple[int, int]):
        self._server, self._answer, self.streams = (
            server,
            answer,
            streams,
        )  # streams: its stdout and stderr
        self._answer.setblocking(False)
        self.ending = answer.fileno()  # can be read once it has ended
        self._ended: Exit | None = None

    def poll(self) -> Exit | None:
        """How it ended, once the program and all that it started have. Raises Fault when the server died or refused."""
        if self._ended is None:
            try:
                data = self._answer.recv(4096)
            except BlockingIOError:
                self._server.raise_if_dead()
                return None
            self._server.raise_if_dead()
            told: dict[str, Any] = (
                json.loads(data) if data else {"exit_code": -9, "cpu_seconds": 0.0}
            )  # its keeper was killed with it
            if "refused" in told:
                raise Fault("sandbox", told["refused"])
            used = Usage(**{name: int(value) for name, value in told.get("used", {}).items()})
            self._ended = Exit(
                int(told["exit_code"]), float(told["cpu_seconds"]), str(told.get("limit", "")), used
            )
        return self._ended

    def kill(self) -> Exit:
        """End the program and everything that it started; how it ended."""
        if self._ended is None:
            try:
                self._answer.sendall(b"k")
                self._answer.settimeout(KILL_SECONDS)
                self._ended = self.poll() or Exit(-9, 0.0)
            except (OSError, Fault):
                self._ended = Exit(-9, 0.0)
        return self._ended

    def close(self) -> None:
        self._answer.close()
        for stream in self.streams:
            os.close(stream)


def _image(python: Path) -> int | None:
    """A sealed copy of the interpreter's file in memory, to execute in its place; None where the system has no such files.

    A forked program can reach the file that it executes, /proc/self/exe, on the real file system, and change its mode even
    where everything else is hidden or read-only.
    """
    if not hasattr(os, "memfd_create"):
        return None
    image = os.memfd_create("python", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(image, python.resolve().read_bytes())
    fcntl.fcntl(
        image,
        fcntl.F_ADD_SEALS,
        fcntl.F_SEAL_SEAL | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK,
    )
    return image


def _with_libraries(environment: dict[str, str], python: Path) -> dict[str, str]:
    """Where an interpreter looks for its libraries beside its own file, it finds none beside a copy in memory."""
    places = [environment.get("LD_LIBRARY_PATH"), str(python.resolve().parent.parent / "lib")]
    return environment | {"LD_LIBRARY_PATH": ":".join(filter(None, places))}

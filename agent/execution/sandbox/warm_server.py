"""The harness's side of server.py: one server for an interpreter, one forked process a request.

Where the server is warm, a run starts in a fraction of a second instead of the five that importing
torch, Lightning and W&B takes.
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
    """The end of a program, as its keeper answers."""

    exit_code: int  # negative: killed by that signal
    cpu_seconds: float  # user and system, of the program and of all that it started
    limit: str  # for which it was ended: memory, processes or disk; '' for none
    used: Usage


KILLED = Exit(exit_code=-9, cpu_seconds=0.0, limit="", used=Usage())


class ForkServer:
    """A server that forks programs of one interpreter, from a process that has imported modules.

    It serves as a context manager, and ends with it.
    """

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
        descriptors = [theirs.fileno()]
        executable = None
        image = _image(python)
        if image:
            descriptors.append(image)
            executable = f"/proc/self/fd/{image}"
            environment = _with_libraries(environment, python)
        try:
            self._process = subprocess.Popen(
                [str(python), "-I", str(SERVER), str(theirs.fileno()), *modules],
                executable=executable,
                stdin=subprocess.DEVNULL,
                stdout=self._errors,
                stderr=self._errors,
                cwd=self._home.name,
                start_new_session=True,
                pass_fds=descriptors,
                env=environment,
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

    def start(self, request: dict[str, Any]) -> ForkedProgram:
        """Begin `python main.py` as the request says (see server.py)."""
        data = json.dumps(request).encode()
        ours, answer = socket.socketpair()
        out, out_end = os.pipe()
        err, err_end = os.pipe()
        descriptors = [answer.fileno(), out_end, err_end]
        try:
            with self._lock:
                socket.send_fds(self._control, [b"%08d" % len(data)], descriptors)
                self._control.sendall(data)
        except OSError as error:
            raise self._died() from error
        finally:
            answer.close()
            os.close(out_end)
            os.close(err_end)
        return ForkedProgram(self, ours, (out, err))

    def _died(self) -> Fault:
        """Return the fault to raise when the server has ended, with its last lines."""
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        last = " ".join(lines[-3:]) or "it said nothing"
        return Fault("environment", f"the experiments' interpreter ended: {last}")

    @property
    def alive(self) -> bool:
        """Tell whether the server still runs."""
        return self._process.poll() is None

    def raise_if_dead(self) -> None:
        """Raise Fault("environment", ...) when the server has ended."""
        if not self.alive:
            raise self._died()


class ForkedProgram:
    """A program that a server has forked, seen from the harness."""

    def __init__(self, server: ForkServer, answer: socket.socket, streams: tuple[int, int]):
        self.streams = streams  # descriptors of its stdout and stderr
        self.ending = answer.fileno()  # can be read once it has ended
        self._server = server
        self._answer = answer
        self._answer.setblocking(False)
        self._exit: Exit | None = None

    def poll(self) -> Exit | None:
        """Return how the program ended, or None as long as it, or what it started, runs.

        Raises Fault when the server died or refused.
        """
        if self._exit is None:
            try:
                data = self._answer.recv(4096)
            except BlockingIOError:
                self._server.raise_if_dead()
                return None
            self._server.raise_if_dead()
            self._exit = _read_exit(data)
        return self._exit

    def kill(self) -> Exit:
        """End the program and everything that it started, and return how it ended."""
        if self._exit is None:
            try:
                self._answer.sendall(b"k")
                self._answer.settimeout(KILL_SECONDS)
                self._exit = self.poll() or KILLED
            except (OSError, Fault):
                self._exit = KILLED
        return self._exit

    def close(self) -> None:
        """Close what connects the harness with the program."""
        self._answer.close()
        for stream in self.streams:
            os.close(stream)


def _read_exit(data: bytes) -> Exit:
    """Read a keeper's answer. Raises Fault("sandbox", ...) where it refused to start one."""
    if not data:
        return KILLED  # its keeper was killed with it
    answer = json.loads(data)
    if "refused" in answer:
        raise Fault("sandbox", answer["refused"])
    used = {name: int(value) for name, value in answer.get("used", {}).items()}
    return Exit(
        exit_code=int(answer["exit_code"]),
        cpu_seconds=float(answer["cpu_seconds"]),
        limit=str(answer.get("limit", "")),
        used=Usage(**used),
    )


def _image(python: Path) -> int | None:
    """Return a sealed copy of the interpreter's file in memory, to execute in its place.

    None where the system has no such files. A forked program can reach the file that it executes,
    /proc/self/exe, on the real file system, and change its mode even where everything else is
    hidden or read-only.
    """
    if not hasattr(os, "memfd_create"):
        return None
    image = os.memfd_create("python", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(image, python.resolve().read_bytes())
    seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK
    fcntl.fcntl(image, fcntl.F_ADD_SEALS, seals)
    return image


def _with_libraries(environment: dict[str, str], python: Path) -> dict[str, str]:
    """Return the environment with the path of the interpreter's own libraries.

    It looks for them beside its own file, and finds none beside a copy in memory.
    """
    own = str(python.resolve().parent.parent / "lib")
    paths = [environment.get("LD_LIBRARY_PATH"), own]
    return environment | {"LD_LIBRARY_PATH": ":".join(filter(None, paths))}

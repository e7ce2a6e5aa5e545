"""Which sandbox is in force here: decided by running a program in it, and proven by programs that try to get out."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from agent.execution.local import execute
from agent.execution.request import Execution, Request
from agent.execution.sandbox.inside.privileges import landlock_version
from agent.execution.sandbox.policy import ResourceLimits, Sandbox, bwrap_path
from agent.util.errors import Fault, UserError
from agent.util.files import read_untrusted_text

SECONDS = 30.0
OLDEST_LANDLOCK = 2  # before it a program could not even rename its own files
# Whoever can talk to one of these has a process started outside of any rule that binds the program itself.
_SERVANTS = (
    "/run/docker.sock",
    "/run/podman/podman.sock",
    "/run/containerd/containerd.sock",
    "/run/dbus/system_bus_socket",
    "/run/systemd/private",
)
_REFUSED = """no sandbox works here, and model-written programs would run with your rights:
    bwrap: {bwrap}
    landlock: {landlock}
    Install bubblewrap (apt install bubblewrap, dnf install bubblewrap), or allow user name spaces; see SECURITY.md.
    In a container of your own that holds nothing you would miss, --sandbox none goes without."""

PROOFS = {
    "read a file of your home": "print(open({secret!r}).read())",
    "open a connection": "import socket\nsocket.create_connection(('127.0.0.1', {port}), 5)\nprint({word!r})",
    "write into your home": "open({secret!r}, 'a').write({word!r})",
}


@lru_cache
def find_sandbox(asked: str, network: bool, limits: ResourceLimits) -> Sandbox:
    """The sandbox that was asked for; auto: bubblewrap, else Landlock. Raises UserError where it does not work here."""
    wanted = Sandbox(asked, network, limits)
    if asked == "none":
        return wanted
    reasons = {}
    for kind in ("bwrap", "landlock") if asked == "auto" else (asked,):
        found, reasons[kind] = _try(replace(wanted, kind=kind))
        if found:
            return found
    if asked == "auto":
        raise UserError(_REFUSED.format(**reasons))
    raise UserError(f"--sandbox {asked} does not work here: {reasons[asked]}")


def _try(sandbox: Sandbox) -> tuple[Sandbox | None, str]:
    """This sandbox or a variant of it that works, or why there is none."""
    if sys.platform != "linux":
        return None, "only on Linux (WSL2 is one)"
    if sandbox.kind == "landlock" and (reason := _landlock_problem()):
        return None, reason
    if sandbox.kind == "bwrap" and not os.access(bwrap_path(), os.X_OK):
        return None, "bubblewrap is not installed"
    problem = _problem(sandbox)
    if problem and sandbox.kind == "bwrap" and "mount proc" in problem:
        container = replace(sandbox, own_proc=False)
        return (container, "") if not _problem(container) else (None, problem)
    return (None, problem) if problem else (sandbox, "")


def _landlock_problem() -> str:
    if (version := landlock_version()) < OLDEST_LANDLOCK:
        return f"version {version} of this kernel, {OLDEST_LANDLOCK} is the oldest that will do"
    runtime = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    for place in (
        *_SERVANTS,
        f"{runtime}/bus",
        f"{runtime}/systemd/private",
        os.environ.get("SSH_AUTH_SOCK", ""),
    ):
        if place and _answers(place):
            return f"{place} answers, and would start programs outside the sandbox; Landlock cannot forbid to connect to it"
    return ""


def _answers(place: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        try:
            client.connect(place)
        except OSError:
            return False
        return True


def _problem(sandbox: Sandbox) -> str:
    """What keeps a program from running in it, or ''."""
    with _folder() as folder:
        try:
            done, out, err = run_program(sandbox, folder, "print('inside')")
        except Fault as fault:
            return fault.detail
    return "" if done.ok and out == "inside\n" else (err.strip() or f"exit code {done.exit_code}")


def run_program(sandbox: Sandbox, folder: Path, code: str) -> tuple[Execution, str, str]:
    """Run a text as main.py with this interpreter: how it ended, and what it printed."""
    work = folder / "work"
    work.mkdir(exist_ok=True)
    (work / "main.py").write_text(code, encoding="utf-8")
    logs = folder / "out", folder / "err"
    done = execute(Request(Path(sys.executable), work, *logs, SECONDS, sandbox))
    out, err = map(read_untrusted_text, logs)
    return done, out, err


def proofs(sandbox: Sandbox) -> dict[str, str]:
    """Three programs that try to get out -> for each what stopped it, '' where nothing did."""
    word = secrets.token_hex(8)
    with (
        _folder() as folder,
        socket.create_server(("127.0.0.1", 0)) as listener,
        tempfile.NamedTemporaryFile(dir=Path.home()) as secret,
    ):
        secret.write(word.encode())
        secret.flush()
        places = {"secret": secret.name, "port": listener.getsockname()[1], "word": word}
        return {
            name: _stopped(sandbox, folder, code.format(**places), word, Path(secret.name))
            for name, code in PROOFS.items()
        }


def _stopped(sandbox: Sandbox, folder: Path, code: str, word: str, secret: Path) -> str:
    _, out, err = run_program(sandbox, folder, code)
    if word in out or secret.read_text() != word:
        return ""
    return (err.strip().splitlines() or ["it ended without a word"])[-1]


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="assay-sandbox-") as folder:
        yield Path(folder)

"""Which sandbox is in force here.

It is decided by running a program in it, and proven by programs that try to get out.
"""

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
# Whoever can talk to one of these has a process started outside of any rule for the program itself.
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
    Install bubblewrap (apt install bubblewrap, dnf install bubblewrap), or allow user name \
spaces; see SECURITY.md.
    In a container of your own that holds nothing you would miss, --sandbox none goes without."""

PROOFS = {
    "read a file of your home": "print(open({secret!r}).read())",
    "open a connection": (
        "import socket\nsocket.create_connection(('127.0.0.1', {port}), 5)\nprint({word!r})"
    ),
    "write into your home": "open({secret!r}, 'a').write({word!r})",
}


@lru_cache
def find_sandbox(wanted: str, network: bool, limits: ResourceLimits) -> Sandbox:
    """Return the sandbox of the wanted kind; for "auto" bubblewrap, else Landlock.

    Raises UserError where it does not work here.
    """
    if wanted == "none":
        return Sandbox(wanted, network, limits)
    kinds = ("bwrap", "landlock") if wanted == "auto" else (wanted,)
    reasons = {}
    for kind in kinds:
        sandbox, reasons[kind] = _try(Sandbox(kind, network, limits))
        if sandbox:
            return sandbox
    if wanted == "auto":
        raise UserError(_REFUSED.format(**reasons))
    raise UserError(f"--sandbox {wanted} does not work here: {reasons[wanted]}")


def _try(sandbox: Sandbox) -> tuple[Sandbox | None, str]:
    """Return this sandbox, or a variant of it, if it works; else None and the reason."""
    if reason := _missing(sandbox.kind):
        return None, reason
    problem = _problem(sandbox)
    if not problem:
        return sandbox, ""
    if sandbox.kind == "bwrap" and "mount proc" in problem:
        container = replace(sandbox, own_proc=False)
        if not _problem(container):
            return container, ""
    return None, problem


def _missing(kind: str) -> str:
    """Return what this machine lacks for a kind of sandbox, or ''."""
    if sys.platform != "linux":
        return "only on Linux (WSL2 is one)"
    if kind == "landlock":
        return _landlock_problem()
    if kind == "bwrap" and not os.access(bwrap_path(), os.X_OK):
        return "bubblewrap is not installed"
    return ""


def _landlock_problem() -> str:
    version = landlock_version()
    if version < OLDEST_LANDLOCK:
        return f"version {version} of this kernel, {OLDEST_LANDLOCK} is the oldest that will do"
    runtime = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    servants = [*_SERVANTS, f"{runtime}/bus", f"{runtime}/systemd/private"]
    agent = os.environ.get("SSH_AUTH_SOCK")
    if agent:
        servants.append(agent)
    for path in servants:
        if _answers(path):
            return (
                f"{path} answers, and would start programs outside the sandbox; "
                "Landlock cannot forbid to connect to it"
            )
    return ""


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        try:
            client.connect(path)
        except OSError:
            return False
        return True


def _problem(sandbox: Sandbox) -> str:
    """Return what keeps a program from running in it, or ''."""
    with _folder() as folder:
        try:
            execution, out, err = run_program(sandbox, folder, "print('inside')")
        except Fault as fault:
            return fault.detail
    if execution.ok and out == "inside\n":
        return ""
    return err.strip() or f"exit code {execution.exit_code}"


def run_program(sandbox: Sandbox, folder: Path, code: str) -> tuple[Execution, str, str]:
    """Run a text as main.py with this interpreter; return how it ended, and what it printed."""
    work = folder / "work"
    work.mkdir(exist_ok=True)
    (work / "main.py").write_text(code, encoding="utf-8")
    request = Request(
        python=Path(sys.executable),
        folder=work,
        stdout=folder / "out",
        stderr=folder / "err",
        timeout=SECONDS,
        sandbox=sandbox,
    )
    execution = execute(request)
    return execution, read_untrusted_text(request.stdout), read_untrusted_text(request.stderr)


def proofs(sandbox: Sandbox) -> dict[str, str]:
    """Return what stopped each of three programs that try to get out, '' where nothing did."""
    word = secrets.token_hex(8)
    with (
        _folder() as folder,
        socket.create_server(("127.0.0.1", 0)) as listener,
        tempfile.NamedTemporaryFile(dir=Path.home()) as secret,
    ):
        secret.write(word.encode())
        secret.flush()
        port = listener.getsockname()[1]
        reasons = {}
        for name, code in PROOFS.items():
            program = code.format(secret=secret.name, port=port, word=word)
            _, out, err = run_program(sandbox, folder, program)
            escaped = word in out or Path(secret.name).read_text() != word
            reasons[name] = "" if escaped else _last_line(err)
    return reasons


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it ended without a word"


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="assay-sandbox-") as folder:
        yield Path(folder)

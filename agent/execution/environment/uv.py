"""One call of uv: with the user's mirrors and proxies, without the user's keys, with a time limit.

Covered: Ctrl-C, and a time limit, leave no uv behind, nor what it started. Not covered: uv goes on
for as long as it needs when the harness itself is killed; what it builds then is found by nobody,
for its record is written by the harness, last.
"""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from uv import find_uv_bin

from agent.util.errors import Fault
from agent.util.files import disk_faults, free_bytes
from agent.util.secrets import clean_environment

# What uv itself listens to; a mirror or a proxy is the user's business, a key is not uv's.
_VARIABLES = (
    "HOME",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
)
# ENOSPC and a quota, as uv words them
_FULL = ("os error 28", "No space left on device", "os error 122")


@dataclass(frozen=True)
class UvResult:
    """The end of a call of uv, and what it printed."""

    code: int
    out: str
    err: str

    def or_fault(self, what: str) -> str:
        """Return its output. Raises Fault("environment" or "disk", ...) where it failed."""
        if self.code == 0:
            return self.out
        full = any(sign in self.err for sign in _FULL)
        kind = "disk" if full else "environment"
        raise Fault(kind, f"{what} failed: {' '.join(self.err.split())[:600]}")


def uv(*arguments: str, seconds: float, given: str = "") -> UvResult:
    """Run uv to its end, with `given` on its stdin.

    Raises Fault("environment", ...) when it takes longer than so many seconds.
    """
    process = subprocess.Popen(
        [find_uv_bin(), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=_environment(),
        start_new_session=True,
    )
    try:
        out, err = process.communicate(given, timeout=max(0.0, seconds))
    except BaseException as error:  # Ctrl-C does not reach another session by itself
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            command = " ".join(arguments[:2])
            problem = f"uv {command} was not done in time: is the package index slow?"
            raise Fault("environment", problem) from error
        raise
    return UvResult(process.returncode, out, err)


def _environment() -> dict[str, str]:
    kept = {}
    for name, value in os.environ.items():
        if name in _VARIABLES or name.startswith("UV_"):
            kept[name] = value
    if "PIP_INDEX_URL" in os.environ:  # uv does not read pip's settings
        kept.setdefault("UV_DEFAULT_INDEX", os.environ["PIP_INDEX_URL"])
    return clean_environment(**kept)


def check_room(folder: Path, needed: int) -> None:
    """Make the folder. Raises Fault("disk", ...) where fewer bytes than needed are free for it."""
    with disk_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
        free = free_bytes(folder)
    if free < needed:
        room = f"{free / 2**30:.1f} GiB free, {needed / 2**30:.1f} are needed to install packages"
        raise Fault("disk", f"{folder}: {room}")

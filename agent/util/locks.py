"""These locks are dropped by the kernel with their owner, so a dead owner holds nothing."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from agent.util.errors import Fault
from agent.util.files import disk_faults, make_folder

PATIENCE = 0.2  # seconds: who only looks whether a lock is held (is_locked) holds it for an instant


@contextmanager
def locked(path: Path, *, wait: bool = False) -> Iterator[bool]:
    """Hold an exclusive lock on path while inside, and yield True.

    Where another live process holds it: wait for that, or yield False.
    """
    with disk_faults(path):
        make_folder(path.parent)
        file = open(path, "ab")  # noqa: SIM115
    with file:
        try:
            mine = _take(file.fileno(), time.monotonic() + PATIENCE, wait)
        except OSError as error:  # then nobody knows who else works here
            raise Fault("disk", f"{path}: cannot be locked: {error.strerror}") from error
        yield mine


def _take(descriptor: int, deadline: float, wait: bool) -> bool:
    if wait:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return True
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
        time.sleep(0.02)


def is_locked(path: Path) -> bool:
    """Return True if a live process holds the lock on path. Needs no right to write."""
    try:
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


@contextmanager
def held(path: Path, seconds: float) -> Iterator[IO[bytes]]:
    """Hold an exclusive lock that passes to every process that inherits the file.

    The lock is held as long as one of them lives. Raises Fault("busy", ...) when it cannot be had
    within so many seconds.
    """
    with disk_faults(path):
        file = open(path, "ab")  # noqa: SIM115
    deadline = time.monotonic() + seconds
    with file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > deadline:
                    reason = f"a request of an earlier command did not end within {seconds:.0f} s"
                    raise Fault("busy", f"{path}: {reason}") from None
            time.sleep(0.05)
        yield file

"""Processes as /proc shows them: who descends from whom, and how they are awaited and ended.

Loaded by server.py in the experiments' interpreter: the standard library alone.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Collection
from pathlib import Path

from .privileges import libc

SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of <linux/prctl.h>
PARENT_DEATH = 1  # PR_SET_PDEATHSIG


def children_of() -> dict[int, list[int]]:
    """Return the children of every process, zombies included."""
    tree: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 quick, while a fork bomb takes all the time
        if not name.isdecimal():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                parent = int(_after_name(file.read())[1])
        except (OSError, IndexError):
            continue  # it has ended meanwhile
        tree.setdefault(parent, []).append(int(name))
    return tree


def _after_name(stat: bytes) -> list[bytes]:
    """Return the fields of /proc/PID/stat behind the program's name, which may hold anything."""
    return stat.rpartition(b")")[2].split()


def descendants(root: int) -> list[int]:
    """Return all processes below root, which is not among them."""
    tree = children_of()
    family = [root]
    for pid in family:
        family += tree.get(pid, [])
    return family[1:]


def threads_of_user() -> int:
    """Count the threads that all processes of this user have now."""
    count = 0
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdecimal() and folder.stat().st_uid == os.getuid():
                count += int(_after_name((folder / "stat").read_bytes())[17])
        except (OSError, IndexError):
            continue  # it has ended meanwhile
    return count


def send(which: signal.Signals, pids: Collection[int]) -> None:
    """Send a signal to processes, of which some may have ended."""
    for pid in pids:
        try:
            os.kill(pid, which)
        except ProcessLookupError:
            continue  # it has ended meanwhile


def kill_all(root: int) -> None:
    """Send SIGKILL to a process and all below it; where it is our own, only to what is below.

    All are stopped first: a bomb forks faster than it is killed.
    """
    own = os.getpid()
    stopped = {own}
    while new := {root, *descendants(root)} - stopped:
        send(signal.SIGSTOP, new)
        stopped |= new
    send(signal.SIGKILL, stopped - {own})


def reap() -> tuple[int, int, float]:
    """Return (pid, status, CPU seconds) of a child that has ended; pid 0 says that none has."""
    try:
        pid, status, usage = os.wait4(-1, os.WNOHANG)
    except ChildProcessError:
        return 0, 0, 0.0
    return pid, status, usage.ru_utime + usage.ru_stime


def end_children(main: int) -> tuple[int | None, float]:
    """End all processes below this one.

    Returns the status of `main`, if it was among them, and their CPU seconds.
    """
    main_status = None
    seconds = 0.0
    while children_of().get(os.getpid()):
        kill_all(os.getpid())
        time.sleep(0.005)
        pid, status, used = reap()
        while pid:
            seconds += used
            if pid == main:
                main_status = status
            pid, status, used = reap()
    return main_status, seconds


def adopt_orphans() -> None:
    """Make the orphans among our descendants our children from now on.

    Linux only: elsewhere they are lost to init.
    """
    if sys.platform == "linux":
        libc.prctl(SUBREAPER, 1, 0, 0, 0)


def end_with_parent(how: int) -> None:
    """Choose the signal that this process gets when the thread that started it ends; 0 for none.

    Linux only: elsewhere it gets none.
    """
    if sys.platform == "linux":
        libc.prctl(PARENT_DEATH, how, 0, 0, 0)

"""A watchdog over the memory, processes and disk of a program and of all that it started.

It reads /proc.
Loaded by server.py in the experiments' interpreter: the standard library alone. What a program
takes between two looks passes the limit: some hundred MiB of memory, at one GB/s of allocation.
Not covered: kernel memory (pipes, sockets); systems without /proc.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .processes import descendants

LOOK_SECONDS = 0.1
SHARE = 20  # so many times a look's cost is waited before the next one
LONGEST = 1.0  # never longer, however dear a program makes a look
DEEPEST = 200  # folders inside folders; no honest program nests so, deeper ones cannot be counted
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Watched:
    """A program and all that it starts: where it is, what it may write, and its limits."""

    root: int  # the process below which it all runs
    not_its_own: set[int]  # processes below root that are the sandbox's
    folders: list[str]  # on disk, that it may write
    scratch: list[int]  # descriptors of its memory file systems
    limits: dict[str, int]  # of memory and disk in bytes, and of processes


class Watchdog:
    """A watchdog looks at a program now and then, and remembers the most that it saw in use.

    killed: tells whether the kernel has killed a process of the program for memory, after which
    the rest of it is not what it was meant to be.
    """

    def __init__(self, watched: Watched, killed: Callable[[], bool]):
        self.watched = watched
        self.used = {"processes": 0, "memory": 0, "disk": 0}
        self.killed = killed
        self._next = 0.0
        self._next_disk = 0.0

    def look(self) -> str:
        """Return the name of the limit that is passed, or ''.

        Does nothing until it is time to look again.
        """
        started = time.monotonic()
        if started < self._next:
            return ""
        watched = self.watched
        pids = [pid for pid in descendants(watched.root) if pid not in watched.not_its_own]
        self.used["processes"] = max(self.used["processes"], len(pids))
        if len(pids) > watched.limits["processes"]:
            return "processes"  # at once: a look at so many takes long
        if self.killed():
            return "memory"
        in_memory, on_disk = _unlinked(pids, watched)
        seen = {"memory": in_memory + _memory(pids, watched.scratch)}
        measured = time.monotonic()
        if started >= self._next_disk:
            seen["disk"] = on_disk + self.on_disk()
            cost = time.monotonic() - measured
            self._next_disk = time.monotonic() + _pause(cost, 5 * LOOK_SECONDS, 5 * LONGEST)
        for name, amount in seen.items():
            self.used[name] = max(self.used[name], amount)
        self._next = time.monotonic() + _pause(measured - started, LOOK_SECONDS, LONGEST)
        return next((name for name in seen if seen[name] > watched.limits[name]), "")

    def on_disk(self) -> int:
        """Return the bytes in the folders that the program may write."""
        enough = self.watched.limits["disk"]
        return sum(folder_bytes(folder, enough) for folder in self.watched.folders)


def _pause(cost: float, shortest: float, longest: float) -> float:
    return max(shortest, min(longest, SHARE * cost))


def _memory(pids: list[int], scratch: list[int]) -> int:
    """Return the bytes that are the processes' own, and those that lie in memory files.

    Shared pages are split between those that share them.
    """
    own = 0
    shared = 0
    for pid in pids:
        try:
            sizes = _rollup(pid)
            own += _kib(sizes["Pss_Anon"])
            shared += _kib(sizes["Pss_Shmem"])
        except (OSError, KeyError, ValueError):
            own += _resident(pid)  # ended; or it forbids to be looked at, which statm ignores
    in_files = 0
    for descriptor in scratch:
        system = os.fstatvfs(descriptor)
        in_files += (system.f_blocks - system.f_bfree) * system.f_frsize
    return own + max(shared, in_files)


def _rollup(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return dict(line.split(":") for line in lines[1:])


def _kib(text: str) -> int:
    return int(text.split()[0]) * 1024


def _resident(pid: int) -> int:
    """Return the bytes of a process that it shares with no file, as far as statm tells."""
    try:
        _, resident, shared, *_ = map(int, Path(f"/proc/{pid}/statm").read_text().split())
    except (OSError, ValueError):
        return 0
    return max(0, resident - shared) * PAGE


def _unlinked(pids: list[int], watched: Watched) -> tuple[int, int]:
    """Return the bytes of open files without a name: (in memory, on the disk of the folders).

    Those in the scratch memory are left out, for that is counted whole.
    """
    counted = {os.fstat(descriptor).st_dev for descriptor in watched.scratch}
    disk = Path(watched.folders[0]).stat().st_dev
    sizes: dict[tuple[int, int], int] = {}
    for pid in pids:
        for status in _open_files(pid):
            nameless = stat.S_ISREG(status.st_mode) and status.st_nlink == 0
            if nameless and status.st_dev not in counted:
                sizes[status.st_dev, status.st_ino] = status.st_blocks * 512
    on_disk = sum(size for (device, _), size in sizes.items() if device == disk)
    return sum(sizes.values()) - on_disk, on_disk


def _open_files(pid: int) -> Iterator[os.stat_result]:
    try:
        descriptors = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return
    for descriptor in descriptors:
        try:
            status = descriptor.stat()
        except OSError:
            continue  # it was closed meanwhile
        yield status


def folder_bytes(folder: str, enough: int) -> int:
    """Return the bytes on disk below a folder, where every file takes at least one block.

    The number is more than `enough` where the folder passes that or cannot be counted.
    """
    total = 0
    waiting = [(folder, 0)]
    while waiting and total <= enough:
        path, depth = waiting.pop()
        if depth > DEEPEST:
            return enough + 1
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    total += max(4096, entry.stat(follow_symlinks=False).st_blocks * 512)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((entry.path, depth + 1))
        except (FileNotFoundError, NotADirectoryError):
            continue  # it was removed meanwhile
        except OSError:
            return enough + 1  # closed to us, or its path is too long: it cannot be counted
    return total

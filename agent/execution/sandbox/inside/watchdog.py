"""What a program and all that it started use: processes, memory, disk; and their end. For the keeper of the program, from /proc.

Loaded by server.py in the experiments' interpreter: the standard library alone. What a program
takes between two looks passes the limit: some hundred MiB of memory, at one GB/s of allocation.
Not covered: kernel memory (pipes, sockets); systems without /proc.
"""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Callable
from pathlib import Path

LOOK_SECONDS, SHARE, LONGEST = (
    0.1,
    20,
    1.0,
)  # a look's cost, times SHARE, is waited; never longer, however dear a program makes it
DEEPEST = (
    200  # folders inside folders; no honest program nests so, and deeper ones cannot be counted
)
PAGE = os.sysconf("SC_PAGE_SIZE")


def children_of() -> dict[int, list[int]]:
    """Every process's children, zombies included."""
    tree: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 quick, while a fork bomb takes all the time there is
        if not name.isdecimal():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                parent = int(file.read().rpartition(b")")[2].split()[1])
        except (OSError, IndexError):
            continue  # it has ended meanwhile
        tree.setdefault(parent, []).append(int(name))
    return tree


def descendants(root: int) -> list[int]:
    """All processes below root, which is not among them."""
    tree, found = children_of(), [root]
    for pid in found:
        found += tree.get(pid, [])
    return found[1:]


def kill_all(root: int) -> None:
    """SIGKILL a process and all below it; of our own, only what is below. All are stopped first: a bomb forks faster than it is
    killed.
    """
    found = {os.getpid()}
    while new := {root, *descendants(root)} - found:
        send(signal.SIGSTOP, new)
        found |= new
    send(signal.SIGKILL, found - {os.getpid()})


def send(which: signal.Signals, pids: set[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, which)
        except ProcessLookupError:
            continue  # it has ended meanwhile


def threads_of_user() -> int:
    """How many threads all processes of this user have now."""
    count = 0
    for place in Path("/proc").iterdir():
        try:
            if place.name.isdecimal() and place.stat().st_uid == os.getuid():
                count += int((place / "stat").read_bytes().rpartition(b")")[2].split()[17])
        except (OSError, IndexError):
            continue  # it has ended meanwhile
    return count


class Watchdog:
    """Looks at everything below one process now and then, and remembers the most that it saw.

    folders, scratch: what it may write, on disk, and in memory (descriptors). not_its_own: processes that are the sandbox's.
    killed: whether the kernel has killed one for memory, after which the rest of the program is not what it was meant to be.
    """

    def __init__(
        self,
        root: int,
        folders: list[str],
        limits: dict[str, int],
        scratch: list[int],
        not_its_own: set[int],
        killed: Callable[[], bool],
    ):
        self.root, self.folders, self.limits, self.scratch, self.not_its_own = (
            root,
            folders,
            limits,
            scratch,
            not_its_own,
        )
        self.killed = killed
        self.used = {"processes": 0, "memory": 0, "disk": 0}
        self._next = self._next_disk = 0.0

    def look(self) -> str:
        """The name of the limit that is passed, '' for none; does nothing until it is time to look again."""
        started = time.monotonic()
        if started < self._next:
            return ""
        pids = [pid for pid in descendants(self.root) if pid not in self.not_its_own]
        self.used["processes"] = max(self.used["processes"], len(pids))
        if len(pids) > self.limits["processes"]:
            return "processes"  # at once: a look at so many takes long
        if self.killed():
            return "memory"
        held, on_disk = _unlinked(
            pids,
            {os.fstat(place).st_dev for place in self.scratch},
            Path(self.folders[0]).stat().st_dev,
        )
        seen = {"memory": held + _memory(pids, self.scratch)}
        measured = time.monotonic()
        if started >= self._next_disk:
            seen["disk"] = on_disk + self.on_disk()
            self._next_disk = time.monotonic() + max(
                5 * LOOK_SECONDS, min(5 * LONGEST, SHARE * (time.monotonic() - measured))
            )
        self.used = {name: max(most, seen.get(name, 0)) for name, most in self.used.items()}
        self._next = time.monotonic() + max(
            LOOK_SECONDS, min(LONGEST, SHARE * (measured - started))
        )
        return next((name for name, value in seen.items() if value > self.limits[name]), "")

    def on_disk(self) -> int:
        """Bytes in the folders that the program may write."""
        return sum(folder_bytes(folder, self.limits["disk"]) for folder in self.folders)


def _memory(pids: list[int], scratch: list[int]) -> int:
    """Bytes: what is the processes' own, shared pages split between those that share them, and what lies in memory files."""
    own = shared = 0
    for pid in pids:
        try:
            found = dict(
                line.split(":")
                for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
            )
            own += _kib(found["Pss_Anon"])
            shared += _kib(found["Pss_Shmem"])
        except (
            OSError,
            KeyError,
            ValueError,
        ):  # ended; or it forbids to be looked at, which statm ignores
            own += _resident(pid)
    files = [os.fstatvfs(place) for place in scratch]
    return own + max(shared, sum((file.f_blocks - file.f_bfree) * file.f_frsize for file in files))


def _kib(text: str) -> int:
    return int(text.split()[0]) * 1024


def _resident(pid: int) -> int:
    try:
        _, resident, shared, *_ = map(int, Path(f"/proc/{pid}/statm").read_text().split())
    except (OSError, ValueError):
        return 0
    return max(0, resident - shared) * PAGE


def _unlinked(pids: list[int], counted: set[int], disk: int) -> tuple[int, int]:
    """Bytes of open files that have no name: (in memory, on the disk of the folder). counted: devices that are counted whole."""
    found: dict[tuple[int, int], int] = {}
    for pid in pids:
        try:
            descriptors = list(Path(f"/proc/{pid}/fd").iterdir())
        except OSError:
            continue
        for descriptor in descriptors:
            try:
                status = descriptor.stat()
            except OSError:
                continue
            if (
                stat.S_ISREG(status.st_mode)
                and status.st_nlink == 0
                and status.st_dev not in counted
            ):
                found[status.st_dev, status.st_ino] = status.st_blocks * 512
    on_disk = sum(size for (device, _), size in found.items() if device == disk)
    return sum(found.values()) - on_disk, on_disk


def folder_bytes(folder: str, enough: int) -> int:
    """Bytes on disk below a folder, every file at least one block; more than `enough` where it passes that or cannot be counted."""
    total, waiting = 0, [(folder, 0)]
    while waiting and total <= enough:
        place, depth = waiting.pop()
        if depth > DEEPEST:
            return enough + 1
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    total += max(4096, entry.stat(follow_symlinks=False).st_blocks * 512)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((entry.path, depth + 1))
        except (FileNotFoundError, NotADirectoryError):
            continue  # it was removed meanwhile
        except OSError:
            return enough + 1  # closed to us, or its path is too long: it cannot be counted
    return total

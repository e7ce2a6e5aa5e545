"""A control group for one program, where we may make one: the kernel then keeps the limits that the watchdog can only notice.

Version 2: beside our own group, or above it, where memory is handed out to children and we may write: as root, or inside
`systemd-run --user --scope`. Version 1: inside our own group, as root. Elsewhere there is none, and the watchdog is alone.
Loaded by server.py in the experiments' interpreter: the standard library alone.
Not covered: moving from a login session into a delegated tree, which systemd does not allow.
"""

from __future__ import annotations

import os
from pathlib import Path

PREFIX = "assay-"
# controller -> the file that sets its limit, and that which counts how often it was hit
FILES = {
    2: {"memory": ("memory.max", "memory.events"), "pids": ("pids.max", "pids.events")},
    1: {
        "memory": ("memory.limit_in_bytes", "memory.oom_control"),
        "pids": ("pids.max", "pids.events"),
    },
}


class ControlGroup:
    """The groups of one program: one folder, or with version 1 one for each controller."""

    def __init__(self, memory: int, threads: int):
        self._folders: list[Path] = []
        self._events: Path | None = None
        for version, controller, parent in _parents():
            for left in parent.glob(f"{PREFIX}*"):
                if not Path(
                    f"/proc/{left.name.removeprefix(PREFIX)}"
                ).exists():  # its keeper was killed
                    _remove(left)
            folder = parent / f"{PREFIX}{os.getpid()}"
            limit, events = FILES[version][controller]
            try:
                folder.mkdir(exist_ok=True)
                (folder / limit).write_text(str(memory if controller == "memory" else threads))
                if (folder / "memory.swap.max").exists():
                    (folder / "memory.swap.max").write_text("0")
            except OSError:
                _remove(folder)
                continue
            self._folders += [] if folder in self._folders else [folder]
            self._events = folder / events if controller == "memory" else self._events

    def join(self) -> None:
        """Put this process, and all that it starts from now on, into the group."""
        for folder in self._folders:
            (folder / "cgroup.procs").write_text("0")

    @property
    def out_of_memory(self) -> bool:
        """The kernel has killed a process for the memory limit."""
        if self._events is None:
            return False
        counts = dict(line.split() for line in self._events.read_text().splitlines())
        return int(counts.get("oom_kill", 0)) > 0

    def close(self) -> None:
        """Nothing runs in it any more."""
        for folder in self._folders:
            _remove(folder)


def _parents() -> list[tuple[int, str, Path]]:
    """(version, controller, folder in which a group can be made) for memory and pids, where there is one."""
    groups = Path("/proc/self/cgroup")
    own = (
        [line.split(":", 2) for line in groups.read_text().splitlines()] if groups.exists() else []
    )
    found: list[tuple[int, str, Path]] = []
    for mount in Path("/proc/self/mounts").read_text().splitlines() if own else []:
        _, place, kind, options, *_ = mount.split()
        for _, controllers, path in own:
            here = Path(place) / path.lstrip("/")
            if (
                kind == "cgroup"
                and controllers
                and set(controllers.split(",")) <= set(options.split(","))
            ):
                found += [
                    (1, name, here)
                    for name in ("memory", "pids")
                    if name in controllers.split(",") and os.access(here, os.W_OK)
                ]
            elif kind == "cgroup2" and not controllers:
                found += [
                    (2, name, parent)
                    for name in ("memory", "pids")
                    if (parent := _distributing(name, here, Path(place)))
                ]
    return found


def _distributing(controller: str, here: Path, top: Path) -> Path | None:
    """The nearest group above ours that hands this controller out and in which we may make another."""
    for parent in here.parents:
        if not parent.is_relative_to(top):
            return None
        try:
            handed = (parent / "cgroup.subtree_control").read_text().split()
        except OSError:
            continue
        if (
            controller in handed
            and os.access(parent, os.W_OK)
            and os.access(parent / "cgroup.procs", os.W_OK)
        ):
            return parent
    return None


def _remove(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        pass  # it is in use, or gone

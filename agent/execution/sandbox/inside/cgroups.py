"""A control group for one program, where we may make one.

The kernel then keeps the limits that the watchdog can only notice. Version 2: beside our own group,
or above it, where memory is handed out to children and we may write: as root, or inside
`systemd-run --user --scope`. Version 1: inside our own group, as root. Elsewhere there is none, and
the watchdog is alone.
Loaded by server.py in the experiments' interpreter: the standard library alone.
Not covered: moving from a login session into a delegated tree, which systemd does not allow.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

PREFIX = "assay-"
# version -> controller -> the file that sets its limit, and that which counts how often it was hit
FILES = {
    2: {
        "memory": ("memory.max", "memory.events"),
        "pids": ("pids.max", "pids.events"),
    },
    1: {
        "memory": ("memory.limit_in_bytes", "memory.oom_control"),
        "pids": ("pids.max", "pids.events"),
    },
}


class Parent(NamedTuple):
    """A group in which another can be made that one controller limits."""

    version: int
    controller: str
    folder: Path


class ControlGroup:
    """The groups of one program: one folder, or with version 1 one for each controller."""

    def __init__(self, memory: int, threads: int):
        self._folders: list[Path] = []
        self._events: Path | None = None
        limits = {"memory": memory, "pids": threads}
        for parent in _parents():
            _remove_left_over(parent.folder)
            folder = parent.folder / f"{PREFIX}{os.getpid()}"
            limit, events = FILES[parent.version][parent.controller]
            try:
                folder.mkdir(exist_ok=True)
                (folder / limit).write_text(str(limits[parent.controller]))
                swap = folder / "memory.swap.max"
                if swap.exists():
                    swap.write_text("0")
            except OSError:
                _remove(folder)
                continue
            if folder not in self._folders:
                self._folders.append(folder)
            if parent.controller == "memory":
                self._events = folder / events

    def join(self) -> None:
        """Put this process, and all that it starts from now on, into the group."""
        for folder in self._folders:
            (folder / "cgroup.procs").write_text("0")

    @property
    def out_of_memory(self) -> bool:
        """Tell whether the kernel has killed a process for the memory limit."""
        if self._events is None:
            return False
        counts = dict(line.split() for line in self._events.read_text().splitlines())
        return int(counts.get("oom_kill", 0)) > 0

    def close(self) -> None:
        """Remove the group, in which nothing runs any more."""
        for folder in self._folders:
            _remove(folder)


def _parents() -> list[Parent]:
    """Return where groups for memory and pids can be made, of all mounted hierarchies."""
    groups = Path("/proc/self/cgroup")
    if not groups.exists():
        return []
    own = [line.split(":", 2) for line in groups.read_text().splitlines()]
    parents: list[Parent] = []
    for mount in Path("/proc/self/mounts").read_text().splitlines():
        _, top, kind, options, *_ = mount.split()
        for _, controllers, path in own:
            here = Path(top) / path.lstrip("/")
            names = set(controllers.split(","))
            if kind == "cgroup" and controllers and names <= set(options.split(",")):
                parents += _version_1(names, here)
            elif kind == "cgroup2" and not controllers:
                parents += _version_2(here, Path(top))
    return parents


def _version_1(controllers: set[str], here: Path) -> list[Parent]:
    names = [name for name in FILES[1] if name in controllers]
    return [Parent(1, name, here) for name in names if os.access(here, os.W_OK)]


def _version_2(here: Path, top: Path) -> list[Parent]:
    parents = []
    for controller in FILES[2]:
        folder = _distributing(controller, here, top)
        if folder:
            parents.append(Parent(2, controller, folder))
    return parents


def _distributing(controller: str, here: Path, top: Path) -> Path | None:
    """Return the nearest group above ours that distributes the controller and that we may use."""
    for parent in here.parents:
        if not parent.is_relative_to(top):
            return None
        try:
            distributed = (parent / "cgroup.subtree_control").read_text().split()
        except OSError:
            continue
        writable = os.access(parent, os.W_OK) and os.access(parent / "cgroup.procs", os.W_OK)
        if controller in distributed and writable:
            return parent
    return None


def _remove_left_over(parent: Path) -> None:
    """Remove the groups of keepers that were killed."""
    for group in parent.glob(f"{PREFIX}*"):
        keeper = group.name.removeprefix(PREFIX)
        if not Path(f"/proc/{keeper}").exists():
            _remove(group)


def _remove(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        pass  # it is in use, or gone

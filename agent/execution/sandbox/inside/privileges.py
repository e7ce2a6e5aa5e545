"""What the process that is about to become a model-written program does to itself: enter the sandbox, give up rights.

Loaded by server.py in the experiments' interpreter: the standard library alone. Linux only.
Landlock's numbers are those of <linux/landlock.h>. Not covered by it: connecting to a Unix socket by its path, command lines in
/proc, a private /dev/shm (see SECURITY.md).
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import struct
from collections.abc import Iterable
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)

NAMESPACES = ("mnt", "pid", "net", "ipc", "uts", "cgroup")
PARENT_NAMESPACE = 0xB702  # NS_GET_PARENT of <linux/nsfs.h>
DUMPABLE, NO_NEW_PRIVILEGES, DROP_BOUND, AMBIENT = 4, 38, 24, 47  # of prctl
CAPABILITY_VERSION, LAST_CAPABILITY = 0x20080522, 63
LANDLOCK_CREATE, LANDLOCK_RULE, LANDLOCK_RESTRICT = 444, 445, 446
EXECUTE, WRITE, READ, LIST, CHAR_DEVICE, BLOCK_DEVICE, REFER, TRUNCATE, IOCTL = (
    1 << bit for bit in (0, 1, 2, 3, 6, 11, 13, 14, 15)
)
LOOK = EXECUTE | READ | LIST
OF_FILES = EXECUTE | WRITE | READ | TRUNCATE | IOCTL


def enter(pid: int) -> None:
    """Join all name spaces of a process in a sandbox that bubblewrap made. The caller has a single thread, and then forks."""
    inner = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY)
    links = [(Path(f"/proc/{pid}/ns/{name}"), Path(f"/proc/self/ns/{name}")) for name in NAMESPACES]
    spaces = [
        os.open(theirs, os.O_RDONLY)
        for theirs, ours in links
        if theirs.readlink() != ours.readlink()
    ]  # the network may be ours
    outer = str(Path("/proc/self/ns/user").readlink())
    chain = [
        inner
    ]  # bubblewrap makes the others from one user name space, and lives in another inside it
    while _name(parent := fcntl.ioctl(chain[0], PARENT_NAMESPACE)) != outer:
        chain.insert(0, parent)
    for space in (chain[0], *spaces, *chain[1:]):
        _check(libc.setns(space, 0), "setns")


def _name(descriptor: int) -> str:
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())


def limit(threads: int, file_bytes: int, data_bytes: int) -> None:
    """Limits that the kernel keeps. The watchdog's are tighter; these bound what happens between two of its looks.

    threads: of this user, all processes counted; inside a user name space, of those in there. Root is exempt.
    data_bytes: of one process, 0 for none. A GPU's driver reserves far more than it uses.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for kind, wanted in ((resource.RLIMIT_FSIZE, file_bytes), (resource.RLIMIT_DATA, data_bytes)):
        if wanted:
            _lower(kind, wanted)
    _lower(resource.RLIMIT_NPROC, threads)


def _lower(kind: int, wanted: int) -> None:
    hard = resource.getrlimit(kind)[1]
    bound = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(kind, (bound, bound))


def drop_privileges() -> None:
    """No capability, and no way to gain one by executing a file."""
    for capability in range(LAST_CAPABILITY + 1):
        libc.prctl(
            DROP_BOUND, capability, 0, 0, 0
        )  # refused where it is not ours to drop, and where there is none of that number
    libc.prctl(AMBIENT, 4, 0, 0, 0)  # PR_CAP_AMBIENT_CLEAR_ALL
    _check(libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0), "no_new_privs")
    header, none = (
        ctypes.create_string_buffer(struct.pack("Ii", CAPABILITY_VERSION, 0)),
        ctypes.create_string_buffer(24),
    )
    _check(libc.capset(header, none), "capset")
    libc.prctl(
        DUMPABLE, 1, 0, 0, 0
    )  # else /proc/self belongs to root, and a program cannot look at itself


def landlock_version() -> int:
    """0 where the kernel has no Landlock."""
    return max(
        0,
        int(
            libc.syscall(ctypes.c_long(LANDLOCK_CREATE), None, ctypes.c_size_t(0), ctypes.c_uint(1))
        ),
    )


def restrict(
    read: Iterable[str], write: Iterable[str], devices: Iterable[str], network: bool
) -> None:
    """Allow these places and no others, for this process and all that it starts. After drop_privileges."""
    version = landlock_version()
    handled = (
        (1 << 13) - 1
        | (REFER if version >= 2 else 0)
        | (TRUNCATE if version >= 3 else 0)
        | (IOCTL if version >= 5 else 0)
    )
    scoped = 0 if version < 6 else 2 if network else 3  # signals, and abstract Unix sockets
    attributes = struct.pack("QQQ", handled, 0 if network or version < 4 else 3, scoped)[
        : 24 if version >= 6 else 16 if version >= 4 else 8
    ]
    rules = _check(
        libc.syscall(
            ctypes.c_long(LANDLOCK_CREATE),
            attributes,
            ctypes.c_size_t(len(attributes)),
            ctypes.c_uint(0),
        ),
        "landlock",
    )
    everything = handled & ~(CHAR_DEVICE | BLOCK_DEVICE | IOCTL)
    for places, access in ((read, LOOK), (write, everything), (devices, LOOK | WRITE | IOCTL)):
        for place in places:
            _allow(rules, place, access & handled)
    _check(
        libc.syscall(ctypes.c_long(LANDLOCK_RESTRICT), ctypes.c_int(rules), ctypes.c_uint(0)),
        "landlock_restrict_self",
    )
    os.close(rules)


def _allow(rules: int, place: str, access: int) -> None:
    try:
        descriptor = os.open(place, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # not on this system
    if not Path(place).is_dir():
        access &= OF_FILES
    rule = struct.pack("=Qi", access, descriptor)
    _check(
        libc.syscall(
            ctypes.c_long(LANDLOCK_RULE),
            ctypes.c_int(rules),
            ctypes.c_int(1),
            rule,
            ctypes.c_uint(0),
        ),
        place,
    )
    os.close(descriptor)


def _check(result: int, what: str) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")
    return result

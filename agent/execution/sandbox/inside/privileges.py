"""How a process that is about to become a model-written program confines itself.

It enters the sandbox and gives up rights.
Loaded by server.py in the experiments' interpreter: the standard library alone. Linux only.
Landlock's numbers are those of <linux/landlock.h>. Not covered by it: connecting to a Unix socket
by its path, command lines in /proc, a private /dev/shm (see SECURITY.md).
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)

NAMESPACES = ("mnt", "pid", "net", "ipc", "uts", "cgroup")
PARENT_NAMESPACE = 0xB702  # NS_GET_PARENT of <linux/nsfs.h>

# Of prctl
DUMPABLE = 4
NO_NEW_PRIVILEGES = 38
DROP_BOUND = 24
AMBIENT = 47
CLEAR_ALL = 4  # of AMBIENT

CAPABILITY_VERSION = 0x20080522
LAST_CAPABILITY = 63

# System calls, the same on all machines
LANDLOCK_CREATE = 444
LANDLOCK_RULE = 445
LANDLOCK_RESTRICT = 446

ASK_VERSION = 1  # a flag of LANDLOCK_CREATE
PATH_BENEATH = 1  # a kind of rule

# Rights of Landlock: of its first version all, then those that later versions added
EXECUTE = 1 << 0
WRITE = 1 << 1
READ = 1 << 2
LIST = 1 << 3
CHAR_DEVICE = 1 << 6
BLOCK_DEVICE = 1 << 11
FIRST_RIGHTS = (1 << 13) - 1
REFER = 1 << 13
TRUNCATE = 1 << 14
IOCTL = 1 << 15
LOOK = EXECUTE | READ | LIST
OF_FILES = EXECUTE | WRITE | READ | TRUNCATE | IOCTL
BIND_AND_CONNECT = 3  # of TCP ports
ABSTRACT_SOCKETS = 1  # of Unix; scoped to the processes of a sandbox
SIGNALS = 2  # scoped alike


@dataclass(frozen=True)
class Allowed:
    """The places that a program may use under Landlock, and whether it may use the network."""

    read: Iterable[str]
    write: Iterable[str]
    devices: Iterable[str]
    network: bool


def enter(pid: int) -> None:
    """Join all name spaces of a process in a sandbox that bubblewrap made.

    The caller has a single thread, and then forks.
    """
    inner = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY)
    spaces = []
    for name in NAMESPACES:
        theirs = Path(f"/proc/{pid}/ns/{name}")
        ours = Path(f"/proc/self/ns/{name}")
        if theirs.readlink() != ours.readlink():  # the network may be ours
            spaces.append(os.open(theirs, os.O_RDONLY))
    outer = str(Path("/proc/self/ns/user").readlink())
    # bubblewrap makes the others from one user name space, and lives in another inside it.
    chain = [inner]
    parent = fcntl.ioctl(inner, PARENT_NAMESPACE)
    while _name(parent) != outer:
        chain.insert(0, parent)
        parent = fcntl.ioctl(parent, PARENT_NAMESPACE)
    for space in (chain[0], *spaces, *chain[1:]):
        _check(libc.setns(space, 0), "setns")


def _name(descriptor: int) -> str:
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())


def limit(threads: int, file_bytes: int, data_bytes: int) -> None:
    """Set the limits that the kernel keeps.

    The watchdog's are tighter; these bound what happens between two of its looks.
    threads: of this user, all processes counted; inside a user name space, of those in there. Root
    is exempt.
    data_bytes: of one process, 0 for none. A GPU's driver reserves far more than it uses.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if file_bytes:
        _lower(resource.RLIMIT_FSIZE, file_bytes)
    if data_bytes:
        _lower(resource.RLIMIT_DATA, data_bytes)
    _lower(resource.RLIMIT_NPROC, threads)


def _lower(kind: int, wanted: int) -> None:
    hard = resource.getrlimit(kind)[1]
    bound = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(kind, (bound, bound))


def drop_privileges() -> None:
    """Give up every capability, and every way to gain one by executing a file."""
    for capability in range(LAST_CAPABILITY + 1):
        # Refused where it is not ours to drop, and where there is none of that number.
        libc.prctl(DROP_BOUND, capability, 0, 0, 0)
    libc.prctl(AMBIENT, CLEAR_ALL, 0, 0, 0)
    _check(libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0), "no_new_privs")
    header = ctypes.create_string_buffer(struct.pack("Ii", CAPABILITY_VERSION, 0))
    no_capabilities = ctypes.create_string_buffer(24)
    _check(libc.capset(header, no_capabilities), "capset")
    # Else /proc/self belongs to root, and a program cannot look at itself.
    libc.prctl(DUMPABLE, 1, 0, 0, 0)


def landlock_version() -> int:
    """Return the version of the kernel's Landlock, 0 where it has none."""
    version = libc.syscall(
        ctypes.c_long(LANDLOCK_CREATE),
        None,
        ctypes.c_size_t(0),
        ctypes.c_uint(ASK_VERSION),
    )
    return max(0, int(version))


def restrict(allowed: Allowed) -> None:
    """Forbid all other places, to this process and all that it starts. After drop_privileges."""
    version = landlock_version()
    handled = FIRST_RIGHTS
    if version >= 2:
        handled |= REFER
    if version >= 3:
        handled |= TRUNCATE
    if version >= 5:
        handled |= IOCTL
    rules = _create(version, handled, allowed.network)
    everything = handled & ~(CHAR_DEVICE | BLOCK_DEVICE | IOCTL)
    for path in allowed.read:
        _allow(rules, path, LOOK & handled)
    for path in allowed.write:
        _allow(rules, path, everything)
    for path in allowed.devices:
        _allow(rules, path, (LOOK | WRITE | IOCTL) & handled)
    _check(
        libc.syscall(ctypes.c_long(LANDLOCK_RESTRICT), ctypes.c_int(rules), ctypes.c_uint(0)),
        "landlock_restrict_self",
    )
    os.close(rules)


def _create(version: int, handled: int, network: bool) -> int:
    """Return the descriptor of an empty set of rules."""
    ports = 0 if network else BIND_AND_CONNECT
    scoped = SIGNALS if network else SIGNALS | ABSTRACT_SOCKETS
    attributes = struct.pack("QQQ", handled, ports, scoped)
    if version < 4:
        attributes = attributes[:8]
    elif version < 6:
        attributes = attributes[:16]
    size = ctypes.c_size_t(len(attributes))
    rules = libc.syscall(ctypes.c_long(LANDLOCK_CREATE), attributes, size, ctypes.c_uint(0))
    return _check(rules, "landlock")


def _allow(rules: int, path: str, access: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # not on this system
    if not Path(path).is_dir():
        access &= OF_FILES
    rule = struct.pack("=Qi", access, descriptor)
    result = libc.syscall(
        ctypes.c_long(LANDLOCK_RULE),
        ctypes.c_int(rules),
        ctypes.c_int(PATH_BENEATH),
        rule,
        ctypes.c_uint(0),
    )
    _check(result, path)
    os.close(descriptor)


def _check(result: int, call: str) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{call}: {os.strerror(ctypes.get_errno())}")
    return result

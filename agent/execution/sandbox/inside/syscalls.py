"""The system calls that a confined program may not make: a filter that the kernel applies.

It holds for the program and for all that it starts.
Loaded by server.py in the experiments' interpreter: the standard library alone. Linux, x86_64 and
aarch64, whose numbers these are. The filter is classic BPF as <linux/seccomp.h> wants it.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Iterable

# What no training needs, and what widens a program's reach in the kernel.
REFUSED = {
    "x86_64": dict(ptrace=101, process_vm_readv=310, process_vm_writev=311, add_key=248, request_key=249, keyctl=250, bpf=321,
                   userfaultfd=323, perf_event_open=298, io_uring_setup=425, io_uring_enter=426, io_uring_register=427, mount=165,
                   umount2=166, pivot_root=155, chroot=161, move_mount=429, open_tree=428, fsopen=430, fsmount=432, mount_setattr=442,
                   unshare=272, setns=308, kexec_load=246, init_module=175, finit_module=313, open_by_handle_at=304, personality=135,
                   shmget=29, ioprio_set=251),
    "aarch64": dict(ptrace=117, process_vm_readv=270, process_vm_writev=271, add_key=217, request_key=218, keyctl=219, bpf=280,
                    userfaultfd=282, perf_event_open=241, io_uring_setup=425, io_uring_enter=426, io_uring_register=427, mount=40,
                    umount2=39, pivot_root=41, chroot=51, move_mount=429, open_tree=428, fsopen=430, fsmount=432, mount_setattr=442,
                    unshare=97, setns=268, kexec_load=104, init_module=105, finit_module=273, open_by_handle_at=265, personality=92,
                    shmget=194, ioprio_set=30),
}  # fmt: skip
# What Landlock does not see: modes, owners, times and attributes of files. They seem to succeed and
# do nothing, for libraries copy modes along with files and would fail for no reason of theirs.
PRETENDED = {
    "x86_64": dict(chmod=90, fchmod=91, chown=92, fchown=93, lchown=94, utime=132, setxattr=188, lsetxattr=189, fsetxattr=190,
                   removexattr=197, lremovexattr=198, fremovexattr=199, utimes=235, fchownat=260, futimesat=261, fchmodat=268,
                   utimensat=280, fchmodat2=452, setxattrat=463, removexattrat=466, file_setattr=469),
    "aarch64": dict(setxattr=5, lsetxattr=6, fsetxattr=7, removexattr=14, lremovexattr=15, fremovexattr=16, fchmod=52, fchmodat=53,
                    fchownat=54, fchown=55, utimensat=88, fchmodat2=452, setxattrat=463, removexattrat=466, file_setattr=469),
}  # fmt: skip
# Arguments that must be 0, which means: of this process.
# prlimit64, setpriority, sched_setaffinity, _setscheduler, _setparam, _setattr
OWN_ONLY = {"x86_64": {302: (0,), 141: (0, 1), 203: (0,), 144: (0,), 142: (0,), 314: (0,)},
            "aarch64": {261: (0,), 140: (0, 1), 122: (0,), 119: (0,), 118: (0,), 274: (0,)}}  # fmt: skip
# Where a file's mode stands, and where the flags that say whether there is one: nobody makes a file
# that gives its owner's rights to whoever starts it.
# chmod, fchmod, fchmodat, fchmodat2, creat, mknod, mknodat, open, openat
MODES = {"x86_64": {90: (1,), 91: (1,), 268: (2,), 452: (2,), 85: (1,), 133: (1,), 259: (2,), 2: (2, 1), 257: (3, 2)},
         "aarch64": {52: (1,), 53: (2,), 452: (2,), 33: (2,), 56: (3, 2)}}  # fmt: skip
SETS_OWNER = 0o6000
CREATES = 0o100 | 0o20000000
CLONE = {"x86_64": 56, "aarch64": 220}
NEW_SPACES = 0x7E020000  # all CLONE_NEW flags
# clone3, openat2: what they ask for lies in memory, where a filter cannot look; libraries then use
# the older call.
UNREADABLE = (435, 437)
TRUNCATE = {"x86_64": 76, "aarch64": 45}
SOCKET = {"x86_64": 41, "aarch64": 198}
X32_CALLS = 0x40000000  # where the numbers of x86_64's other calls begin
ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
SECCOMP = 22  # of prctl

# Of BPF
LOAD = 0x20
EQUAL = 0x15
AT_LEAST = 0x35
HAS = 0x45
RETURN = 0x06

# Where they stand in what the filter is given
NUMBER = 0
MACHINE = 4
ARGUMENTS = 16

# What the filter may answer
ALLOW = 0x7FFF0000
KILL = 0x80000000
ERROR = 0x00050000

# Linux's numbers of errors
EPERM = 1
ENOSYS = 38
EAFNOSUPPORT = 97

UNIX = 1  # worker processes of a DataLoader pass tensors through AF_UNIX
NETWORK = (2, 10, 16)  # AF_INET, AF_INET6, AF_NETLINK

Steps = list[tuple[int, int, int, int]]


def filter_calls(shared: bool, network: bool, old: bool) -> None:
    """Filter the calls of this process and of all that it starts, from now on.

    It must not be able to gain privileges.
    shared: it lives among the other processes of the machine, on their file system and network, as
    under Landlock. network: it may use the machine's. old: Landlock is one that does not see a file
    cut short by its path.
    """
    machine = platform.machine()
    steps = _same_machine(machine)
    steps += _answer(REFUSED[machine].values(), ERROR | EPERM)
    if old:
        steps += _answer([TRUNCATE[machine]], ERROR | EPERM)
    steps += _answer(UNREADABLE, ERROR | ENOSYS)
    if shared:
        steps += _answer(PRETENDED[machine].values(), ERROR)
        steps += _own_only(machine)
    for number, (mode, *flags) in MODES[machine].items():
        steps += _when(number, _no_owner_s_rights(mode, flags))
    steps += _when(CLONE[machine], _unless_it_has(0, NEW_SPACES))
    # A network name space holds these families; others (vsock, Bluetooth, the kernel's crypto)
    # reach past it.
    families = (UNIX,) if shared and not network else (UNIX, *NETWORK)
    steps += _when(SOCKET[machine], _unless(0, families, EAFNOSUPPORT))
    steps.append((RETURN, 0, 0, ALLOW))
    _install(steps)


def _same_machine(machine: str) -> Steps:
    """Return the steps that kill who calls as another machine, and load the call's number."""
    steps: Steps = [
        (LOAD, 0, 0, MACHINE),
        (EQUAL, 1, 0, ARCHITECTURE[machine]),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER),
    ]
    if machine == "x86_64":  # the x32 calls have numbers of their own
        steps += [(AT_LEAST, 0, 1, X32_CALLS), (RETURN, 0, 0, ERROR | EPERM)]
    return steps


def _answer(numbers: Iterable[int], answer: int) -> Steps:
    """Return the steps that give one answer to these calls, whatever their arguments."""
    steps: Steps = []
    for number in numbers:
        steps += [(EQUAL, 0, 1, number), (RETURN, 0, 0, answer)]
    return steps


def _own_only(machine: str) -> Steps:
    """Return the steps that keep a process from changing another's limits and priorities."""
    steps: Steps = []
    for number, arguments in OWN_ONLY[machine].items():
        checks: Steps = []
        for argument in arguments:
            checks += _unless(argument, (0,), EPERM)
        steps += _when(number, checks)
    return steps


def _no_owner_s_rights(mode: int, flags: list[int]) -> Steps:
    """Return the steps that refuse a mode with the owner's rights, where flags say there is one."""
    steps: Steps = []
    for argument in flags:
        steps += [(LOAD, 0, 0, ARGUMENTS + 8 * argument), (HAS, 0, 3, CREATES)]
    return steps + _unless_it_has(mode, SETS_OWNER)


def _when(number: int, then: Steps) -> Steps:
    """Return these steps for one call, which is allowed after them; the others go on."""
    return [(EQUAL, 0, len(then) + 1, number), *then, (RETURN, 0, 0, ALLOW)]


def _unless(argument: int, values: tuple[int, ...], error: int) -> Steps:
    """Return the steps that refuse unless an argument's lower half has one of these values."""
    steps: Steps = [(LOAD, 0, 0, ARGUMENTS + 8 * argument)]
    for index, value in enumerate(values):
        steps.append((EQUAL, len(values) - index, 0, value))
    return [*steps, (RETURN, 0, 0, ERROR | error)]


def _unless_it_has(argument: int, bits: int) -> Steps:
    """Return the steps that refuse where an argument's lower half has one of these bits."""
    return [
        (LOAD, 0, 0, ARGUMENTS + 8 * argument),
        (HAS, 0, 1, bits),
        (RETURN, 0, 0, ERROR | EPERM),
    ]


def _install(steps: Steps) -> None:
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code))
    if ctypes.CDLL(None, use_errno=True).prctl(SECCOMP, 2, program, 0, 0):
        raise OSError(ctypes.get_errno(), f"seccomp: {os.strerror(ctypes.get_errno())}")

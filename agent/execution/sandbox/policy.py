"""How a program that a model wrote is confined: what it sees, what it may write, what it may use.

bwrap     bubblewrap's name spaces with a root that holds an allow-list: the system and the
          interpreter read-only, the data of this run, its own folder. Home, other runs, the
          harness, the labels and /tmp are not there. No network.
landlock  the same list as a rule of the kernel's on the real file system, with a filter of system
          calls. See SECURITY.md for what it cannot stop. Only where no name spaces are to be had,
          and nothing listens that would do a program's work.
none      the user's own rights, with a time limit. Only when it is asked for by name.

The harness describes (Sandbox.confinement); server.py, outside the sandbox too, carries out.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

KINDS = ("bwrap", "landlock", "none")
GIB = 2**30
# Memory file systems of the program's own, where there are name spaces
SCRATCH = ("/tmp", "/dev/shm")
_ETC = (
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "passwd",
    "group",
    "nsswitch.conf",
    "localtime",
    "ssl/certs",
    "ca-certificates",
    "pki/tls",
    "pki/ca-trust",
    "alternatives",
    "hosts",
    "fonts",
    "mime.types",
    "protocols",
    "services",
)
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32", "/nix/store")
# Of /proc: settings of the whole machine, which root may write
_KERNEL = ("sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "scsi")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_PROCESSORS = "/sys/devices/system"  # what libraries read to count cores


@dataclass(frozen=True)
class ResourceLimits:
    """The amounts that one program and all that it starts may use."""

    memory: int = 8 * GIB  # bytes; its memory file systems count
    processes: int = 1024
    disk: int = 10 * GIB  # bytes in its folder

    @classmethod
    def given(cls, memory: float | None, processes: int, disk: float) -> ResourceLimits:
        """Return the limits of a command line, in GiB; without memory, three quarters of all."""
        memory_bytes = int(memory * GIB) if memory else total_memory() * 3 // 4
        return cls(memory_bytes, processes, int(disk * GIB))


@dataclass(frozen=True)
class Sandbox:
    """The sandbox in force. Complete when built: find_sandbox() decides, by trying."""

    kind: str
    network: bool = False
    limits: ResourceLimits = field(default_factory=ResourceLimits)
    # False: in a container that forbids to mount /proc, the container's own is shown
    own_proc: bool = True

    @property
    def described(self) -> str:
        """Return a line about it for people."""
        if self.kind == "none":
            return "none, main.py has your rights"
        description = {
            "bwrap": "bubblewrap",
            "landlock": "Landlock, weaker than bubblewrap (SECURITY.md)",
        }[self.kind]
        return f"{description}, network open" if self.network else description

    def confinement(
        self, python: Path, folder: Path, readable: tuple[Path, ...], gpu: bool
    ) -> dict[str, Any]:
        """Return the part of a request to server.py that says how the program is confined."""
        limits = self.limits
        roots = [*interpreter_roots(python), *map(str, readable)]
        gpus = _gpu_devices() if gpu else []
        bwrap: list[str] = []
        if self.kind == "bwrap":
            bwrap = self._bwrap(str(folder), roots, gpus)
        no_data_limit = self.kind == "none" or bool(gpus)
        devices_folder = "/sys" if gpus else _PROCESSORS
        return {
            "kind": self.kind,
            "network": self.network,
            "limits": asdict(limits),
            "data_bytes": 0 if no_data_limit else limits.memory,
            "bwrap": bwrap,
            # The kernel counts shared memory as a file.
            "file_bytes": max(limits.disk, limits.memory),
            "scratch": SCRATCH,
            "read": [*roots, *self._system(), "/proc", devices_folder],
            "write": [str(folder), "/dev/shm"],
            "devices": [*_DEVICES, *gpus],
        }

    def _system(self) -> list[str]:
        files = [f"/etc/{name}" for name in _ETC]
        if self.network:
            files.append("/etc/resolv.conf")
        return [path for path in (*_SYSTEM, *files) if Path(path).exists()]

    def _bwrap(self, folder: str, roots: list[str], gpus: list[str]) -> list[str]:
        """Return the command up to its `--`. What comes later is mounted over what came before."""
        command = self._unshare()
        for path in self._system():
            if path in _SYSTEM and Path(path).is_symlink():
                command += ["--symlink", str(Path(path).readlink()), path]
            else:
                command += _shown("--ro-bind", path)
        command += self._proc()
        if gpus:
            command += _shown("--ro-bind", "/sys")
        else:
            command += _shown("--ro-bind-try", _PROCESSORS)
        command += ["--dev", "/dev"]
        size = str(max(2**20, self.limits.memory // 2))
        for path in SCRATCH:
            command += ["--size", size, "--perms", "1777", "--tmpfs", path]
        for device in gpus:
            command += _shown("--dev-bind-try", device)  # it may be gone by then
        for root in roots:
            command += _shown("--ro-bind", root)
        command += _shown("--bind", folder)
        # main.py and protocol.py: not even the run itself changes them.
        for code in sorted(Path(folder).glob("*.py")):
            if code.is_file() and not code.is_symlink():
                command += _shown("--ro-bind", str(code))
        return [*command, "--remount-ro", "/dev", "--remount-ro", "/"]

    def _unshare(self) -> list[str]:
        command = [
            bwrap_path(),
            "--unshare-user",
            "--unshare-pid",
            "--unshare-ipc",
            "--unshare-uts",
            "--unshare-cgroup-try",
        ]
        if _disables_userns():
            command.append("--disable-userns")
        if not self.network:
            command.append("--unshare-net")
        command += ["--die-with-parent", "--new-session"]
        command += ["--cap-drop", "ALL"]
        command += ["--hostname", "sandbox"]
        return [*command, "--clearenv"]

    def _proc(self) -> list[str]:
        if not self.own_proc:
            return _shown("--ro-bind", "/proc")
        command = ["--proc", "/proc"]
        for name in _KERNEL:
            command += _shown("--ro-bind-try", f"/proc/{name}")
        return command


def _shown(how: str, path: str) -> list[str]:
    """Return the option of bubblewrap that shows a path where it lies outside too."""
    return [how, path, path]


def bwrap_path() -> str:
    """Return where bubblewrap is, or would be."""
    return shutil.which("bwrap", path="/usr/bin:/bin:/usr/local/bin") or "/usr/bin/bwrap"


@lru_cache
def _disables_userns() -> bool:
    """Tell whether this bubblewrap has the option, as it has since 0.8."""
    done = subprocess.run(
        [bwrap_path(), "--help"], capture_output=True, text=True, check=False, env={}
    )
    return "--disable-userns" in done.stdout + done.stderr


@lru_cache
def interpreter_roots(python: Path) -> tuple[str, ...]:
    """Return the folders outside /usr that an interpreter needs.

    They are its environment's, and those of the Python that it was made from.
    """
    code = (
        "import sys, os, json; print(json.dumps([f(p) for p in (sys.prefix, sys.base_prefix) "
        "for f in (str, os.path.realpath)]))"
    )
    done = subprocess.run(
        [str(python), "-I", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin"},
    )
    prefixes = json.loads(done.stdout) if done.returncode == 0 else [str(python.parent.parent)]
    outside = {path for path in prefixes if path != "/usr" and not path.startswith("/usr/")}
    return tuple(sorted(outside))


def _gpu_devices() -> list[str]:
    """Return all devices of GPUs: NVIDIA's, WSL's, AMD's.

    Not covered: giving a program some of them.
    """
    patterns = ["nvidia*", "dxg"]
    if Path("/dev/kfd").exists():
        patterns += ["kfd", "dri"]  # /dev/dri alone is a desktop's
    devices = []
    for pattern in patterns:
        devices += [str(path) for path in Path("/dev").glob(pattern)]
    return sorted(devices)


def total_memory() -> int:
    """Return the bytes of memory of this machine."""
    if not hasattr(os, "sysconf"):
        return 8 * GIB
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

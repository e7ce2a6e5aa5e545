"""How a program that a model wrote is confined: what it sees, what it may write, what it may use.

bwrap     bubblewrap's name spaces with a root that holds an allow-list: the system and the interpreter read-only, the data of
          this run, its own folder. Home, other runs, the harness, the labels and /tmp are not there. No network.
landlock  the same list as a rule of the kernel's on the real file system, with a filter of system calls. See SECURITY.md for
          what it cannot stop. Only where no name spaces are to be had, and nothing listens that would do a program's work.
none      the user's own rights, with a time limit. Only when it is asked for by name.

The harness describes (Sandbox.order); server.py, outside the sandbox too, carries out.
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
SCRATCH = (
    "/tmp",
    "/dev/shm",
)  # memory file systems of the program's own, where there are name spaces
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
_KERNEL = (
    "sys",
    "sysrq-trigger",
    "irq",
    "bus",
    "fs",
    "acpi",
    "scsi",
)  # of /proc: settings of the whole machine, which root may write
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


@dataclass(frozen=True)
class ResourceLimits:
    """What one program and all that it starts may use."""

    memory: int = 8 * GIB  # bytes; its memory file systems count
    processes: int = 1024
    disk: int = 10 * GIB  # bytes in its folder

    @classmethod
    def given(cls, memory: float | None, processes: int, disk: float) -> ResourceLimits:
        """From the command line, in GiB; no memory: three quarters of this machine's."""
        return cls(
            int(memory * GIB) if memory else total_memory() * 3 // 4, processes, int(disk * GIB)
        )


@dataclass(frozen=True)
class Sandbox:
    """What is in force. Complete when built: find_sandbox() decides, by trying."""

    kind: str
    network: bool = False
    limits: ResourceLimits = field(default_factory=ResourceLimits)
    own_proc: bool = (
        True  # False: in a container that forbids to mount /proc, the container's own is shown
    )

    @property
    def described(self) -> str:
        """For people, in a line."""
        what = {
            "bwrap": "bubblewrap",
            "landlock": "Landlock, weaker than bubblewrap (SECURITY.md)",
            "none": "none, main.py has your rights",
        }
        return what[self.kind] + (", network open" if self.network and self.kind != "none" else "")

    def order(
        self, python: Path, folder: Path, readable: tuple[Path, ...], gpu: bool
    ) -> dict[str, Any]:
        """The part of a request to server.py that says how the program is confined."""
        limits, roots, gpu = (
            self.limits,
            [*interpreter_roots(python), *map(str, readable)],
            gpu and bool(_gpu_devices()),
        )
        data = limits.memory if self.kind != "none" and not gpu else 0
        bwrap = self._bwrap(str(folder), roots, gpu) if self.kind == "bwrap" else []
        return {
            "kind": self.kind,
            "network": self.network,
            "limits": asdict(limits),
            "data_bytes": data,
            "bwrap": bwrap,
            "file_bytes": max(
                limits.disk, limits.memory
            ),  # the kernel counts shared memory as a file
            "scratch": SCRATCH,
            "read": [*roots, *self._system(), "/proc", "/sys" if gpu else "/sys/devices/system"],
            "write": [str(folder), "/dev/shm"],
            "devices": [*_DEVICES, *(_gpu_devices() if gpu else [])],
        }

    def _system(self) -> list[str]:
        files = [f"/etc/{name}" for name in (*_ETC, *(["resolv.conf"] if self.network else []))]
        return [place for place in (*_SYSTEM, *files) if Path(place).exists()]

    def _bwrap(self, folder: str, roots: list[str], gpu: bool) -> list[str]:
        """The command up to its `--`. What comes later is mounted over what came before."""
        command = [
            bwrap_path(),
            "--unshare-user",
            "--unshare-pid",
            "--unshare-ipc",
            "--unshare-uts",
            "--unshare-cgroup-try",
            *(["--disable-userns"] if _disables_userns() else []),
            *([] if self.network else ["--unshare-net"]),
            "--die-with-parent",
            "--new-session",
            "--cap-drop",
            "ALL",
            "--hostname",
            "sandbox",
            "--clearenv",
        ]
        for place in self._system():
            link = Path(place).is_symlink() and place in _SYSTEM
            command += (
                ["--symlink", str(Path(place).readlink()), place]
                if link
                else ["--ro-bind", place, place]
            )
        command += ["--proc", "/proc"] if self.own_proc else ["--ro-bind", "/proc", "/proc"]
        for name in _KERNEL if self.own_proc else ():
            command += ["--ro-bind-try", f"/proc/{name}", f"/proc/{name}"]
        command += (
            ["--ro-bind", "/sys", "/sys"]
            if gpu
            else ["--ro-bind-try", "/sys/devices/system", "/sys/devices/system"]
        )
        command += ["--dev", "/dev"]
        for place in SCRATCH:
            command += [
                "--size",
                str(max(2**20, self.limits.memory // 2)),
                "--perms",
                "1777",
                "--tmpfs",
                place,
            ]
        for device in _gpu_devices() if gpu else []:
            command += ["--dev-bind-try", device, device]  # it may be gone by then
        for root in roots:
            command += ["--ro-bind", root, root]
        command += ["--bind", folder, folder]
        for code in sorted(
            Path(folder).glob("*.py")
        ):  # main.py and protocol.py: not even the run itself changes them
            if code.is_file() and not code.is_symlink():
                command += ["--ro-bind", str(code), str(code)]
        return [*command, "--remount-ro", "/dev", "--remount-ro", "/"]


def bwrap_path() -> str:
    return shutil.which("bwrap", path="/usr/bin:/bin:/usr/local/bin") or "/usr/bin/bwrap"


@lru_cache
def _disables_userns() -> bool:
    """bubblewrap has this option since 0.8."""
    done = subprocess.run(
        [bwrap_path(), "--help"], capture_output=True, text=True, check=False, env={}
    )
    return "--disable-userns" in done.stdout + done.stderr


@lru_cache
def interpreter_roots(python: Path) -> tuple[str, ...]:
    """Folders outside /usr that an interpreter needs: its environment's, and that of the Python it was made from."""
    code = "import sys, os, json; print(json.dumps([f(p) for p in (sys.prefix, sys.base_prefix) for f in (str, os.path.realpath)]))"
    done = subprocess.run(
        [str(python), "-I", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin"},
    )
    found = json.loads(done.stdout) if done.returncode == 0 else [str(python.parent.parent)]
    return tuple(
        sorted({place for place in found if place != "/usr" and not place.startswith("/usr/")})
    )


def _gpu_devices() -> list[str]:
    """All devices of GPUs that there are: NVIDIA's, WSL's, AMD's. Not covered: giving a program some of them."""
    patterns = (
        "nvidia*",
        "dxg",
        *(("kfd", "dri") if Path("/dev/kfd").exists() else ()),
    )  # /dev/dri alone is a desktop's
    return sorted(str(path) for pattern in patterns for path in Path("/dev").glob(pattern))


def total_memory() -> int:
    """Bytes of this machine."""
    return (
        os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if hasattr(os, "sysconf")
        else 8 * GIB
    )

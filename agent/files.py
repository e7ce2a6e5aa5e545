"""Reading and writing that survives kills and lies: whole files, append-only lines, locks, untrusted files.

Covered: a process killed at any point leaves whole files and at most one torn last line in a .jsonl file, which is
dropped when read and cut off before the next append.
Not covered: a disk that loses what fsync promised.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.errors import Fault
from agent.secrets import redact

# Caches, and what a run leaves: a result that lay there before a run must never be read as its own.
NOT_CODE = ("__pycache__", ".aider*", ".git", "final_info.json", "metrics.csv", "trace.json", "progress.json", "predictions.npy",
            "predict_images.npy", "model.pt", "wandb")  # fmt: skip
MAX_TEXT_BYTES = 4 * 2**20  # of a file that a run left, when it is read or copied


def write_text(path: Path, text: str) -> None:
    """Write whole or not at all. A full or read-only disk becomes a Fault that names the path."""
    write_bytes(path, redact(text).encode("utf-8", "replace"))


def write_bytes(path: Path, data: bytes) -> None:
    aside = path.with_name(f".{path.name}.part")
    with disk_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """An object that we wrote. Raises Fault("archive", ...) where it is gone or damaged."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Fault("archive", f"{path}: {getattr(error, 'strerror', None) or error}") from error
    if not isinstance(value, dict):
        raise Fault("archive", f"{path}: not an object")
    return value


def append_event(path: Path, event: str, **fields: Any) -> None:
    """One line, on disk before this returns."""
    append_line(path, {"time": round(time.time(), 3), "event": event, **fields})


def append_line(path: Path, value: dict[str, Any]) -> None:
    """Append one JSON line; a torn last line, left by a killed process, is cut off first."""
    line = redact(json.dumps(value)) + "\n"
    with disk_faults(path), open(path, "ab+") as file:
        file.seek(0)
        whole = file.read().rfind(b"\n") + 1
        file.truncate(whole)
        file.write(line.encode("utf-8", "replace"))
        file.flush()
        os.fsync(file.fileno())


def read_events(path: Path) -> list[dict[str, Any]]:
    """All whole lines; [] where there is no file."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    events = []
    for number, line in enumerate(lines[:-1], 1):  # what follows the last newline is torn, or empty
        try:
            events.append(dict(json.loads(line)))
        except (ValueError, TypeError) as error:
            raise Fault("archive", f"{path}:{number}: damaged line: {error}") from error
    return events


def read_untrusted(path: Path, limit: int = MAX_TEXT_BYTES) -> bytes | None:
    """The first `limit` bytes of a regular file that a run left; None where it is absent, a link or anything else."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode) or path.parent.is_symlink():
        os.close(descriptor)
        return None
    with open(descriptor, "rb") as file:
        return file.read(limit)


def copy_files(source: Path, target: Path) -> None:
    """Copy a folder of code; links are kept as links, what is not code is left behind."""
    with disk_faults(target):
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*NOT_CODE))


def free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


@contextmanager
def disk_faults(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, shutil.Error) as error:
        raise Fault("disk", f"{path}: {getattr(error, 'strerror', None) or error}") from error


@contextmanager
def locked(path: Path, *, wait: bool = False) -> Iterator[bool]:
    """Hold an exclusive lock on path while inside. Where another live process holds it: wait, or yield False.

    The kernel drops the lock with its owner, so a dead owner holds nothing.
    """
    with disk_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "ab")  # noqa: SIM115
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError:
            yield False
            return
        yield True


def remove(path: Path) -> None:
    """A file, a link, or whatever a program made in its place; nothing where there is nothing."""
    with disk_faults(path.parent):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

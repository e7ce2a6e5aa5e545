"""Reading and writing that survives kills and lies: whole files, append-only lines, untrusted files.

Covered: a process killed, a disk filled or power lost at any point leaves whole files, and at most one torn last line in a
.jsonl file, which is dropped when read and cut off before the next append. What was said to be written is on disk with its name.
Not covered: a disk that loses what fsync promised; a file system whose folders cannot be synced (the names may then be lost).
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from io import RawIOBase
from pathlib import Path
from typing import Any

from agent.util.errors import Fault
from agent.util.secrets import redact

# Caches, and what a run leaves: a result that lay there before a run must never be read as its own.
NOT_CODE = (
    "__pycache__",
    ".aider*",
    ".git",
    "final_info.json",
    "metrics.csv",
    "trace.json",
    "progress.json",
    "predictions.npy",
    "predict_images.npy",
    "model.pt",
    "wandb",
)
MAX_TEXT_BYTES = 4 * 2**20  # of a file that a run left, when it is read or copied
STAMP = "%Y%m%dT%H%M%SZ"  # names of folders: in the order of time, and the same everywhere
TAIL_BYTES = (
    2**16
)  # read of a .jsonl file to find its last whole line; more where that line is longer


def write_text(path: Path, text: str) -> None:
    """Write whole or not at all. A full or read-only disk becomes a Fault that names the path."""
    write_bytes(path, redact(text).encode("utf-8", "replace"))


def write_bytes(path: Path, data: bytes) -> None:
    aside = path.with_name(f".{path.name}.part")
    with disk_faults(path):
        make_folder(path.parent)
        try:
            with aside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        except OSError:
            aside.unlink(missing_ok=True)  # half a file would only fill a full disk further
            raise
        sync(path.parent)


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """An object that we wrote. Raises Fault("archive", ...) where it is gone or damaged."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise Fault("archive", f"{path}: {getattr(error, 'strerror', None) or error}") from error
    if not isinstance(value, dict):
        raise Fault("archive", f"{path}: not an object")
    return value


def append_event(path: Path, event: str, **fields: Any) -> None:
    """One line, on disk before this returns. Its time is for people: no decision reads it."""
    append_line(path, {"time": round(time.time(), 3), "event": event, **fields})


def append_line(path: Path, value: dict[str, Any]) -> None:
    """Append one JSON line; a torn last line, left by a killed process, is cut off first.

    A line that the disk cannot take whole is taken back.
    """
    line = (redact(json.dumps(value)) + "\n").encode("utf-8", "replace")
    with disk_faults(path):
        new = not path.exists()
        with open(path, "ab+", buffering=0) as file:
            fcntl.flock(
                file, fcntl.LOCK_EX
            )  # two processes may append at once: one would cut off the other's half
            end = _end_of_whole_lines(file)
            file.truncate(end)
            try:
                rest = memoryview(line)
                while rest:
                    rest = rest[file.write(rest) or 0 :]
                os.fsync(file.fileno())
            except OSError:
                file.truncate(end)
                raise
        if new:
            sync(path.parent)


def read_events(path: Path) -> list[dict[str, Any]]:
    """All whole lines; [] where there is no file. Raises Fault("archive", ...) for a damaged line and an unreadable file."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Fault("archive", f"{path}: {error.strerror}") from error
    events = []
    for number, line in enumerate(data[: _whole(data)].split(b"\n")[:-1], 1):
        try:
            event = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise Fault("archive", f"{path}:{number}: damaged line: {error}") from error
        if not isinstance(event, dict):
            raise Fault("archive", f"{path}:{number}: damaged line: not an object")
        events.append(event)
    return events


def _end_of_whole_lines(file: RawIOBase) -> int:
    """Where the next line goes. Only the tail is read: these files grow long, and are appended to often."""
    size, length = file.seek(0, os.SEEK_END), TAIL_BYTES
    while True:
        start = file.seek(max(0, size - length))
        tail = file.read(size - start) or b""
        if start == 0 or tail.count(b"\n") > 1:
            return start + _whole(tail)
        length *= 2


def _whole(data: bytes) -> int:
    """How many bytes of a .jsonl file, or of a tail of it that holds its last line, are whole lines.

    What follows the last newline is torn. So is a last line with a zero byte, as no JSON has one: the file had grown when
    the power failed, and its content had not arrived.
    """
    end = data.rfind(b"\n") + 1
    start = data.rfind(b"\n", 0, max(0, end - 1)) + 1
    return start if b"\0" in data[start:end] else end


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
    """Copy a folder of code; links are kept as links, what is not code is left behind.

    Not synced: most copies are made to be run once. archive.rename syncs those that are evidence.
    """
    with disk_faults(target):
        shutil.copytree(
            source,
            target,
            symlinks=True,
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns(*NOT_CODE),
        )


def free_bytes(folder: Path) -> int:
    """That can still be written; 0 where no further file can be made. Not covered: quotas."""
    free = os.statvfs(folder)
    return 0 if free.f_files and not free.f_favail else free.f_bavail * free.f_frsize


def make_folder(folder: Path) -> None:
    """With its parents, each on disk."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        sync(path.parent)


def new_stamped(parent: Path) -> Path:
    """Make parent/<UTC stamp>/, at least a second after every other one there: the order of the names is the order in which
    they were made, also after the clock was set back.
    """
    with disk_faults(parent):
        make_folder(parent)
        while True:
            made = [stamp for path in parent.iterdir() if (stamp := _stamp_of(path))]
            now = datetime.now(timezone.utc)
            folder = parent / max(
                [now, *(stamp + timedelta(seconds=1) for stamp in made)]
            ).strftime(STAMP)
            try:
                folder.mkdir()
            except FileExistsError:  # another process was quicker
                continue
            sync(parent)
            return folder


def _stamp_of(path: Path) -> datetime | None:
    try:
        return datetime.strptime(path.name, STAMP).replace(tzinfo=timezone.utc)
    except ValueError:
        return None


def sync_tree(folder: Path) -> None:
    """sync() all in a folder, contents before names; nothing where it is absent or a link."""
    if folder.is_symlink():
        return
    for path, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync(Path(path) / name)
        sync(Path(path))


def sync(path: Path) -> None:
    """Bring a file's content, or a folder's list of names, to the disk. A link, or whatever is neither, is left alone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            return
        raise
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
            os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (
            errno.EINVAL,
            errno.ENOTSUP,
        ):  # some network file systems cannot sync a folder
            raise
    finally:
        os.close(descriptor)


@contextmanager
def disk_faults(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        several = isinstance(error, shutil.Error) and isinstance(
            error.args[0], list
        )  # of a folder's files: [(from, to, why), ...]
        raise Fault(
            "disk", f"{path}: {error.args[0][0][2] if several else error.strerror or error}"
        ) from error


def remove(path: Path) -> None:
    """A file, a link, or whatever a program made in its place; nothing where there is nothing."""
    with disk_faults(path.parent):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

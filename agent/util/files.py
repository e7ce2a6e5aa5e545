"""Reading and writing here survive kills and lies: whole files, appended lines, untrusted files.

Covered: a process killed, a disk filled or power lost at any point leaves whole files, and at most
one torn last line in a .jsonl file, which is dropped when read and cut off before the next append.
What was reported as written is on disk with its name.
Not covered: a disk that loses what fsync promised; a file system whose folders cannot be synced
(the names may then be lost).
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
# So much of a .jsonl file is read to find its last whole line; more where that line is longer.
TAIL_BYTES = 2**16


def write_text(path: Path, text: str) -> None:
    """Write a text whole or not at all, without secrets. Raises Fault("disk", ...)."""
    write_bytes(path, redact(text).encode("utf-8", "replace"))


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; it is on disk before this returns.

    A full or read-only disk becomes a Fault that names the path.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")  # others may write it too
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
    """Write a value as indented JSON, whole or not at all, without secrets."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Return an object that we wrote. Raises Fault("archive", ...) if it is gone or damaged."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Fault("archive", f"{path}: {reason}") from error
    if not isinstance(value, dict):
        raise Fault("archive", f"{path}: not an object")
    return value


def append_event(path: Path, event: str, **fields: Any) -> None:
    """Append an event, on disk before this returns.

    Its time is for people: no decision reads it.
    """
    now = round(time.time(), 3)
    append_line(path, {"time": now, "event": event, **fields})


def append_line(path: Path, value: dict[str, Any]) -> None:
    """Append a JSON line; a torn last line, left by a killed process, is cut off first.

    A line that the disk cannot take whole is taken back.
    """
    text = redact(json.dumps(value)) + "\n"
    line = text.encode("utf-8", "replace")
    with disk_faults(path):
        is_new = not path.exists()
        with open(path, "ab+", buffering=0) as file:
            # Two processes may append at once: one would cut off the other's half.
            fcntl.flock(file, fcntl.LOCK_EX)
            _append_whole(file, line)
        if is_new:
            sync(path.parent)


def _append_whole(file: RawIOBase, line: bytes) -> None:
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


def read_events(path: Path) -> list[dict[str, Any]]:
    """Return all whole lines of a .jsonl file; [] where there is no file.

    Raises Fault("archive", ...) for a damaged line and an unreadable file.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Fault("archive", f"{path}: {error.strerror}") from error
    events = []
    whole = data[: _whole(data)]
    for number, line in enumerate(whole.split(b"\n")[:-1], 1):
        try:
            event = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise Fault("archive", f"{path}:{number}: damaged line: {error}") from error
        if not isinstance(event, dict):
            raise Fault("archive", f"{path}:{number}: damaged line: not an object")
        events.append(event)
    return events


def _end_of_whole_lines(file: RawIOBase) -> int:
    """Return where the next line goes.

    Only the tail is read: these files grow long, and are appended to often.
    """
    size = file.seek(0, os.SEEK_END)
    length = TAIL_BYTES
    while True:
        start = file.seek(max(0, size - length))
        tail = file.read(size - start) or b""
        if start == 0 or tail.count(b"\n") > 1:
            return start + _whole(tail)
        length *= 2


def _whole(data: bytes) -> int:
    """Return how many bytes of a .jsonl file are whole lines, or of a tail with its last line.

    What follows the last newline is torn. So is a last line with a zero byte, as no JSON has one:
    the file had grown when the power failed, and its content had not arrived.
    """
    end = data.rfind(b"\n") + 1
    start = data.rfind(b"\n", 0, max(0, end - 1)) + 1
    return start if b"\0" in data[start:end] else end


def read_untrusted(path: Path, limit: int = MAX_TEXT_BYTES) -> bytes | None:
    """Return the first `limit` bytes of a regular file that a run left.

    None where it is absent, a link or anything else.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode) or path.parent.is_symlink():
        os.close(descriptor)
        return None
    with open(descriptor, "rb") as file:
        return file.read(limit)


def read_untrusted_text(path: Path, limit: int = MAX_TEXT_BYTES) -> str:
    """Return what read_untrusted() reads as text, '' for None. Not yet made fit to be shown."""
    data = read_untrusted(path, limit) or b""
    return data.decode("utf-8", "replace")


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
    """Return how much can still be written, 0 where no further file can be made.

    Not covered: quotas.
    """
    free = os.statvfs(folder)
    if free.f_files and not free.f_favail:
        return 0
    return free.f_bavail * free.f_frsize


def make_folder(folder: Path) -> None:
    """Make a folder with its parents, each on disk."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        sync(path.parent)


def sync_tree(folder: Path) -> None:
    """Bring all in a folder to the disk, contents before names; do nothing for a link."""
    if folder.is_symlink():
        return
    for path, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync(Path(path) / name)
        sync(Path(path))


def sync(path: Path) -> None:
    """Bring a file's content, or a folder's list of names, to the disk.

    A link, or whatever is neither, is left alone.
    """
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
        # Some network file systems cannot sync a folder.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


@contextmanager
def disk_faults(path: Path) -> Iterator[None]:
    """Turn what the disk refuses while inside into a Fault("disk", ...) that names the path."""
    try:
        yield
    except OSError as error:
        raise Fault("disk", f"{path}: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    if isinstance(error, shutil.Error) and isinstance(error.args[0], list):
        # Several of a folder's files could not be copied: [(from, to, why), ...].
        return str(error.args[0][0][2])
    return error.strerror or str(error)


def remove(path: Path) -> None:
    """Remove a file, a link, or whatever a program made in its place, if there is anything."""
    with disk_faults(path.parent):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

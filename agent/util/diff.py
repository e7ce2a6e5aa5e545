"""This module compares two copies of the code of an experiment."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path

from agent.util.files import MAX_TEXT_BYTES


def diff(before: Path, after: Path) -> str:
    """Return a unified diff of two folders, text files only, caches left out."""
    names = sorted({*_file_names(before), *_file_names(after)})
    return "".join(_diff_file(before / name, after / name, name) for name in names)


def _file_names(root: Path) -> Iterator[str]:
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink() and "__pycache__" not in path.parts:
            yield str(path.relative_to(root))


def _diff_file(before: Path, after: Path, name: str) -> str:
    old = _text(before)
    new = _text(after)
    if old == new:
        return ""
    lines = difflib.unified_diff(
        old.splitlines(keepends=True),
        new.splitlines(keepends=True),
        f"a/{name}",
        f"b/{name}",
    )
    return "".join(map(_ended, lines))


def _ended(line: str) -> str:
    """Return a line of a diff with its newline, marked where the file has none."""
    if line.endswith("\n"):
        return line
    return f"{line}\n\\ No newline at end of file\n"


def _text(path: Path) -> str:
    if not path.is_file() or path.stat().st_size > MAX_TEXT_BYTES:
        return ""
    return path.read_bytes().decode("utf-8", "replace")

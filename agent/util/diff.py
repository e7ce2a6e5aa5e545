"""TODO: docstring."""

from __future__ import annotations

import difflib
from pathlib import Path

from agent.util.files import MAX_TEXT_BYTES


def diff(before: Path, after: Path) -> str:
    """A unified diff of two copies of the code, text files only, caches left out."""
    names = sorted(
        {
            str(path.relative_to(root))
            for root in (before, after)
            for path in root.rglob("*")
            if path.is_file() and not path.is_symlink() and "__pycache__" not in path.parts
        }
    )
    return "".join(_diff_file(before / name, after / name, name) for name in names)


def _diff_file(before: Path, after: Path, name: str) -> str:
    old, new = (_text(path) for path in (before, after))
    if old == new:
        return ""
    lines = difflib.unified_diff(
        old.splitlines(keepends=True), new.splitlines(keepends=True), f"a/{name}", f"b/{name}"
    )
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )


def _text(path: Path) -> str:
    if not path.is_file() or path.stat().st_size > MAX_TEXT_BYTES:
        return ""
    return path.read_bytes().decode("utf-8", "replace")

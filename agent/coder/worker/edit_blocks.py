"""Checks of what may be applied of a reply: edits of the editable files, in blocks that mean what
they seem to mean. Knows nothing of aider.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

_HEAD = re.compile(r"<{5,9} SEARCH>?$")
_DIVIDER = re.compile(r"={5,9}$")
_END = re.compile(r">{5,9} REPLACE$")

DIVIDED = (
    "Nothing of this reply was applied: a line of 5 to 9 equals signs inside a SEARCH or REPLACE "
    "section is read as its end.\n"
    "Leave such a line out of your blocks, or write it with another sign or at another length."
)
APPENDED = (
    "Nothing of this reply was applied: {name} is not empty, and an empty SEARCH section would "
    "append to it.\n"
    "Copy into SEARCH the lines that are to be replaced, or the line after which yours are to "
    "stand."
)


def editable_name(
    path: str | None,
    root: str,
    editable: list[str],
) -> str | None:
    """Return which editable file a reply means by a path; None where it means another.

    Read are main.py, ./main.py, /the/workspace/main.py, and /some/other/folder/main.py, which is a
    common slip.
    """
    if path is None or "\0" in path:
        return None
    full = Path(os.path.normpath(Path(root) / path))
    inside = str(full.relative_to(root)) if full.is_relative_to(root) else full.name
    return inside if inside in editable else None


def check_blocks(reply: str) -> None:
    """Raise ValueError for a block of which aider would silently apply a part.

    Its text is for the model.
    """
    dividers = 0
    for line in map(str.strip, reply.splitlines()):
        if _HEAD.match(line):
            dividers = 0
        elif _DIVIDER.match(line):
            dividers += 1
        elif _END.match(line):
            if dividers > 1:
                raise ValueError(DIVIDED)
            dividers = 0


def check_search(name: str, search: str, text: str) -> None:
    """Raise ValueError for a whole file that would be written behind the one that is there.

    Its text is for the model.
    """
    if not search.strip() and text.strip():
        raise ValueError(APPENDED.format(name=name))


def not_plain(workspace: Path, editable: list[str]) -> str:
    """Return which file cannot be edited safely, and what to do; '' where all can."""
    for name in editable:
        path = workspace / name
        if path.is_symlink() or not path.is_file():
            advice = "put one there, empty if you like; its text is restored"
            return f"{path} is no plain file: {advice}"
    return ""

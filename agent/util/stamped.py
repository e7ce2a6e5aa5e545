"""Folders named by the time are made here, so that the order of names is the order of making."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

from agent.util.files import disk_faults, make_folder, sync

STAMP = "%Y%m%dT%H%M%SZ"  # in UTC: the same everywhere


def new_stamped(parent: Path) -> Path:
    """Make parent/<UTC stamp>/, at least a second after every other one there.

    The order of names is kept also after the clock was set back.
    """
    with disk_faults(parent):
        make_folder(parent)
        while True:
            folder = parent / _next_stamp(parent).strftime(STAMP)
            try:
                folder.mkdir()
            except FileExistsError:  # another process was quicker
                continue
            sync(parent)
            return folder


def _next_stamp(parent: Path) -> datetime:
    stamp = datetime.now(timezone.utc)
    for path in parent.iterdir():
        try:
            earlier = datetime.strptime(path.name, STAMP).replace(tzinfo=timezone.utc)
        except ValueError:
            continue
        stamp = max(stamp, earlier + timedelta(seconds=1))
    return stamp

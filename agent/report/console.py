"""One console for everything that is printed, and the progress line of whatever takes more than two seconds."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from agent.archive import RunFolder
from agent.files import read_untrusted
from agent.secrets import redact

PATIENCE = 2.0  # seconds before a progress line appears


def console() -> Console:
    """Standard output: coloured on a terminal, plain and never wrapped in a pipe."""
    made = Console(highlight=False)
    if not made.is_terminal:
        made = Console(highlight=False, width=200, color_system=None)
    return made


def say(text: str) -> None:
    """One line for people. Text from models and programs may stand in it: markup in it means nothing."""
    console().print(escape(redact(text)), soft_wrap=True)


def show(table: Table) -> None:
    console().print(table)


@contextmanager
def progress(label: str, folder: RunFolder | None = None) -> Iterator[None]:
    """Show label with a bar and the time left while inside; nothing at all when the output is not a terminal."""
    out = console()
    if not out.is_terminal:
        yield
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    with Progress(*columns, console=out, transient=True, disable=False, auto_refresh=False) as bar:
        task = bar.add_task(escape(label), total=1.0 if folder else None)
        ended = Event()
        update = Thread(target=_follow, args=(bar, task, folder, ended), daemon=True)
        update.start()
        try:
            yield
        finally:
            ended.set()
            update.join()


def _follow(bar: Progress, task: TaskID, folder: RunFolder | None, ended: Event) -> None:
    started = time.monotonic()
    while not ended.wait(0.5):
        if time.monotonic() - started > PATIENCE:
            if folder:
                bar.update(task, completed=share_done(folder.work / "progress.json"))
            bar.refresh()


def share_done(path: Path) -> float:
    """How much of a run is done, 0 to 1, as its program says."""
    try:
        return min(1.0, max(0.0, float(json.loads(read_untrusted(path, 4096) or b"{}")["done"])))
    except (ValueError, TypeError, KeyError, RecursionError):
        return 0.0

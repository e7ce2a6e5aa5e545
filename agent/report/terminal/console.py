"""Print through one console, with a progress line for whatever takes more than two seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from rich.console import Console
from rich.markup import escape

from agent.archive.progress import share_done
from agent.report.terminal.grid import Grid
from agent.util.text import clean

PATIENCE = 2.0  # seconds before a progress line appears
REFRESH = 0.5  # seconds between two states of a progress line


class PipeConsole(Console):
    """A console whose reader may go, as `| head` does.

    rich alone would end the program with exit code 1.
    """

    def on_broken_pipe(self) -> None:
        """Raise the BrokenPipeError that is being handled, for launch.py."""
        raise


def console() -> Console:
    """Return standard output: coloured on a terminal, plain and never wrapped in a pipe."""
    terminal = PipeConsole(highlight=False)
    if terminal.is_terminal:
        return terminal
    return PipeConsole(highlight=False, width=200, color_system=None)


def say(text: str, *, error: bool = False) -> None:
    """Print a line for people, on standard error where it tells of an error.

    Text from models and programs may stand in it: markup and control codes in it mean nothing.
    """
    out = Console(stderr=True, highlight=False) if error else console()
    out.print(escape(clean(text)), soft_wrap=True)


def show(grid: Grid) -> None:
    """Print a table."""
    console().print(grid, crop=False)


@contextmanager
def progress(label: str, folder: Path | None = None) -> Iterator[None]:
    """Show label with a bar while inside, once it takes long; nothing where no terminal is.

    folder: the working folder of a program that writes how far it is, for the time left.
    """
    out = console()
    if not out.is_terminal:
        yield
        return
    ended = Event()
    follower = Thread(target=_follow, args=(out, label, folder, ended), daemon=True)
    follower.start()
    try:
        yield
    finally:
        ended.set()
        follower.join()


def _follow(out: Console, label: str, folder: Path | None, ended: Event) -> None:
    started = time.monotonic()
    if ended.wait(PATIENCE):
        return
    from rich.progress import (  # here: tables do not wait for it
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        TextColumn("  {task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=out, transient=True, auto_refresh=False) as bar:
        total = 1.0 if folder else None
        task = bar.add_task(escape(label), total=total, left="")
        while not ended.wait(REFRESH):
            done = 0.0
            if folder:
                done = share_done(folder / "progress.json")
            if done:
                seconds = (time.monotonic() - started) * (1 - done) / done
                left = f"{seconds // 60:.0f}:{seconds % 60:02.0f} left"
                bar.update(task, completed=done, left=left)
            bar.refresh()

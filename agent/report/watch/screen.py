"""Watch a running queue: live on a terminal; in a pipe a line whenever something changes."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from rich.console import Console, Group
from rich.live import Live as Screen
from rich.padding import Padding
from rich.text import Text

from agent.report.summary import RUNNING
from agent.report.terminal.console import console, say
from agent.report.watch.experiment_text import live_line, other_line, step_words
from agent.report.watch.phrases import short_line
from agent.report.watch.snapshot import Snapshot, SnapshotReader
from agent.report.watch.text import baseline_line, idle_lines, lines_of, queue_lines
from agent.util.errors import UserError

EVERY = 1.0  # seconds between two looks


def watch(runs: Path, once: bool) -> int:
    """Show what is under runs/ until Ctrl-C, and return an exit code, 130 after Ctrl-C.

    It goes on where nothing works, for a queue may begin. once: show the present state only.
    """
    if runs.exists() and not runs.is_dir():
        raise UserError(f"{runs}: not a folder: --runs-dir names the one where the archives lie")
    viewer = SnapshotReader(runs)
    out = console()
    if once:
        for line in lines_of(viewer.look(), runs, time.time()):
            say(line)
        return 0
    try:
        if out.is_terminal and not out.is_dumb_terminal:
            _on_a_screen(viewer, out)
        _in_a_pipe(viewer)
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        if error.errno != errno.EIO:  # the terminal was closed
            raise
        return 130


def _on_a_screen(viewer: SnapshotReader, out: Console) -> NoReturn:
    """Show on a screen of its own, so that another size of the window leaves no traces.

    Its last state stays when it is left.
    """
    lines: list[str] = []
    screen = Screen(
        console=out,
        screen=True,
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    try:
        with screen:
            while True:
                lines = lines_of(viewer.look(), viewer.runs, time.time())
                shown = [*lines, "", "Ctrl-C ends watch, and nothing else"]
                screen.update(Group(*map(_styled, shown)), refresh=True)
                time.sleep(EVERY)
    except KeyboardInterrupt:
        out.print(Group(*map(_styled, lines)))
        raise


def _styled(line: str) -> Padding:
    """Return a line in which text means nothing but itself: no markup is read.

    What is wrapped keeps its indent; a line that has none begins something.
    """
    text = line.lstrip(" ")
    indent = len(line) - len(text)
    style = "" if indent else "bold"
    return Padding(Text(text, style=style), (0, 0, 0, indent))


def _in_a_pipe(viewer: SnapshotReader) -> NoReturn:
    view = viewer.look()
    for line in filter(None, lines_of(view, viewer.runs, time.time())):
        say(line)
    known = _parts(view, viewer.runs)
    while True:
        time.sleep(EVERY)
        parts = _parts(viewer.look(), viewer.runs)
        for name, part in parts.items():
            if name not in known or known[name].state != part.state:
                _say_now(part.lines())
        for name in known.keys() - parts.keys():
            if known[name].lasting:
                _say_now([f"{short_line(name)}: gone"])
        known = parts


class _Part(NamedTuple):
    """A part of a snapshot, which is printed again when its state is another."""

    state: object
    lines: Callable[[], list[str]]
    lasting: bool = False  # it does not end by itself


def _parts(view: Snapshot, runs: Path) -> dict[str, _Part]:
    """Return the parts of a snapshot; what has ended comes before what follows it."""
    parts = {}
    for summary in view.summaries:
        if summary.state != RUNNING:
            lines = partial(_single, other_line, summary)
            parts[summary.name] = _Part(summary, lines, lasting=True)
    for queue in view.queues:
        of_queue = queue_lines(queue, view)
        parts[f"queue {queue.name}"] = _Part(of_queue, partial(list, of_queue))
    for running in view.live:
        lines = partial(_single, live_line, running)
        state = (step_words(running), running.graded)
        parts[running.summary.name] = _Part(state, lines, lasting=True)
    for name, _ in view.baselines:
        parts[f"baseline {name}"] = _Part(name, partial(_single, baseline_line, name))
    for problem in view.problems:
        parts[problem] = _Part(problem, partial(_single, short_line, problem))
    if not view.working:
        parts["idle"] = _Part(view.ended and view.ended.name, partial(idle_lines, view, runs))
    return parts


def _single(words: Callable[[Any], str], subject: object) -> list[str]:
    return [words(subject)]


def _say_now(lines: list[str]) -> None:
    for line in lines:
        say(f"{time.strftime('%H:%M:%S')} {line}")

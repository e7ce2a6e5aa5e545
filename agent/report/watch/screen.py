"""`launch.py watch`: a running queue, live on a terminal; in a pipe a line whenever something changes."""

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
from agent.report.watch.snapshot import Snapshot, SnapshotReader
from agent.report.watch.text import (
    baseline_line,
    idle_lines,
    lines_of,
    live_line,
    one_line,
    other_line,
    queue_lines,
    step_words,
)
from agent.util.errors import UserError

EVERY = 1.0  # seconds between two looks


def watch(runs: Path, once: bool) -> int:
    """Until Ctrl-C (130), also where nothing works: a queue may begin. once: the present state, and an end."""
    if runs.exists() and not runs.is_dir():
        raise UserError(f"{runs}: not a folder: --runs-dir names the one where the archives lie")
    viewer, out = SnapshotReader(runs), console()
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
    """On a screen of its own, so that another size of the window leaves no traces; its last state stays when it is left."""
    lines: list[str] = []
    try:
        with Screen(
            console=out,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        ) as screen:
            while True:
                lines = lines_of(viewer.look(), viewer.runs, time.time())
                screen.update(
                    Group(*map(_styled, [*lines, "", "Ctrl-C ends watch, and nothing else"])),
                    refresh=True,
                )
                time.sleep(EVERY)
    except KeyboardInterrupt:
        out.print(Group(*map(_styled, lines)))
        raise


def _styled(line: str) -> Padding:
    """Text means nothing but itself: no markup is read. What is wrapped keeps its indent; what has none begins something."""
    text = line.lstrip(" ")
    indent = len(line) - len(text)
    return Padding(Text(text, style="" if indent else "bold"), (0, 0, 0, indent))


def _in_a_pipe(viewer: SnapshotReader) -> NoReturn:
    view = viewer.look()
    for line in filter(None, lines_of(view, viewer.runs, time.time())):
        say(line)
    known = _parts(view, viewer.runs)
    while True:
        time.sleep(EVERY)
        found = _parts(viewer.look(), viewer.runs)
        for name, part in found.items():
            if name not in known or known[name].state != part.state:
                _tell(part.lines())
        _tell(
            [
                f"{one_line(name)}: gone"
                for name in known.keys() - found.keys()
                if known[name].lasting
            ]
        )
        known = found


class _Part(NamedTuple):
    """A part of what is to be seen: told again when its state is another."""

    state: object
    lines: Callable[[], list[str]]
    lasting: bool = False  # never over by itself


def _parts(view: Snapshot, runs: Path) -> dict[str, _Part]:
    """What has ended comes before what follows it."""
    ended = [summary for summary in view.summaries if summary.state != RUNNING]
    parts = {
        summary.name: _Part(summary, partial(_single, other_line, summary), lasting=True)
        for summary in ended
    }
    parts |= {
        f"queue {queue.name}": _Part(lines := queue_lines(queue, view), partial(list, lines))
        for queue in view.queues
    }
    for one in view.live:
        parts[one.summary.name] = _Part(
            (step_words(one), one.graded), partial(_single, live_line, one), lasting=True
        )
    parts |= {
        f"baseline {name}": _Part(name, partial(_single, baseline_line, name))
        for name, _ in view.baselines
    }
    parts |= {
        problem: _Part(problem, partial(_single, one_line, problem)) for problem in view.problems
    }
    if not view.working:
        parts["idle"] = _Part(view.ended and view.ended.name, partial(idle_lines, view, runs))
    return parts


def _single(words: Callable[[Any], str], of: object) -> list[str]:
    return [words(of)]


def _tell(lines: list[str]) -> None:
    for line in lines:
        say(f"{time.strftime('%H:%M:%S')} {line}")

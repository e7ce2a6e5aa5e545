"""`launch.py review`: all experiments as tables or rows, or one of them: its diffs, logs, chat."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from agent.archive.lookup import find, no_experiment
from agent.archive.paths import Archive
from agent.archive.run import Metric
from agent.archive.verdict import load_verdict
from agent.cli.options import RUN, command_parser, runs_dir
from agent.report.export.rows import as_csv, as_json, chosen, dump, ordered, row, states_of
from agent.report.summary import MISSHAPEN, misshapen, summaries, summarise
from agent.util.errors import Fault, UserError
from agent.util.files import read_events, read_json
from agent.util.text import clean

ONE = ("diff", "log", "chat")  # views of one experiment

FORMATS = ("json", "csv")

ATTEMPT = ("folder", "number", "status", "value")  # of an attempt, in --json


def command(arguments: list[str]) -> int:
    """0: everything could be read; 1: something of the experiment that was asked for is damaged."""
    given = command_parser(
        "review", "Result tables; of one experiment its diffs, logs and chat.", _options, runs_dir
    ).parse_args(arguments)
    views = [f"--{name}" for name in (*FORMATS, *ONE) if getattr(given, name) not in (None, False)]
    if len(views) > 1:
        raise UserError(f"{' and '.join(views)}: one at a time")
    if given.run is None:
        if views and views[0][2:] in ONE:
            raise UserError(
                f"{views[0]} is of one experiment: python launch.py review RUN {views[0]}{'' if given.chat else ' [N]'}"
            )
        return _all(given)
    for name in ("csv", "sort", "verdict"):
        if getattr(given, name):
            raise UserError(
                f"--{name} is for the table of all experiments: leave {clean(str(given.run))} out"
            )
    return _one(find(given.run, given.runs_dir), given)


def _options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("run", nargs="?", type=Path, metavar="RUN", help=RUN)
    add(
        "--json",
        action="store_true",
        help="for scripts: an object for each experiment; with RUN one object with its attempts and verdict",
    )
    add("--csv", action="store_true", help="for scripts: a heading, and a line for each experiment")
    add(
        "--sort",
        metavar="COLUMN",
        help="order by a column of the tables or a field of --json (default: the interval's lower end)",
    )
    add(
        "--verdict",
        metavar="CLASS",
        action="append",
        default=[],
        help="only these, comma separated: supported, inconclusive, fault, ...",
    )
    add(
        "--diff",
        nargs="?",
        const="",
        metavar="N",
        help="with RUN: the diff of its best run, or of attempt N: 2, run_1.failed_1",
    )
    add(
        "--log",
        nargs="?",
        const="",
        metavar="N",
        help="with RUN: what its last attempt printed, or attempt N",
    )
    add("--chat", action="store_true", help="with RUN: what was said between Assay and the model")


def _all(given: argparse.Namespace) -> int:
    classes = states_of(given.verdict)
    ordered([], given.sort)  # a wrong column is told before anything is read
    found = summaries(given.runs_dir)
    if not found:
        raise no_experiment(given.runs_dir)
    shown = chosen(found, classes)
    if given.json or given.csv:
        sys.stdout.write((as_json if given.json else as_csv)(ordered(shown, given.sort)))
        return 0
    from agent.report.terminal.console import say, show  # here: scripts do not wait for rich
    from agent.report.terminal.tables import overview_table, verdict_table

    if not shown:
        say(f"none of {len(found):,} experiments is {' or '.join(sorted(classes))}")
        return 0
    if verdicts := verdict_table(ordered(shown, given.sort or "low"), found):
        show(verdicts)
    show(overview_table(ordered(shown, given.sort), found))
    return 0


def _one(archive: Archive, given: argparse.Namespace) -> int:
    if given.json:
        sys.stdout.write(_as_object(archive))
        return 0
    problems = list[str]()
    from agent.report.terminal.console import console, say

    with _noting(archive.folder, problems):
        if given.diff is not None or given.log is not None:
            from agent.report.terminal.attempt import meant, show_diff, show_log

            metric = Metric(**read_json(archive.config)["metric"])
            if given.diff is not None:
                show_diff(console(), archive, *meant(archive, given.diff, metric, best=True))
            else:
                show_log(console(), *meant(archive, given.log, metric, best=False))
        elif given.chat:
            from agent.report.terminal.attempt import show_chat

            show_chat(console(), archive)
        else:
            _whole(archive, problems)
    for problem in problems:
        say(f"launch.py: {problem}", error=True)
    return int(bool(problems))


def _whole(archive: Archive, problems: list[str]) -> None:
    """Table, attempts, verdict; what is damaged is noted and hides nothing else."""
    from agent.report.terminal.console import console, say, show
    from agent.report.terminal.diffs import print_experiment
    from agent.report.terminal.tables import experiment_table

    def noting(path: Path) -> AbstractContextManager[None]:
        return _noting(path, problems)

    with noting(archive.folder):
        show(experiment_table(archive, problems))
    with noting(archive.events):
        print_experiment(console(), archive, noting)
    with noting(archive.verdict):
        if stored := load_verdict(archive):
            say("\n" + _block(stored))
    say(f"\narchive: {archive.folder}")


def _block(stored: dict[str, Any]) -> str:
    """Raises ValueError where something is not as the template expects it."""
    from jinja2 import TemplateError

    from agent.report.terminal.verdict_text import verdict_block

    try:
        return verdict_block(stored)
    except TemplateError as error:
        raise ValueError(str(error)) from error


@contextmanager
def _noting(path: Path, problems: list[str]) -> Iterator[None]:
    """Damage met inside becomes a line about it. Each is told once."""
    try:
        yield
        return
    except Fault as fault:
        problem = str(fault)
    except BrokenPipeError:
        raise
    except OSError as error:
        problem = f"archive: {error.filename or path}: {error.strerror}"
    except MISSHAPEN as error:
        problem = f"archive: {misshapen(path, error)}"
    if problem not in problems:
        problems.append(problem)


def _as_object(archive: Archive) -> str:
    """row() of this experiment with its attempts, as the events have them, the content of verdict.json, and what is damaged."""
    problems = list[str]()
    attempts, stored = list[dict[str, Any]](), None
    with _noting(archive.events, problems):
        events = read_events(archive.events)
        attempts += [
            {name: event.get(name) for name in ATTEMPT}
            for event in events
            if event.get("event") == "attempt"
        ]
    with _noting(archive.verdict, problems):
        stored = load_verdict(archive)
    return (
        dump(
            row(summarise(archive))
            | {"attempts": attempts, "verdict": stored, "problems": problems},
            indent=2,
        )
        + "\n"
    )

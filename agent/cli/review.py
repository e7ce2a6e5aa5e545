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

FORMATS = ("json", "csv")
VIEWS = ("diff", "log", "chat")  # of one experiment
ATTEMPT = ("folder", "number", "status", "value")  # what --json gives of an attempt


def command(arguments: list[str]) -> int:
    """Show what the arguments name.

    0: everything could be read; 1: something of the experiment that was asked for is damaged.
    """
    about = "Result tables; of one experiment its diffs, logs and chat."
    given = command_parser("review", about, _options, runs_dir).parse_args(arguments)
    _refuse_contradictions(given)
    if given.run is None:
        return _show_all(given)
    return _show_experiment(find(given.run, given.runs_dir), given)


def _refuse_contradictions(given: argparse.Namespace) -> None:
    """Raise UserError for options that do not go together."""
    choices = (*FORMATS, *VIEWS)
    outputs = [name for name in choices if getattr(given, name) not in (None, False)]
    if len(outputs) > 1:
        names = " and ".join(f"--{name}" for name in outputs)
        raise UserError(f"{names}: one at a time")
    if given.run is None and outputs and outputs[0] in VIEWS:
        view = f"--{outputs[0]}"
        which = "" if given.chat else " [N]"
        raise UserError(f"{view} is of one experiment: python launch.py review RUN {view}{which}")
    if given.run is None:
        return
    for name in ("csv", "sort", "verdict"):
        if getattr(given, name):
            run = clean(str(given.run))
            raise UserError(f"--{name} is for the table of all experiments: leave {run} out")


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run",
        nargs="?",
        type=Path,
        metavar="RUN",
        help=RUN,
    )
    _add_table_options(parser)
    parser.add_argument(
        "--diff",
        nargs="?",
        const="",
        metavar="N",
        help="with RUN: the diff of its best run, or of attempt N: 2, run_1.failed_1",
    )
    parser.add_argument(
        "--log",
        nargs="?",
        const="",
        metavar="N",
        help="with RUN: what its last attempt printed, or attempt N",
    )
    parser.add_argument(
        "--chat",
        action="store_true",
        help="with RUN: what was said between Assay and the model",
    )


def _add_table_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--json",
        action="store_true",
        help="for scripts: an object for each experiment;"
        " with RUN one object with its attempts and verdict",
    )
    parser.add_argument(
        "--csv",
        action="store_true",
        help="for scripts: a heading, and a line for each experiment",
    )
    parser.add_argument(
        "--sort",
        metavar="COLUMN",
        help="order by a column of the tables or a field of --json"
        " (default: the interval's lower end)",
    )
    parser.add_argument(
        "--verdict",
        metavar="CLASS",
        action="append",
        default=[],
        help="only these, comma separated: supported, inconclusive, fault, ...",
    )


def _show_all(given: argparse.Namespace) -> int:
    """Print the experiments in a folder of archives, as tables or for scripts."""
    classes = states_of(given.verdict)
    ordered([], given.sort)  # a wrong column is refused before anything is read
    experiments = summaries(given.runs_dir)
    if not experiments:
        raise no_experiment(given.runs_dir)
    shown = chosen(experiments, classes)
    if given.json or given.csv:
        rows = ordered(shown, given.sort)
        sys.stdout.write(as_json(rows) if given.json else as_csv(rows))
        return 0
    from agent.report.terminal.console import say, show  # here: scripts do not wait for rich
    from agent.report.terminal.tables import overview_table, verdict_table

    if not shown:
        say(f"none of {len(experiments):,} experiments is {' or '.join(sorted(classes))}")
        return 0
    by_effect = ordered(shown, given.sort or "low")
    if verdicts := verdict_table(by_effect, experiments):
        show(verdicts)
    rows = ordered(shown, given.sort)
    show(overview_table(rows, experiments))
    return 0


def _show_experiment(archive: Archive, given: argparse.Namespace) -> int:
    """Print one experiment; 1 where something of it is damaged, which hides nothing else."""
    if given.json:
        sys.stdout.write(_as_object(archive))
        return 0
    from agent.report.terminal.console import say

    problems = list[str]()
    with _noting(archive.folder, problems):
        if given.diff is not None:
            _show_diff(archive, given.diff)
        elif given.log is not None:
            _show_log(archive, given.log)
        elif given.chat:
            _show_chat(archive)
        else:
            _show_overview(archive, problems)
    for problem in problems:
        say(f"launch.py: {problem}", error=True)
    return int(bool(problems))


def _show_diff(archive: Archive, name: str) -> None:
    from agent.report.terminal.attempt import meant, show_diff
    from agent.report.terminal.console import console

    folder, why = meant(archive, name, _metric(archive), best=True)
    show_diff(console(), archive, folder, why)


def _show_log(archive: Archive, name: str) -> None:
    from agent.report.terminal.attempt import meant, show_log
    from agent.report.terminal.console import console

    folder, why = meant(archive, name, _metric(archive), best=False)
    show_log(console(), folder, why)


def _metric(archive: Archive) -> Metric:
    return Metric(**read_json(archive.config)["metric"])


def _show_chat(archive: Archive) -> None:
    from agent.report.terminal.attempt import show_chat
    from agent.report.terminal.console import console

    show_chat(console(), archive)


def _show_overview(archive: Archive, problems: list[str]) -> None:
    """Print table, attempts, verdict; what is damaged is noted and hides nothing else."""
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
        if verdict := load_verdict(archive):
            say(f"\n{_block(verdict)}")
    say(f"\narchive: {archive.folder}")


def _block(verdict: dict[str, Any]) -> str:
    """Return the verdict as text; raise ValueError where it is not as the template expects it."""
    from jinja2 import TemplateError

    from agent.report.terminal.verdict_text import verdict_block

    try:
        return verdict_block(verdict)
    except TemplateError as error:
        raise ValueError(str(error)) from error


@contextmanager
def _noting(path: Path, problems: list[str]) -> Iterator[None]:
    """Turn damage met inside into a line about it, each once."""
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
    """Return the row of this experiment with its attempts, its verdict, and what is damaged.

    The attempts are as the events have them, the verdict as verdict.json has it.
    """
    problems = list[str]()
    attempts = list[dict[str, Any]]()
    verdict = None
    with _noting(archive.events, problems):
        for event in read_events(archive.events):
            if event.get("event") == "attempt":
                attempts.append({name: event.get(name) for name in ATTEMPT})
    with _noting(archive.verdict, problems):
        verdict = load_verdict(archive)
    details = {"attempts": attempts, "verdict": verdict, "problems": problems}
    return dump(row(summarise(archive)) | details, indent=2) + "\n"

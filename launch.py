"""Command line in, exit code out. 0: every experiment reached its end; 1: a fault; 2: wrong usage or an invalid idea."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from agent.errors import Fault, UserError, record_bug
from agent.options import RUN, command_parser, confinement, experiment, once, places, run_parser, runs_dir, sandbox
from agent.text import clean

if TYPE_CHECKING:
    from agent.settings import Options

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # for terminals that lack a letter
    for ending in ENDINGS:
        if signal.getsignal(ending) is not signal.SIG_IGN:  # as under nohup
            signal.signal(ending, _interrupt)
    commands = {"review": review, "report": report, "watch": watch, "verdict": verdict, "reproduce": reproduce,
                "baseline": baseline, "sync": sync, "doctor": doctor}  # fmt: skip
    command = commands.get(arguments[0], run) if arguments else run
    try:
        return command(arguments[1:] if command is not run else arguments)
    except (UserError, Fault) as error:
        if "--debug" in arguments:
            traceback.print_exc()
        print(f"launch.py: {clean(str(error))}", file=sys.stderr)
        return 2 if isinstance(error, UserError) else 1
    except KeyboardInterrupt:
        _on_endings(signal.SIG_IGN)  # Python's own last steps would be killed by it
        fresh = " without --fresh" if "--fresh" in arguments else ""
        print(f"launch.py: interrupted; the same command{fresh} goes on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except Exception:
        print(f"launch.py: {record_bug('--debug' in arguments)}", file=sys.stderr)
        return 1


def _on_endings(handler: Any) -> None:
    for ending in ENDINGS:
        signal.signal(ending, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Ctrl-C once: everything is ended in order. Twice: at once; what runs sees by itself that nobody waits for it, and ends."""
    _on_endings(lambda number, frame: os._exit(130))
    raise KeyboardInterrupt


def run(arguments: list[str]) -> int:
    from agent.idea import find_ideas
    from agent.queue import dry_run, run_all
    from agent.settings import decide

    given = vars(run_parser().parse_args(arguments))
    paths, debug = given.pop("ideas"), given["debug"]
    options = _options(given)
    queue = [decide(idea, options) for idea in find_ideas(paths)]
    return dry_run(queue) if options.dry_run else run_all(queue, debug)


def _options(given: dict[str, Any]) -> Options:
    from agent.settings import Options

    return Options(**{name: value for name, value in given.items() if name != "debug"})


def review(arguments: list[str]) -> int:
    from agent.report.review import command

    return command(arguments)


def watch(arguments: list[str]) -> int:
    from agent.report.watch import watch

    given = command_parser("watch", "A running queue, live; in a pipe a line for each change.", runs_dir, once).parse_args(arguments)
    return watch(given.runs_dir, given.once)


def verdict(arguments: list[str]) -> int:
    from agent.files import write_json
    from agent.report.console import say
    from agent.report.review import find
    from agent.report.verdicts import verdict_block
    from agent.verdict import decide

    parser = command_parser("verdict", "The verdict of an experiment, from its archive alone.", experiment, runs_dir)
    given = parser.parse_args(arguments)
    archive = find(given.run, given.runs_dir)
    write_json(archive.verdict, decided := decide(archive))
    say(verdict_block(decided))
    return 0


def reproduce(arguments: list[str]) -> int:
    from agent.preflight import find_sandbox
    from agent.report.review import find
    from agent.reproduce import reproduce
    from agent.sandbox import Limits

    parser = command_parser("reproduce", "Train one confirmed seed of each arm again and compare.", experiment, places, confinement)
    given = parser.parse_args(arguments)
    box = find_sandbox(given.sandbox, given.network, Limits.given(given.memory, given.processes, given.disk))
    return reproduce(find(given.run, given.runs_dir), given.data_dir, given.python, box)


def baseline(arguments: list[str]) -> int:
    from agent.queue import train_baselines

    given = vars(run_parser("baseline", ideas="*").parse_args(arguments))
    return train_baselines(given.pop("ideas"), _options(given))


def report(arguments: list[str]) -> int:
    from agent.report.pages import write_pages

    parser = command_parser("report", "HTML pages: report.html of each experiment, and one of them all.", runs_dir)
    parser.add_argument("run", nargs="?", type=Path, metavar="RUN", help=f"{RUN} (default: all whose page is missing or old)")
    given = parser.parse_args(arguments)
    return write_pages(given.run, given.runs_dir)


def sync(arguments: list[str]) -> int:
    from agent.sync import add_arguments, sync

    about = "Upload the W&B files of finished runs, or write their curves for TensorBoard."
    given = command_parser("sync", about, add_arguments, runs_dir).parse_args(arguments)
    return sync(given.run, given.runs_dir, given.tensorboard, given.python)


def doctor(arguments: list[str]) -> int:
    from agent.doctor import examine

    given = command_parser("doctor", "What is there and what is missing.", places, sandbox).parse_args(arguments)
    return examine(given.runs_dir, given.data_dir, given.python, given.sandbox)


if __name__ == "__main__":
    sys.exit(main())

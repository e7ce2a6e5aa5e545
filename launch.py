"""Command line in, exit code out. 0: every experiment reached its end; 1: a fault; 2: wrong usage or an invalid idea."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from agent.errors import Fault, UserError, record_bug
from agent.text import clean

if TYPE_CHECKING:
    from agent.settings import Options

USAGE = """python launch.py IDEA... [options]     run ideas: files, or folders of them
       python launch.py review [RUN]           result tables; for one experiment its diffs
       python launch.py verdict RUN            the verdict, computed again from the archive alone
       python launch.py reproduce RUN          train one seed of each arm again and compare
       python launch.py baseline [IDEA...]     the control's seeds, and what they can tell
       python launch.py doctor                 what is there, what is missing"""
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    for ending in ENDINGS:
        if signal.getsignal(ending) is not signal.SIG_IGN:  # as under nohup
            signal.signal(ending, _interrupt)
    commands = {"review": review, "verdict": verdict, "reproduce": reproduce, "baseline": baseline, "doctor": doctor}
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
    from agent.report.review import review_all, review_one

    parser = argparse.ArgumentParser(prog="launch.py review", description="Result tables, and the diffs of one experiment.")
    parser.add_argument("run", nargs="?", type=Path, metavar="RUN", help="an experiment's folder, or an idea's name: its newest")
    _runs_dir(parser)
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    given = parser.parse_args(arguments)
    return review_one(given.run, given.runs_dir) if given.run else review_all(given.runs_dir)


def verdict(arguments: list[str]) -> int:
    from agent.files import write_json
    from agent.report.console import say
    from agent.report.review import find
    from agent.report.verdicts import verdict_block
    from agent.verdict import decide

    given = _run_argument("verdict", "The verdict of an experiment, from its archive alone.", _runs_dir).parse_args(arguments)
    archive = find(given.run, given.runs_dir)
    write_json(archive.verdict, decided := decide(archive))
    say(verdict_block(decided))
    return 0


def reproduce(arguments: list[str]) -> int:
    from agent.preflight import find_sandbox
    from agent.report.review import find
    from agent.reproduce import reproduce
    from agent.sandbox import Limits

    parser = _run_argument("reproduce", "Train one confirmed seed of each arm again and compare.", _places)
    _confinement(parser)
    given = parser.parse_args(arguments)
    sandbox = find_sandbox(given.sandbox, given.network, Limits.given(given.memory, given.processes, given.disk))
    return reproduce(find(given.run, given.runs_dir), given.data_dir, given.python, sandbox)


def baseline(arguments: list[str]) -> int:
    from agent.queue import train_baselines

    given = vars(run_parser("baseline", ideas="*").parse_args(arguments))
    return train_baselines(given.pop("ideas"), _options(given))


def _run_argument(command: str, description: str, places: Callable[[argparse.ArgumentParser], None]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"launch.py {command}", description=description)
    parser.add_argument("run", type=Path, metavar="RUN", help="an experiment's folder, or an idea's name: its newest")
    places(parser)
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser


def doctor(arguments: list[str]) -> int:
    from agent.doctor import examine

    parser = argparse.ArgumentParser(prog="launch.py doctor", description="What is there and what is missing.")
    _places(parser)
    _sandbox(parser)
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    given = parser.parse_args(arguments)
    return examine(given.runs_dir, given.data_dir, given.python, given.sandbox)


def run_parser(command: str = "", ideas: str = "+") -> argparse.ArgumentParser:
    """The options of an experiment; `baseline` takes the same, for the same set-up."""
    about = "Train the control's seeds of a set-up." if command else "Run research ideas written in Markdown."
    parser = argparse.ArgumentParser(prog=f"launch.py {command}".strip(), usage=None if command else USAGE, description=about)
    add = parser.add_argument
    add("ideas", nargs=ideas, type=Path, metavar="IDEA", help="an idea (*.md), or a folder of ideas: a queue")
    add("--model", help="a model as Aider and LiteLLM name it, or replay:FILE (default: by the key that is set)")
    add("--runs", type=_whole, help="runs after the baseline (default: 3)")
    add("--dataset", help="cifar10, cifar100, mnist, fashion_mnist, digits, or an .npz file (default: cifar100)")
    add("--epochs", type=_whole, help="epochs of every run (default: 3)")
    add("--train-size", type=_whole, help="train on so many images, always the same ones")
    add("--timeout", type=_positive, default=3600.0, help="seconds that one run may take (default: 3600)")
    add("--max-failures", type=_whole, default=4, help="failed attempts in a row that end an experiment (default: 4)")
    add("--max-cost", type=_positive, help="US dollars for this command; stops before the next request")
    add("--price", type=_price, metavar="IN,OUT", help="US dollars per million tokens, for a model of unknown price")
    add("--model-timeout", type=_positive, default=300.0, help="seconds that one request to the model may take (default: 300)")
    add("--stream", action="store_true", help="ask the model for a streamed reply")
    add("--judge", metavar="MODEL", help="a model that checks the criteria against the diff (default: the coder's model)")
    add("--baseline-seeds", type=_seeds, default=8, help="seeds of the control, shared by all ideas (default: 8)")
    add("--confirm-seeds", type=_confirm_seeds, default=5, help="fresh seeds for the best run (default: 5)")
    add("--seed", type=int, default=0, help="seed of every explored run, and the first of the control's (default: 0)")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default: auto)")
    _confinement(parser)
    add("--scaffold", type=Path, help="a folder with another main.py to start from")
    add("--allow-package", dest="allow_packages", type=_package, action="append", default=[], metavar="NAME",
        help="a package that the coder may add, besides well-known ones; may be repeated")  # fmt: skip
    _places(parser)
    add("--fresh", action="store_true", help="run a finished experiment again")
    add("--dry-run", action="store_true", help="print the prompt and the plan; spend nothing")
    add("--debug", action="store_true", help="show tracebacks")
    return parser


def _confinement(parser: argparse.ArgumentParser) -> None:
    _sandbox(parser)
    parser.add_argument("--network", action="store_true", help="let main.py use the network; the verdict says so")
    parser.add_argument("--memory", type=_positive, metavar="GIB", help="memory that one run may take (default: 3/4 of this machine's)")
    parser.add_argument("--processes", type=_whole, default=1024, help="processes that one run may have (default: 1024)")
    parser.add_argument("--disk", type=_positive, metavar="GIB", default=10.0, help="GiB that one run may write (default: 10)")


def _sandbox(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sandbox", choices=("auto", "bwrap", "landlock", "none"), default="auto",
                        help="what confines main.py (default: auto: bwrap, else landlock, else refuse)")  # fmt: skip


def _places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-dir", type=Path, help="where data sets lie, as torchvision's root (default: $ASSAY_DATA)")
    parser.add_argument("--python", type=Path, help="an interpreter with torch to run main.py with, instead of building one")
    _runs_dir(parser)


def _runs_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), help="where the archives lie (default: runs)")


def _seeds(text: str, fewest: int = 2) -> int:
    if not text.isdecimal() or not fewest <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seeds from {fewest} to 100")
    return int(text)


def _confirm_seeds(text: str) -> int:
    return _seeds(text, fewest=3)  # on two, a win is claimed twice as often as it should be


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def _package(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is not the name of a package")
    return text


def _price(text: str) -> tuple[float, float]:
    try:
        paid, got = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not IN,OUT, as in 3,15") from None
    if not all(0 <= part < float("inf") for part in (paid, got)):
        raise argparse.ArgumentTypeError(f"{text!r} is not two prices of at least 0")
    return paid, got


if __name__ == "__main__":
    sys.exit(main())

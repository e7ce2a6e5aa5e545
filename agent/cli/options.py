"""The options of the command line: how each is written, what it means, what is wrong with it."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path

USAGE = """python launch.py IDEA... [options]     run ideas: files, or folders of them
       python launch.py review [RUN]           result tables; of one experiment its diffs, logs, chat
       python launch.py report [RUN]           HTML pages: one of all experiments, one of each
       python launch.py watch                  a running queue, live
       python launch.py verdict RUN            the verdict, computed again from the archive alone
       python launch.py reproduce RUN          train one seed of each arm again and compare
       python launch.py baseline [IDEA...]     the control's seeds, and what they can tell
       python launch.py sync [RUN]             W&B files of finished runs to W&B, or their curves to TensorBoard
       python launch.py doctor                 what is there, what is missing"""

RUN = "an experiment's folder, or an idea's name: its newest"


def command_parser(
    command: str, description: str, *parts: Callable[[argparse.ArgumentParser], None]
) -> argparse.ArgumentParser:
    """Of `launch.py <command>`, put together from parts; each adds its arguments."""
    parser = argparse.ArgumentParser(prog=f"launch.py {command}", description=description)
    for part in (*parts, debug):
        part(parser)
    return parser


def run_parser(command: str = "", ideas: str = "+") -> argparse.ArgumentParser:
    """The options of an experiment; `baseline` takes the same, for the same set-up."""
    about = (
        "Train the control's seeds of a set-up."
        if command
        else "Run research ideas written in Markdown."
    )
    parser = argparse.ArgumentParser(
        prog=f"launch.py {command}".strip(), usage=None if command else USAGE, description=about
    )
    add = parser.add_argument
    add(
        "ideas",
        nargs=ideas,
        type=Path,
        metavar="IDEA",
        help="an idea (*.md), or a folder of ideas: a queue",
    )
    add(
        "--model",
        help="a model as Aider and LiteLLM name it, or replay:FILE (default: by the key that is set)",
    )
    add("--runs", type=_whole, help="runs after the baseline (default: 3)")
    add(
        "--dataset",
        help="cifar10, cifar100, mnist, fashion_mnist, digits, or an .npz file (default: cifar100)",
    )
    add("--epochs", type=_whole, help="epochs of every run (default: 3)")
    add("--train-size", type=_whole, help="train on so many images, always the same ones")
    add(
        "--timeout",
        type=_positive,
        default=3600.0,
        help="seconds that one run may take (default: 3600)",
    )
    add(
        "--max-failures",
        type=_whole,
        default=4,
        help="failed attempts in a row that end an experiment (default: 4)",
    )
    add(
        "--max-cost",
        type=_positive,
        help="US dollars for this command; stops before the next request",
    )
    add(
        "--price",
        type=_price,
        metavar="IN,OUT",
        help="US dollars per million tokens, for a model of unknown price",
    )
    add(
        "--model-timeout",
        type=_positive,
        default=300.0,
        help="seconds that one request to the model may take (default: 300)",
    )
    add("--stream", action="store_true", help="ask the model for a streamed reply")
    add(
        "--judge",
        metavar="MODEL",
        help="a model that checks the criteria against the diff (default: the coder's model)",
    )
    add(
        "--baseline-seeds",
        type=_seeds,
        default=8,
        help="seeds of the control, shared by all ideas (default: 8)",
    )
    add(
        "--confirm-seeds",
        type=_confirm_seeds,
        default=5,
        help="fresh seeds for the best run (default: 5)",
    )
    add(
        "--seed",
        type=int,
        default=0,
        help="seed of every explored run, and the first of the control's (default: 0)",
    )
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default: auto)")
    confinement(parser)
    add("--scaffold", type=Path, help="a folder with another main.py to start from")
    add(
        "--allow-package",
        dest="allow_packages",
        type=_package,
        action="append",
        default=[],
        metavar="NAME",
        help="a package that the coder may add, besides well-known ones; may be repeated",
    )
    places(parser)
    add("--fresh", action="store_true", help="run a finished experiment again")
    add("--dry-run", action="store_true", help="print the prompt and the plan; spend nothing")
    debug(parser)
    return parser


def experiment(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help=RUN)


def once(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--once", action="store_true", help="print the present state, and end")


def debug(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--debug", action="store_true", help="show tracebacks")


def confinement(parser: argparse.ArgumentParser) -> None:
    sandbox(parser)
    parser.add_argument(
        "--network", action="store_true", help="let main.py use the network; the verdict says so"
    )
    parser.add_argument(
        "--memory",
        type=_positive,
        metavar="GIB",
        help="memory that one run may take (default: 3/4 of this machine's)",
    )
    parser.add_argument(
        "--processes",
        type=_whole,
        default=1024,
        help="processes that one run may have (default: 1024)",
    )
    parser.add_argument(
        "--disk",
        type=_positive,
        metavar="GIB",
        default=10.0,
        help="GiB that one run may write (default: 10)",
    )


def sandbox(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sandbox",
        choices=("auto", "bwrap", "landlock", "none"),
        default="auto",
        help="what confines main.py (default: auto: bwrap, else landlock, else refuse)",
    )


def places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir",
        type=Path,
        help="where data sets lie, as torchvision's root (default: $ASSAY_DATA)",
    )
    parser.add_argument(
        "--python",
        type=Path,
        help="an interpreter with torch to run main.py with, instead of building one",
    )
    runs_dir(parser)


def runs_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runs-dir", type=Path, default=Path("runs"), help="where the archives lie (default: runs)"
    )


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

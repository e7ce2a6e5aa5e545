"""The options that several commands share, and the types of an option's value."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path

RUN = "an experiment's folder, or an idea's name: its newest"


def command_parser(
    command: str,
    description: str,
    *parts: Callable[[argparse.ArgumentParser], None],
) -> argparse.ArgumentParser:
    """Return the parser of `launch.py <command>`, to which each part adds its arguments."""
    parser = argparse.ArgumentParser(prog=f"launch.py {command}", description=description)
    for part in (*parts, debug):
        part(parser)
    return parser


def experiment(parser: argparse.ArgumentParser) -> None:
    """Add the experiment that a command is about."""
    parser.add_argument("run", type=Path, metavar="RUN", help=RUN)


def once(parser: argparse.ArgumentParser) -> None:
    """Add the option to look once instead of on and on."""
    parser.add_argument("--once", action="store_true", help="print the present state, and end")


def debug(parser: argparse.ArgumentParser) -> None:
    """Add the option for whoever looks for a fault in Assay itself."""
    parser.add_argument("--debug", action="store_true", help="show tracebacks")


def sandbox(parser: argparse.ArgumentParser) -> None:
    """Add the choice of a sandbox."""
    parser.add_argument(
        "--sandbox",
        choices=("auto", "bwrap", "landlock", "none"),
        default="auto",
        help="what confines main.py (default: auto: bwrap, else landlock, else refuse)",
    )


def places(parser: argparse.ArgumentParser) -> None:
    """Add where data, interpreter and archives are."""
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
    """Add the folder of the archives."""
    parser.add_argument(
        "--runs-dir",
        type=Path,
        default=Path("runs"),
        help="where the archives lie (default: runs)",
    )


# ---- types of values: each returns the value, or raises ArgumentTypeError with what is wrong -----


def seeds(text: str, fewest: int = 2) -> int:
    """Return a number of seeds."""
    if not text.isdecimal() or not fewest <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seeds from {fewest} to 100")
    return int(text)


def confirm_seeds(text: str) -> int:
    """Return a number of seeds; on two, a win is claimed twice as often as it should be."""
    return seeds(text, fewest=3)


def whole(text: str) -> int:
    """Return a whole number above 0."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def positive(text: str) -> float:
    """Return a finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def package(text: str) -> str:
    """Return the name of a package."""
    if not re.fullmatch(r"[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is not the name of a package")
    return text


def price(text: str) -> tuple[float, float]:
    """Return the prices of what is sent and of what is received."""
    try:
        sent, received = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not IN,OUT, as in 3,15") from None
    if not all(0 <= part < float("inf") for part in (sent, received)):
        raise argparse.ArgumentTypeError(f"{text!r} is not two prices of at least 0")
    return sent, received

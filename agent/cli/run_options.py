"""The options of an experiment: what is run, what it may cost, and how it is confined.

What stands here is imported only by commands that train: the others do not wait for it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from agent.cli.options import (
    confirm_seeds,
    debug,
    package,
    places,
    positive,
    price,
    sandbox,
    seeds,
    whole,
)
from agent.experiment.settings import Options
from agent.task.catalogue import CATALOGUE

COMMANDS = (
    "IDEA... [options]     run ideas: files, or folders of them",
    "review [RUN]           result tables; of one experiment its diffs, logs, chat",
    "report [RUN]           HTML pages: one of all experiments, one of each",
    "watch                  a running queue, live",
    "verdict RUN            the verdict, computed again from the archive alone",
    "reproduce RUN          train one seed of each arm again and compare",
    "baseline [IDEA...]     the control's seeds, and what they can tell",
    "sync [RUN]             W&B files of finished runs to W&B, or their curves to TensorBoard",
    "doctor                 what is there, what is missing",
)
USAGE = "\n       ".join(f"python launch.py {command}" for command in COMMANDS)


def run_parser(command: str = "", ideas: str = "+") -> argparse.ArgumentParser:
    """Return the parser of an experiment's options.

    `baseline` takes the same, for the same set-up. ideas: how many there may be, as `nargs`.
    """
    if command:
        parser = argparse.ArgumentParser(
            prog=f"launch.py {command}",
            description="Train the control's seeds of a set-up.",
        )
    else:
        parser = argparse.ArgumentParser(
            prog="launch.py",
            usage=USAGE,
            description="Run research ideas written in Markdown.",
        )
    parser.add_argument(
        "ideas",
        nargs=ideas,
        type=Path,
        metavar="IDEA",
        help="an idea (*.md), or a folder of ideas: a queue",
    )
    _add_task(parser)
    _add_limits(parser)
    _add_model(parser)
    _add_seeds(parser)
    confinement(parser)
    _add_code(parser)
    places(parser)
    parser.add_argument("--fresh", action="store_true", help="run a finished experiment again")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print the prompt and the plan; spend nothing",
    )
    debug(parser)
    return parser


def _add_task(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        help="a model as Aider and LiteLLM name it, or replay:FILE"
        " (default: by the key that is set)",
    )
    parser.add_argument("--runs", type=whole, help="runs after the baseline (default: 3)")
    parser.add_argument(
        "--dataset",
        help=f"{', '.join(CATALOGUE)}, or an .npz file (default: cifar100)",
    )
    parser.add_argument("--epochs", type=whole, help="epochs of every run (default: 3)")
    parser.add_argument(
        "--train-size",
        type=whole,
        help="train on so many images, always the same ones",
    )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout",
        type=positive,
        default=Options.timeout,
        help="seconds that one run may take (default: %(default)g)",
    )
    parser.add_argument(
        "--max-failures",
        type=whole,
        default=Options.max_failures,
        help="failed attempts in a row that end an experiment (default: %(default)s)",
    )
    parser.add_argument(
        "--max-cost",
        type=positive,
        help="US dollars for this command; stops before the next request",
    )


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--price",
        type=price,
        metavar="IN,OUT",
        help="US dollars per million tokens, for a model of unknown price",
    )
    parser.add_argument(
        "--model-timeout",
        type=positive,
        default=Options.model_timeout,
        help="seconds that one request to the model may take (default: %(default)g)",
    )
    parser.add_argument("--stream", action="store_true", help="ask the model for a streamed reply")
    parser.add_argument(
        "--judge",
        metavar="MODEL",
        help="a model that checks the criteria against the diff (default: the coder's model)",
    )


def _add_seeds(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--baseline-seeds",
        type=seeds,
        default=Options.baseline_seeds,
        help="seeds of the control, shared by all ideas (default: %(default)s)",
    )
    parser.add_argument(
        "--confirm-seeds",
        type=confirm_seeds,
        default=Options.confirm_seeds,
        help="fresh seeds for the best run (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=Options.seed,
        help="seed of every explored run, and the first of the control's (default: %(default)s)",
    )
    parser.add_argument(
        "--device",
        default=Options.device,
        help="auto, cpu, cuda, cuda:1, ... (default: %(default)s)",
    )


def confinement(parser: argparse.ArgumentParser) -> None:
    """Add what confines main.py, and how much it may take."""
    sandbox(parser)
    parser.add_argument(
        "--network",
        action="store_true",
        help="let main.py use the network; the verdict says so",
    )
    parser.add_argument(
        "--memory",
        type=positive,
        metavar="GIB",
        help="memory that one run may take (default: 3/4 of this machine's)",
    )
    parser.add_argument(
        "--processes",
        type=whole,
        default=Options.processes,
        help="processes that one run may have (default: %(default)s)",
    )
    parser.add_argument(
        "--disk",
        type=positive,
        metavar="GIB",
        default=Options.disk,
        help="GiB that one run may write (default: %(default)g)",
    )


def _add_code(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--scaffold",
        type=Path,
        help="a folder with another main.py to start from",
    )
    parser.add_argument(
        "--allow-package",
        dest="allow_packages",
        type=package,
        action="append",
        default=[],
        metavar="NAME",
        help="a package that the coder may add, besides well-known ones; may be repeated",
    )

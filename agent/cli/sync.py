"""`launch.py sync`: what finished runs left for W&B goes there.

Or their curves go into files that TensorBoard reads.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from agent.archive.lookup import find, some_experiments
from agent.archive.paths import Archive
from agent.cli.options import RUN, command_parser, runs_dir
from agent.execution.environment.base import Environment, existing, find_built
from agent.report.export.tensorboard import FOLDER, export
from agent.report.export.wandb import KEY, left, upload, waiting
from agent.report.terminal.console import progress, say
from agent.task.contract import REQUIREMENTS
from agent.util.errors import Fault, UserError

NO_KEY = (
    f"W&B: no key is set: export {KEY}=... (your own stands at wandb.ai/authorize), "
    "then the same command uploads"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that only this command has."""
    parser.add_argument(
        "run",
        nargs="?",
        type=Path,
        metavar="RUN",
        help=f"{RUN} (default: all)",
    )
    parser.add_argument(
        "--tensorboard",
        nargs="?",
        type=Path,
        const=Path(),
        metavar="DIR",
        help="write the curves for TensorBoard instead"
        f" (default: {FOLDER} in the folder of the archives)",
    )
    parser.add_argument(
        "--python",
        type=Path,
        help="an interpreter with wandb that uploads, where the runs' own is gone",
    )


def command(arguments: list[str]) -> int:
    """Upload, or export for TensorBoard, as the arguments say."""
    about = "Upload the W&B files of finished runs, or write their curves for TensorBoard."
    given = command_parser("sync", about, add_arguments, runs_dir).parse_args(arguments)
    return sync(given.run, given.runs_dir, given.tensorboard, given.python)


def sync(
    run: Path | None,
    runs: Path,
    tensorboard: Path | None,
    python: Path | None,
) -> int:
    """Upload or export one experiment, or all of them.

    0: all that the runs left is there; 1: something is not, and a line says why. Raises UserError
    without a key.
    """
    if tensorboard is None and not os.environ.get(KEY):
        raise UserError(NO_KEY)
    archives = [find(run, runs)] if run else some_experiments(runs)
    if tensorboard is not None:
        if tensorboard == Path():  # no folder was named
            tensorboard = runs / FOLDER
        return export(archives, tensorboard)
    given = existing(python, ("wandb",)) if python else None
    return max(_upload(archive, given) for archive in archives)


def _upload(archive: Archive, given: Environment | None) -> int:
    """Upload what one experiment left; a damaged archive must not hold up the others."""
    name = f"{archive.folder.parent.name}/{archive.folder.name}"
    try:
        total = len(left(archive))
        count = len(waiting(archive))
        environment = given or _built(archive)
        if count and environment is None:
            say(
                f"{name}: {count} runs not uploaded: their environment is not here any more:"
                " name one that has wandb with --python"
            )
            return 1
        with progress(f"{name}: uploading"):
            problems = upload(archive, environment.python) if environment else []
    except (Fault, KeyError) as error:
        say(f"{name}: not uploaded: {error}")
        return 1
    nothing = "" if total else "; its runs left nothing for W&B"
    say(
        f"{name}: {count - len(problems)} uploaded, {total - count} uploaded earlier,"
        f" {len(problems)} not{nothing}"
    )
    for problem in problems:
        say(f"  {problem}")
    return int(bool(problems))


def _built(archive: Archive) -> Environment | None:
    """Return the environment that its runs had, if it is still there and has W&B.

    No interpreter that an archive names is started.
    """
    requirements = archive.run(0).code / REQUIREMENTS
    if not requirements.is_file():
        return None
    built = find_built(requirements)
    return built if built and "wandb" in built.packages else None

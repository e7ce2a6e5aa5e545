"""What the sandbox costs: medians of 20, and their ratios, of `python main.py` without and with it.

    python benchmarks/sandbox.py [--times N] [--python PYTHON] [--markdown]

start: an empty main.py, by an interpreter that has imported nothing. digits: the scaffold trained
for one epoch on the digits, forked from a warm interpreter as an experiment's runs are. The kinds
take turns, so that a load on the machine falls on all alike.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from agent.archive.paths import RunFolder
from agent.execution.environment.base import REQUIRED, ensure, existing
from agent.execution.local import execute
from agent.execution.request import Request
from agent.execution.sandbox.detect import find_sandbox
from agent.execution.sandbox.policy import ResourceLimits
from agent.execution.sandbox.warm_server import PRELOADED, ForkServer
from agent.execution.training import train_baseline
from agent.experiment.idea import Idea
from agent.experiment.prepare import make_workbench
from agent.experiment.settings import Options, decide
from agent.task.contract import REQUIREMENTS
from agent.task.scaffold import DEFAULT_SCAFFOLD
from agent.util.observer import SilentObserver

KINDS = ("none", "bwrap", "landlock")


def starts(times: int, folder: Path) -> dict[str, list[float]]:
    """Seconds from the request to the end of an empty program."""
    (folder / "main.py").write_text("")
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with ForkServer(Path(sys.executable), 1, modules=()) as server:
        for _ in range(times):
            for kind in KINDS:
                request = Request(
                    Path(sys.executable),
                    folder,
                    folder / "out",
                    folder / "err",
                    60,
                    find_sandbox(kind, False, ResourceLimits()),
                    server=server,
                )
                done = execute(request)
                assert done.ok, (folder / "err").read_text()
                seconds[kind].append(done.seconds)
    return seconds


def trainings(times: int, folder: Path, python: Path) -> dict[str, list[float]]:
    """Seconds of one training and its prediction on the digits."""
    options = Options(dataset="digits", epochs=1, python=python, runs_dir=folder, dry_run=True)
    idea = Idea(Path("cost.md"), "Cost", "The scaffold as it is.")
    workbench = make_workbench(decide(idea, options), SilentObserver())
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    modules = tuple(name for name in PRELOADED if "wandb" not in name)
    with ForkServer(python, workbench.budget.threads, modules) as server:
        for number in range(times):
            for kind in KINDS:
                sandbox = find_sandbox(kind, False, ResourceLimits())
                here = replace(workbench, sandbox=sandbox, server=server)
                run = train_baseline(here, RunFolder(folder / f"{kind}_{number}"), seed=number)
                assert run.ok, run.message
                seconds[kind].append(run.seconds)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument(
        "--python",
        type=Path,
        help="of experiments (default: the one that is built for the scaffold)",
    )
    given = parser.parse_args()
    if given.python:
        python = existing(given.python, REQUIRED).python
    else:
        python = ensure(DEFAULT_SCAFFOLD / REQUIREMENTS).python
    with tempfile.TemporaryDirectory(dir=Path.home()) as folder:
        measured = {
            "start": starts(given.times, Path(folder)),
            "digits": trainings(given.times, Path(folder), python),
        }
    print("| what | sandbox | median | smallest | largest | more than none | ratio |")
    print("|---|---|---|---|---|---|---|")
    for what, seconds in measured.items():
        plain = median(seconds["none"])
        for kind, values in seconds.items():
            middle = median(values)
            cells = [
                what,
                kind,
                f"{1000 * middle:.0f} ms",
                f"{1000 * min(values):.0f}",
                f"{1000 * max(values):.0f}",
                f"{1000 * (middle - plain):+.0f} ms",
                f"{middle / plain:.2f}",
            ]
            print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()

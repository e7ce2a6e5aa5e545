"""Whole experiments on the quick scaffold in this process.

Real gate and real runs, a coder that plays edits and answers.
"""

from __future__ import annotations

import sys
from pathlib import Path

from agent.archive.paths import Archive
from agent.coder.base import ScriptedCoder
from agent.experiment.controls import train_missing
from agent.experiment.idea import load_idea
from agent.experiment.loop import Experiment
from agent.experiment.prepare import control_seeds_of, create, make_plan, make_workbench
from agent.experiment.settings import Options, decide
from agent.util.observer import SilentObserver


def conduct(
    quick: Path,
    *values: object,
    readings: tuple[str, ...] = (),
    text: str = "I raise it.",
    name: str = "higher",
) -> Archive:
    """The idea `name` in the folder that the fixture `quick` made,
    with an edit that sets SCORE for each value.
    """
    options = Options(
        scaffold=quick / "scaffold",
        python=Path(sys.executable),
        runs_dir=quick / "runs",
        runs=len(values),
        dry_run=True,
        max_failures=len(values),
    )
    settings = decide(load_idea(quick / f"{name}.md"), options)
    workbench = make_workbench(settings, SilentObserver())
    baseline = control_seeds_of(make_plan(settings), workbench, options.runs_dir)
    train_missing(workbench, baseline, SilentObserver())
    archive = create(settings, workbench)
    main = archive.workspace / "main.py"

    def edit(value: object) -> str:
        lines = main.read_text().split("\n")
        main.write_text(
            "\n".join(f"SCORE = {value}" if line.startswith("SCORE =") else line for line in lines)
        )
        return text

    coder = ScriptedCoder([lambda value=value: edit(value) for value in values], list(readings))  # type: ignore[misc]
    Experiment(
        make_plan(settings),
        workbench,
        archive,
        baseline,
        coder,
        SilentObserver(),
        lambda: None,
        lambda run: None,
    ).conduct()
    return archive

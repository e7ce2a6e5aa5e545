"""Whole experiments on the quick scaffold in this process: real gate and real runs, a coder that plays edits and answers."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path

from agent.archive import Archive
from agent.coder import ScriptedCoder
from agent.experiment import Experiment
from agent.idea import load_idea
from agent.prepare import baseline_of, create, make_setup
from agent.queue import train_missing
from agent.settings import Options, decide


def conduct(quick: Path, *values: object, readings: tuple[str, ...] = (), said: str = "I raise it.", name: str = "higher") -> Archive:
    """The idea `name` in the folder that the fixture `quick` made, with an edit that sets SCORE for each value."""
    options = Options(scaffold=quick / "scaffold", python=Path(sys.executable), runs_dir=quick / "runs", runs=len(values), dry_run=True,
                      max_failures=len(values))  # fmt: skip
    settings = decide(load_idea(quick / f"{name}.md"), options)
    setup = make_setup(settings)
    baseline = baseline_of(setup, options.runs_dir)
    train_missing(setup, baseline)
    archive = create(settings, setup)
    main = archive.workspace / "main.py"

    def edit(value: object) -> str:
        lines = main.read_text().split("\n")
        main.write_text("\n".join(f"SCORE = {value}" if line.startswith("SCORE =") else line for line in lines))
        return said

    coder = ScriptedCoder([lambda value=value: edit(value) for value in values], list(readings))  # type: ignore[misc]
    Experiment(setup, archive, baseline, coder, lambda label, folder: nullcontext(), lambda: None, lambda run: None).conduct()
    return archive

"""`launch.py baseline`: train the control seeds of a set-up and say what they can tell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from agent.cli.run_options import run_parser
from agent.cli.terminal import TerminalObserver
from agent.experiment.controls import train_missing
from agent.experiment.idea import Idea, find_ideas
from agent.experiment.prepare import control_seeds_of, make_plan, make_workbench, serving
from agent.experiment.settings import Options, decide
from agent.report.terminal.console import say
from agent.report.terminal.tables import data_line
from agent.util.errors import UserError


def command(arguments: list[str]) -> int:
    """Train the control seeds for the set-up of these ideas; without one, of the options alone."""
    given = vars(run_parser("baseline", ideas="*").parse_args(arguments))
    paths = given.pop("ideas")
    given.pop("debug")
    options = Options(**given)
    ideas = find_ideas(paths) if paths else [scaffold_as_it_is()]
    for idea in ideas:
        train_for(idea, options)
    return 0


def scaffold_as_it_is() -> Idea:
    """Return an idea that stands for the scaffold alone."""
    return Idea(Path("baseline.md"), "Baseline", "The scaffold as it is.")


def train_for(idea: Idea, options: Options) -> None:
    """Train the control seeds that the set-up of one idea lacks.

    Raises UserError for an open scaffold.
    """
    observer = TerminalObserver()
    settings = decide(idea, replace(options, dry_run=True))  # no model is needed
    workbench = make_workbench(settings, observer)
    plan = make_plan(settings)
    if plan.scaffold.open:
        folder = settings.scaffold.folder
        lack = "has no control that could be trained without an experiment"
        raise UserError(f"{folder}: an open scaffold {lack}")
    assert workbench.dataset
    say(f"{idea.title}: {data_line(workbench.dataset.info)}")
    with serving(workbench) as server:
        controls = control_seeds_of(plan, workbench, options.runs_dir)
        trained = train_missing(replace(workbench, server=server), controls, observer)
        observer.controls_trained(controls, trained, plan.seeds.confirm)
    say(f"  {controls.folder}")

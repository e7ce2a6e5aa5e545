"""`launch.py review`: all experiments as one table, or one experiment with its diffs."""

from __future__ import annotations

from pathlib import Path

from agent.archive import Archive, experiments
from agent.errors import UserError
from agent.report.console import console, say, show
from agent.report.diffs import print_experiment
from agent.report.tables import experiment_table, overview_table
from agent.report.verdicts import load_verdict, verdict_block, verdict_table


def review_all(runs: Path) -> int:
    found = some_experiments(runs)
    if verdicts := verdict_table(found):
        show(verdicts)
    show(overview_table(found))
    return 0


def review_one(run: Path, runs: Path) -> int:
    archive = find(run, runs)
    show(experiment_table(archive, console().width))
    print_experiment(archive)
    if verdict := load_verdict(archive):
        say("\n" + verdict_block(verdict))
    say(f"\narchive: {archive.folder}")
    return 0


def some_experiments(runs: Path) -> list[Archive]:
    """All of them; a UserError that says how to make one where there is none."""
    if found := experiments(runs):
        return found
    raise UserError(f"{runs}: no experiment here yet: python launch.py ideas/frequency_domain_cnn.md --dataset digits")


def find(run: Path, runs: Path) -> Archive:
    """A folder, slug/stamp, or a slug: then its newest experiment."""
    for folder in (run, runs / run, runs / run.stem.lower()):
        if Archive(folder).begun:
            return Archive(folder)
        if newest := sorted(path.parent for path in folder.glob("*/config.json")):
            return Archive(newest[-1])  # the order of their names is the order in which they were made
    raise UserError(f"{run}: no experiment: expected a folder under {runs}, or the name of an idea")

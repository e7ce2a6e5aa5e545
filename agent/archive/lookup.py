"""Experiments are found here, by a folder or the name of their idea."""

from __future__ import annotations

from pathlib import Path

from agent.archive.paths import Archive
from agent.util.errors import UserError


def experiments(runs: Path) -> list[Archive]:
    """Return every experiment under runs/, oldest first within an idea.

    Those that lost their config.json are among them. Folders that begin with _ are not
    experiments, nor are those whose making a kill interrupted.
    """
    return [archive for archive in candidates(runs) if archive.begun]


def candidates(runs: Path) -> list[Archive]:
    """Return the folders that are experiments if they are begun.

    Nothing in them was looked at yet.
    """
    folders = list[Path]()
    for idea in sorted(runs.glob("*")):
        if idea.name.startswith("_"):
            continue
        try:
            folders += sorted(idea.iterdir())
        except NotADirectoryError:
            continue
        except PermissionError:
            folders.append(idea / "*")  # what is in it cannot be told, and is not left out
    return [Archive(folder) for folder in folders]


def some_experiments(runs: Path) -> list[Archive]:
    """Return all experiments. Where there is none, raises a UserError that says how to begin."""
    if archives := experiments(runs):
        return archives
    raise no_experiment(runs)


def no_experiment(runs: Path) -> UserError:
    """Return the error for an empty folder, which says how to begin an experiment."""
    command = "python launch.py ideas/frequency_domain_cnn.md --dataset digits"
    return UserError(f"{runs}: no experiment here yet: {command}")


def find(run: Path, runs: Path) -> Archive:
    """Return an experiment by its folder, slug/stamp, or the slug: then the newest."""
    for folder in (run, runs / run, runs / run.stem.lower()):
        if Archive(folder).begun:
            return Archive(folder)
        below = map(Archive, sorted(folder.glob("*")))
        begun = [archive for archive in below if archive.begun]
        if begun:
            return begun[-1]  # the order of their names is the order of making
    raise UserError(f"{run}: no experiment: expected a folder under {runs}, or the name of an idea")

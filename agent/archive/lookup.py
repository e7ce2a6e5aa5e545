"""TODO: docstring."""

from __future__ import annotations

from pathlib import Path

from agent.archive.paths import Archive
from agent.util.errors import UserError


def experiments(runs: Path) -> list[Archive]:
    """Every experiment under runs/, oldest first within an idea, those that lost their config.json too. Folders that begin with _
    are not experiments, nor are those whose making a kill interrupted.
    """
    return [archive for archive in candidates(runs) if archive.begun]


def candidates(runs: Path) -> list[Archive]:
    """The folders that are experiments if they are begun. Nothing in them was looked at yet."""
    found = list[Path]()
    for idea in sorted(runs.glob("*")):
        try:
            found += sorted(idea.iterdir()) if not idea.name.startswith("_") else []
        except NotADirectoryError:
            continue
        except PermissionError:
            found.append(idea / "*")  # what is in it cannot be told, and is not left out
    return [Archive(folder) for folder in found]


def some_experiments(runs: Path) -> list[Archive]:
    """All of them; a UserError that says how to make one where there is none."""
    if found := experiments(runs):
        return found
    raise no_experiment(runs)


def no_experiment(runs: Path) -> UserError:
    return UserError(
        f"{runs}: no experiment here yet: python launch.py ideas/frequency_domain_cnn.md --dataset digits"
    )


def find(run: Path, runs: Path) -> Archive:
    """A folder, slug/stamp, or a slug: then its newest experiment."""
    for folder in (run, runs / run, runs / run.stem.lower()):
        if Archive(folder).begun:
            return Archive(folder)
        if newest := [
            archive for path in sorted(folder.glob("*")) if (archive := Archive(path)).begun
        ]:
            return newest[-1]  # the order of their names is the order in which they were made
    raise UserError(f"{run}: no experiment: expected a folder under {runs}, or the name of an idea")

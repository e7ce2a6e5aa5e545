"""The control seeds: trainings of the scaffold as it is, made once and shared.

Every experiment with the same key shares them. The first seed is everybody's run_0; all of them are
the control of every idea that leaves the baseline alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable

from agent.archive.control_seeds import ControlSeeds
from agent.archive.paths import FAILED, PENDING, RunFolder, pending_of, rename, unused
from agent.archive.run import Run, load_run
from agent.execution.local import kill_tree
from agent.execution.training import train_baseline
from agent.execution.workbench import Workbench
from agent.util.errors import Fault
from agent.util.files import disk_faults, write_json
from agent.util.locks import locked
from agent.util.observer import Observer

# Trains the scaffold as it is in this folder, with this seed.
Train = Callable[[RunFolder, int], Run]


def ensure_trained(controls: ControlSeeds, train: Train) -> list[Run]:
    """Train the control seeds that are missing and return all of them.

    Two experiments that want the same at once train it once: the second waits.
    Raises Fault("baseline", ...) when the scaffold reaches no result, for then nothing can be
    compared with it.
    """
    with locked(controls.folder / ".lock", wait=True):
        if controls.missing:
            kill_tree(controls.folder)  # what a killed harness left training
            write_json(controls.folder / "key.json", controls.parts)
        for seed in controls.missing:
            _train_seed(controls, train, seed)
    return [load_run(controls.run(seed)) for seed in controls.seeds]


def copy_seed(controls: ControlSeeds, seed: int, target: RunFolder, *, scored: bool) -> Run:
    """Put one seed's run into an archive, without its working folder.

    scored: with its score, which belongs only where no coder follows.
    """
    source = controls.run(seed)
    aside = pending_of(target)
    source.copy_code(aside)
    kept = [source.stdout, source.stderr, source.metrics, source.result]
    if scored:
        kept.append(source.score)
    with disk_faults(aside.folder):
        for path in kept:
            if path.is_file():
                shutil.copyfile(path, aside.folder / path.name)
    rename(aside, target)
    return load_run(target)


def _train_seed(controls: ControlSeeds, train: Train, seed: int) -> None:
    final = controls.run(seed)
    pending = unused(final, PENDING)
    with disk_faults(pending.folder):
        pending.folder.mkdir()
    run = train(pending, seed)
    write_json(pending.result, run.save())
    if run.ok:
        rename(pending, final)
        return
    failed = unused(final, FAILED)
    rename(pending, failed)
    message = f"the scaffold as it is ended in {run.status.value} ({failed.folder}):\n{run.message}"
    raise Fault("baseline", message)


def train_missing(workbench: Workbench, controls: ControlSeeds, observer: Observer) -> list[Run]:
    """Train the control seeds that nobody has trained yet, and return the runs of all of them."""
    missing = controls.missing
    if missing:
        count = f"{len(missing)} of {len(controls.seeds)}"
        observer.say(f"  baseline: training {count} seeds, once for every idea with this set-up")

    def train(folder: RunFolder, seed: int) -> Run:
        with observer.step(f"baseline, seed {seed}", folder.work):
            return train_baseline(workbench, folder, seed)

    return ensure_trained(controls, train)

"""run_0: the scaffold as it is, trained once and shared by every idea with the same key."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from agent.archive import PENDING, RunFolder, copy_files, disk_faults, locked, rename, write_json
from agent.errors import Fault
from agent.run import Run, load_run

FOLDER = "_baselines"
WAIT_SECONDS = 5.0


def baseline_key(parts: dict) -> str:
    """A hash over all that decides the baseline's number: scaffold, data and split, budget, device, versions."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def ensure_baseline(runs: Path, parts: dict, make: Callable[[RunFolder], Run], target: RunFolder) -> Run:
    """Copy the baseline of `parts` to `target`; train it with make(folder) first where there is none yet.

    Raises Fault("baseline", ...) when it does not reach a result: then no idea can be compared with it.
    """
    shared = RunFolder(runs / FOLDER / baseline_key(parts))
    while not shared.result.is_file():
        with locked(shared.folder.with_suffix(".lock")) as mine:
            if not mine:
                time.sleep(WAIT_SECONDS)  # another experiment is training it now
            elif not shared.result.is_file():
                _make(shared, parts, make)
    aside = RunFolder(target.folder.with_name(f"{target.folder.name}.{PENDING}"))
    copy_baseline(shared, aside)
    rename(aside, target)
    return load_run(target)


def _make(shared: RunFolder, parts: dict, make: Callable[[RunFolder], Run]) -> None:
    pending = RunFolder(_unused(shared.folder, PENDING))
    with disk_faults(pending.folder):
        pending.folder.mkdir(parents=True)
    write_json(pending.folder / "key.json", parts)
    run = make(pending)
    write_json(pending.result, run.save())
    if not run.ok:
        failed = RunFolder(_unused(shared.folder, "failed"))
        rename(pending, failed)
        raise Fault("baseline", f"the scaffold as it is ended in {run.status.value} ({failed.folder}):\n{run.message}")
    rename(pending, shared)


def _unused(folder: Path, why: str) -> Path:
    k = 1
    while (path := folder.with_name(f"{folder.name}.{why}_{k}")).exists():
        k += 1
    return path


def copy_baseline(shared: RunFolder, target: RunFolder) -> None:
    """Everything but the working folder: its checkpoint and W&B files stay with the shared baseline."""
    copy_files(shared.code, target.code)
    with disk_faults(target.folder):
        for path in (shared.stdout, shared.stderr, shared.metrics, shared.result):
            if path.is_file():
                shutil.copyfile(path, target.folder / path.name)

"""run_0: the scaffold as it is, trained once and shared by every experiment with the same key."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.archive import FAILED, PENDING, RunFolder, rename, unused
from agent.errors import Fault
from agent.files import copy_files, disk_faults, locked, write_json
from agent.run import Run, load_run
from agent.runner import kill_tree

FOLDER = "_baselines"


@dataclass(frozen=True)
class SharedBaseline:
    """runs/_baselines/<key>/seed_<n>/, a run folder.

    parts: all that decides the number: scaffold, data and split, epochs, device, versions. The key is a hash of them.
    """

    runs: Path
    parts: dict[str, Any]
    seed: int

    @property
    def folder(self) -> Path:
        key = hashlib.sha256(json.dumps(self.parts, sort_keys=True).encode()).hexdigest()[:12]
        return self.runs / FOLDER / key

    @property
    def run(self) -> RunFolder:
        return RunFolder(self.folder / f"seed_{self.seed}")

    def ensure(self, make: Callable[[RunFolder], Run], target: RunFolder) -> Run:
        """Copy it to `target`; train it with make(folder) first where there is none yet.

        Raises Fault("baseline", ...) when the scaffold reaches no result: then nothing can be compared with it.
        """
        with locked(self.folder / ".lock", wait=True):  # another experiment may be training it now
            if not self.run.result.is_file():
                self._make(make)
        aside = RunFolder(target.folder.with_name(f"{target.folder.name}.{PENDING}"))
        self._copy(aside)
        rename(aside, target)
        return load_run(target)

    def _make(self, make: Callable[[RunFolder], Run]) -> None:
        kill_tree(self.folder)  # what a killed harness left training
        write_json(self.folder / "key.json", self.parts)
        pending = unused(self.run, PENDING)
        with disk_faults(pending.folder):
            pending.folder.mkdir()
        run = make(pending)
        write_json(pending.result, run.save())
        if not run.ok:
            failed = unused(self.run, FAILED)
            rename(pending, failed)
            raise Fault("baseline", f"the scaffold as it is ended in {run.status.value} ({failed.folder}):\n{run.message}")
        rename(pending, self.run)

    def _copy(self, target: RunFolder) -> None:
        """Everything but the working folder: its checkpoint and W&B files stay with the shared baseline."""
        copy_files(self.run.code, target.code)
        with disk_faults(target.folder):
            for path in (self.run.stdout, self.run.stderr, self.run.metrics, self.run.result):
                if path.is_file():
                    shutil.copyfile(path, target.folder / path.name)

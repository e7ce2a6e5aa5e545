"""The scaffold as it is, trained with several seeds once and shared by every experiment with the same key.

The first seed is everybody's run_0; all of them are the control of every idea that leaves the baseline alone.
"""

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
from agent.files import disk_faults, write_json
from agent.locks import locked
from agent.run import Run, load_run
from agent.runner import kill_tree

FOLDER = "_baselines"
Make = Callable[[RunFolder, int], Run]  # train the scaffold as it is in this folder, with this seed


@dataclass(frozen=True)
class Baseline:
    """runs/_baselines/<key>/seed_<n>/, run folders.

    parts: all that decides the numbers: scaffold, data and split, epochs, device, versions. The key is a hash of them.
    """

    runs: Path
    parts: dict[str, Any]
    seeds: tuple[int, ...]

    @property
    def folder(self) -> Path:
        key = hashlib.sha256(json.dumps(self.parts, sort_keys=True).encode()).hexdigest()[:12]
        return self.runs / FOLDER / key

    def run(self, seed: int) -> RunFolder:
        return RunFolder(self.folder / f"seed_{seed}")

    @property
    def missing(self) -> list[int]:
        return [seed for seed in self.seeds if not self.run(seed).result.is_file()]

    def ensure(self, make: Make) -> list[Run]:
        """Train what is missing. Two experiments that want the same at once train it once: the second waits.

        Raises Fault("baseline", ...) when the scaffold reaches no result: then nothing can be compared with it.
        """
        with locked(self.folder / ".lock", wait=True):
            if self.missing:
                kill_tree(self.folder)  # what a killed harness left training
                write_json(self.folder / "key.json", self.parts)
            for seed in self.missing:
                self._make(make, seed)
        return [load_run(self.run(seed)) for seed in self.seeds]

    def copy(self, seed: int, target: RunFolder, *, scored: bool) -> Run:
        """Put one seed's run into an archive, without its working folder; its score only where no coder follows."""
        source, aside = self.run(seed), RunFolder(target.folder.with_name(f"{target.folder.name}.{PENDING}"))
        source.copy_code(aside)
        kept = (source.stdout, source.stderr, source.metrics, source.result, *([source.score] if scored else []))
        with disk_faults(aside.folder):
            for path in kept:
                if path.is_file():
                    shutil.copyfile(path, aside.folder / path.name)
        rename(aside, target)
        return load_run(target)

    def _make(self, make: Make, seed: int) -> None:
        pending = unused(self.run(seed), PENDING)
        with disk_faults(pending.folder):
            pending.folder.mkdir()
        run = make(pending, seed)
        write_json(pending.result, run.save())
        if not run.ok:
            failed = unused(self.run(seed), FAILED)
            rename(pending, failed)
            raise Fault("baseline", f"the scaffold as it is ended in {run.status.value} ({failed.folder}):\n{run.message}")
        rename(pending, self.run(seed))

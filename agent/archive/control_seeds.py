"""Control seeds are trainings of the scaffold as it is, shared by all experiments of a set-up."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.archive.paths import RunFolder
from agent.util.hashes import short_hash

FOLDER = "_baselines"


@dataclass(frozen=True)
class ControlSeeds:
    """The run folders runs/_baselines/<key>/seed_<n>/ of a set-up."""

    runs: Path
    # All that decides the numbers: scaffold, data and split, epochs, device, versions. The key is
    # a hash of it.
    parts: dict[str, Any]
    seeds: tuple[int, ...]

    @property
    def folder(self) -> Path:
        """The folder of the set-up, which holds a run folder for each seed."""
        key = short_hash(json.dumps(self.parts, sort_keys=True), 12)
        return self.runs / FOLDER / key

    def run(self, seed: int) -> RunFolder:
        """Return the run folder of a seed."""
        return RunFolder(self.folder / f"seed_{seed}")

    @property
    def missing(self) -> list[int]:
        """The seeds that nobody has trained yet."""
        return [seed for seed in self.seeds if not self.run(seed).result.is_file()]

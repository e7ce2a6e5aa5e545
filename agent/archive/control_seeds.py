"""Where the control seeds of a set-up lie: trainings of the scaffold as it is, shared by all experiments with the same key."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.archive.paths import RunFolder

FOLDER = "_baselines"


@dataclass(frozen=True)
class ControlSeeds:
    """The run folders runs/_baselines/<key>/seed_<n>/ of one set-up.

    parts: all that decides the numbers: scaffold, data and split, epochs, device, versions. The key is a hash of them.
    """

    runs: Path
    parts: dict[str, Any]
    seeds: tuple[int, ...]

    @property
    def folder(self) -> Path:
        """The folder of the set-up, which holds one run folder for each seed."""
        key = hashlib.sha256(json.dumps(self.parts, sort_keys=True).encode()).hexdigest()[:12]
        return self.runs / FOLDER / key

    def run(self, seed: int) -> RunFolder:
        """The run folder of one seed."""
        return RunFolder(self.folder / f"seed_{seed}")

    @property
    def missing(self) -> list[int]:
        """The seeds that nobody has trained yet."""
        return [seed for seed in self.seeds if not self.run(seed).result.is_file()]

"""TODO: docstring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.archive.paths import RunFolder
from agent.util.errors import Fault
from agent.util.files import read_json, write_json


@dataclass(frozen=True)
class Score:
    """Which examples of each split were predicted correctly, in the data set's own order."""

    correct: dict[str, np.ndarray]  # split -> bool [n]
    fingerprint: str  # of the predictions: equal for two seeds only where the seed is ignored

    def accuracy(self, split: str) -> float:
        return float(self.correct[split].mean())

    def save(self, folder: RunFolder) -> None:
        splits = {
            split: {
                "count": len(bits),
                "accuracy": self.accuracy(split),
                "correct": np.packbits(bits).tobytes().hex(),
            }
            for split, bits in self.correct.items()
        }
        write_json(folder.score, {"splits": splits, "fingerprint": self.fingerprint})


def load_score(folder: RunFolder) -> Score:
    """Raises Fault("archive", ...) where it is gone or damaged."""
    stored = read_json(folder.score)
    try:
        return Score(
            {split: _bits(part) for split, part in stored["splits"].items()},
            str(stored["fingerprint"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Fault("archive", f"{folder.score}: not a score of this version: {error}") from error


def _bits(part: dict[str, Any]) -> np.ndarray:
    return np.unpackbits(
        np.frombuffer(bytes.fromhex(part["correct"]), np.uint8), count=int(part["count"])
    ).astype(bool)

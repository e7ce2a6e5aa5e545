"""This record is score.json: the harness's own grades of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.archive.paths import RunFolder
from agent.util.errors import Fault
from agent.util.files import read_json, write_json


@dataclass(frozen=True)
class Score:
    """The examples of each split that were predicted correctly, in the data set's own order."""

    correct: dict[str, np.ndarray]  # split -> bool [n]
    fingerprint: str  # of the predictions: equal for two seeds only where the seed is ignored

    def accuracy(self, split: str) -> float:
        """Return the share of a split that was predicted correctly."""
        return float(self.correct[split].mean())

    def save(self, folder: RunFolder) -> None:
        """Write the score into a run folder."""
        record = {
            "splits": {split: self._record(split) for split in self.correct},
            "fingerprint": self.fingerprint,
        }
        write_json(folder.score, record)

    def _record(self, split: str) -> dict[str, Any]:
        correct = self.correct[split]
        return {
            "count": len(correct),
            "accuracy": self.accuracy(split),
            "correct": np.packbits(correct).tobytes().hex(),
        }


def load_score(folder: RunFolder) -> Score:
    """Return a stored score. Raises Fault("archive", ...) where it is gone or damaged."""
    stored = read_json(folder.score)
    try:
        correct = {split: _correct(part) for split, part in stored["splits"].items()}
        return Score(correct, str(stored["fingerprint"]))
    except (KeyError, TypeError, ValueError) as error:
        raise Fault("archive", f"{folder.score}: not a score of this version: {error}") from error


def _correct(part: dict[str, Any]) -> np.ndarray:
    data = bytes.fromhex(part["correct"])
    packed = np.frombuffer(data, np.uint8)
    bits = np.unpackbits(packed, count=int(part["count"]))
    return bits.astype(bool)

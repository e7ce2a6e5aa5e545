"""The harness's own number: a second process predicts for images in a secret order, and the labels stay here.

A run's own accuracy is a claim. What counts is graded from `predictions.npy`, scores [n, classes], read as plain numbers,
brought back into order and compared with labels that the process was not given.
Not covered: a program that adapts to all images of a prediction at once; without a sandbox, one
that finds the labels on the disk.
"""

from __future__ import annotations

import hashlib
import io
import shutil
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from agent.archive import RunFolder
from agent.datasets import Dataset
from agent.errors import Fault
from agent.failure import explain
from agent.files import copy_files, disk_faults, read_json, read_untrusted, remove, write_json
from agent.runner import Request, execute

IMAGES, PREDICTIONS, CHECKPOINT = "predict_images.npy", "predictions.npy", "model.pt"


@dataclass(frozen=True)
class Score:
    """Which examples of each split were predicted correctly, in the data set's own order."""

    correct: dict[str, np.ndarray]  # split -> bool [n]
    fingerprint: str  # of the predictions: equal for two seeds only where the seed is ignored

    def accuracy(self, split: str) -> float:
        return float(self.correct[split].mean())

    def save(self, folder: RunFolder) -> None:
        splits = {split: {"count": len(bits), "accuracy": self.accuracy(split), "correct": np.packbits(bits).tobytes().hex()}
                  for split, bits in self.correct.items()}  # fmt: skip
        write_json(folder.score, {"splits": splits, "fingerprint": self.fingerprint})


def load_score(folder: RunFolder) -> Score:
    """Raises Fault("archive", ...) where it is gone or damaged."""
    stored = read_json(folder.score)
    try:
        return Score({split: _bits(part) for split, part in stored["splits"].items()}, str(stored["fingerprint"]))
    except (KeyError, TypeError, ValueError) as error:
        raise Fault("archive", f"{folder.score}: not a score of this version: {error}") from error


class Graded(NamedTuple):
    """What a prediction came to: a score or a problem, and what it used."""

    score: Score | None
    problem: str
    seconds: float = 0.0
    cpu_seconds: float = 0.0


def predict_and_grade(folder: RunFolder, request: Request, dataset: Dataset, splits: tuple[str, ...]) -> Graded:
    """The score of the checkpoint that a finished run left, or what is wrong with its predictions.

    folder: the run's; its code is copied anew, so what the training did to its own copy is of no effect.
    request: how to run main.py in folder.predict, in stage predict.
    """
    checkpoint = folder.work / CHECKPOINT
    if checkpoint.is_symlink() or not checkpoint.is_file():
        return Graded(None, f"It left no {CHECKPOINT}: protocol.run(Model), called last, saves one.")
    copy_files(folder.code, folder.predict)
    parts = {split: dataset.labelled(split) for split in splits}
    images, labels = (np.concatenate([part[k] for part in parts.values()]) for k in (0, 1))
    secret = np.random.default_rng().permutation(len(labels))  # of this prediction alone, from the system's entropy
    with disk_faults(folder.predict):
        shutil.copyfile(checkpoint, folder.predict / CHECKPOINT)
        np.save(folder.predict / IMAGES, images[secret])
    execution = execute(request)
    used = execution.seconds, execution.cpu_seconds
    data = read_untrusted(folder.predict / PREDICTIONS, 16 * len(labels) * dataset.info["classes"] + 4096)
    for spent in (IMAGES, CHECKPOINT, PREDICTIONS):  # copies, and rows in an order that nobody knows any more
        remove(folder.predict / spent)
    if not execution.ok:
        output = [(read_untrusted(log) or b"").decode("utf-8", "replace") for log in (request.stdout, request.stderr)]
        problem = f"Predicting with the trained model failed:\n{explain(execution, output[0], output[1])}"
        return Graded(None, problem, *used)
    scores, problem = _read_scores(data, (len(labels), dataset.info["classes"]))
    if scores is None:
        return Graded(None, problem, *used)
    ordered = np.empty_like(scores)
    ordered[secret] = scores
    right = ordered.argmax(1) == labels
    bounds = np.cumsum([len(part[1]) for part in parts.values()])[:-1]
    correct = dict(zip(parts, np.split(right, bounds), strict=True))
    return Graded(Score(correct, hashlib.sha256(ordered.tobytes()).hexdigest()[:16]), "", *used)


def _read_scores(data: bytes | None, shape: tuple[int, int]) -> tuple[np.ndarray | None, str]:
    """Finite float32 scores of exactly this shape, or what is wrong. Never unpickles."""
    if data is None:
        return None, f"The prediction wrote no {PREDICTIONS}: protocol.run(Model), called last, does."
    try:
        scores = np.load(io.BytesIO(data), allow_pickle=False)
    except Exception as error:  # whatever numpy raises for a file that is not one
        return None, f"{PREDICTIONS} is not a plain array of numbers: {error}"
    if not isinstance(scores, np.ndarray) or scores.dtype.kind not in "fiu" or scores.shape != shape:
        found = f"{scores.dtype} {scores.shape}" if isinstance(scores, np.ndarray) else "several arrays"
        return None, f"{PREDICTIONS} holds {found}; expected one score for every image and class, {shape}."
    scores = scores.astype(np.float32)
    if not np.isfinite(scores).all():
        return None, f"{int((~np.isfinite(scores)).any(1).sum())} of {shape[0]} predictions are not finite."
    return scores, ""


def _bits(part: dict[str, Any]) -> np.ndarray:
    return np.unpackbits(np.frombuffer(bytes.fromhex(part["correct"]), np.uint8), count=int(part["count"])).astype(bool)

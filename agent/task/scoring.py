"""Predictions are graded here: untrusted scores and hidden labels become a Score."""

from __future__ import annotations

import io

import numpy as np

from agent.archive.score import Score
from agent.task.contract import PREDICTIONS
from agent.util.hashes import short_hash


def read_scores(
    data: bytes | None,
    shape: tuple[int, int],
) -> tuple[np.ndarray | None, str]:
    """Return finite float32 scores of exactly this shape, or what is wrong. Never unpickles."""
    if data is None:
        problem = f"The prediction wrote no {PREDICTIONS}: protocol.run(Model), called last, does."
        return None, problem
    try:
        scores = np.load(io.BytesIO(data), allow_pickle=False)
    except Exception as error:  # whatever numpy raises for a file that is not one
        return None, f"{PREDICTIONS} is not a plain array of numbers: {error}"
    expected = f"expected one score for every image and class, {shape}"
    if not isinstance(scores, np.ndarray):
        return None, f"{PREDICTIONS} holds several arrays; {expected}."
    if scores.dtype.kind not in "fiu" or scores.shape != shape:
        return None, f"{PREDICTIONS} holds {scores.dtype} {scores.shape}; {expected}."
    scores = scores.astype(np.float32)
    finite = np.isfinite(scores).all(1)
    bad = int((~finite).sum())
    if bad:
        return None, f"{bad} of {shape[0]} predictions are not finite."
    return scores, ""


def grade(scores: np.ndarray, order: np.ndarray, labels: dict[str, np.ndarray]) -> Score:
    """Return which images were predicted correctly.

    scores: [n, classes], the rows in the secret order. order: int [n], of each row the place of its
    image when all splits stand one after the other. labels: split -> int [images].
    """
    ordered = np.empty_like(scores)
    ordered[order] = scores
    predicted = ordered.argmax(1)
    correct = {}
    begin = 0
    for split, expected in labels.items():
        end = begin + len(expected)
        correct[split] = predicted[begin:end] == expected
        begin = end
    return Score(correct, short_hash(ordered.tobytes()))

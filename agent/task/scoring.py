"""TODO: docstring."""

from __future__ import annotations

import io

import numpy as np

from agent.task.contract import PREDICTIONS


def _read_scores(data: bytes | None, shape: tuple[int, int]) -> tuple[np.ndarray | None, str]:
    """Finite float32 scores of exactly this shape, or what is wrong. Never unpickles."""
    if data is None:
        return (
            None,
            f"The prediction wrote no {PREDICTIONS}: protocol.run(Model), called last, does.",
        )
    try:
        scores = np.load(io.BytesIO(data), allow_pickle=False)
    except Exception as error:  # whatever numpy raises for a file that is not one
        return None, f"{PREDICTIONS} is not a plain array of numbers: {error}"
    if (
        not isinstance(scores, np.ndarray)
        or scores.dtype.kind not in "fiu"
        or scores.shape != shape
    ):
        found = (
            f"{scores.dtype} {scores.shape}" if isinstance(scores, np.ndarray) else "several arrays"
        )
        return (
            None,
            f"{PREDICTIONS} holds {found}; expected one score for every image and class, {shape}.",
        )
    scores = scores.astype(np.float32)
    if not np.isfinite(scores).all():
        return (
            None,
            f"{int((~np.isfinite(scores)).any(1).sum())} of {shape[0]} predictions are not finite.",
        )
    return scores, ""

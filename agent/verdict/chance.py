"""What is won by chance alone where many ideas are tried."""

from __future__ import annotations

import math


def sampling_noise(accuracy: float | None, count: int) -> float | None:
    """The difference between two accuracies that `count` images alone explain: 1.96 binomial standard errors of a difference.

    Not covered: the spread over seeds, which comes on top.
    """
    if accuracy is None or not 0 <= accuracy <= 1 or count < 1:
        return None
    return 1.96 * math.sqrt(2 * accuracy * (1 - accuracy) / count)


TAIL = 0.025  # each side of the 95 % interval: the share of ideas without an effect that are called better


def expected_false_wins(ideas: int) -> float:
    """How many of so many ideas would be called better if none were."""
    return ideas * TAIL


def benjamini_hochberg(p_values: list[float]) -> list[float]:
    """The q-value of each, in the same order: the share of false wins among all ideas whose p-value is no larger."""
    if not all(0 <= p <= 1 for p in p_values):
        raise ValueError(f"p-values lie between 0 and 1, got {p_values}")
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    q_values, lowest = [1.0] * len(p_values), 1.0
    for rank in range(
        len(order), 0, -1
    ):  # from the largest: a q-value is never above that of a larger p-value
        lowest = min(lowest, p_values[order[rank - 1]] * len(order) / rank)
        q_values[order[rank - 1]] = lowest
    return q_values

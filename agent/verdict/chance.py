"""Work out what chance alone explains, between two accuracies and among many ideas.

An accuracy on so many images is not exact, and the best of many ideas is partly lucky: the sampling
noise says how far two accuracies differ by chance, TAIL how often an idea without an effect is
called better, and a q-value how many of the ideas down to this one were.
"""

from __future__ import annotations

import math

TAIL = 0.025  # each side of the 95 % interval, so the share of ideas without an effect that win


def sampling_noise(accuracy: float | None, count: int) -> float | None:
    """Return the difference between two accuracies that `count` images alone explain.

    It is 1.96 binomial standard errors of a difference; None where the accuracy is no share of 1
    or there are no images. Not covered: the spread over seeds, which comes on top.
    """
    if accuracy is None or not 0 <= accuracy <= 1 or count < 1:
        return None
    return 1.96 * math.sqrt(2 * accuracy * (1 - accuracy) / count)


def expected_false_wins(ideas: int) -> float:
    """Return how many of so many ideas would be called better if none were."""
    return ideas * TAIL


def benjamini_hochberg(p_values: list[float]) -> list[float]:
    """Return the q-value of each p-value, in the same order.

    A q-value is the share of false wins among all ideas whose p-value is no larger. Raises
    ValueError for a p-value outside 0 to 1.
    """
    if not all(0 <= value <= 1 for value in p_values):
        raise ValueError(f"p-values lie between 0 and 1, got {p_values}")
    count = len(p_values)
    ascending = sorted(range(count), key=p_values.__getitem__)
    q_values = [1.0] * count
    lowest = 1.0
    # From the largest: a q-value is never above that of a larger p-value.
    for rank in range(count, 0, -1):
        index = ascending[rank - 1]
        lowest = min(lowest, p_values[index] * count / rank)
        q_values[index] = lowest
    return q_values

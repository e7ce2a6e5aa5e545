"""Put a verdict into words: the block of one experiment, and its first line."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from agent.archive.run import Run
from agent.archive.verdict import PARAMETER_RATIO, TIME_RATIO
from agent.util.templates import render
from agent.util.text import clean

if TYPE_CHECKING:
    from agent.archive.control_seeds import ControlSeeds


def verdict_block(verdict: dict[str, Any]) -> str:
    """Return a verdict in a dozen lines.

    The first is the class with its effect and its price, so that a win is not quoted without it.
    """
    text = render(
        "verdict.txt.j2",
        v=verdict,
        headline=headline(verdict),
        time_limit=TIME_RATIO,
        parameter_limit=PARAMETER_RATIO,
    )
    return clean(text)


def headline(verdict: dict[str, Any]) -> str:
    """Return a verdict in a line, with what else has to be said with it.

    `SUPPORTED +1.90 pp [+0.60, +3.20] at 1.4x time, 1.1x parameters; judge absent`
    """
    words = [verdict["verdict"].upper().replace("_", " ")]
    effect = verdict["effect"]
    if effect:
        low, high = effect["ci95"]
        words.append(f"{_points(effect['delta'])} pp [{_points(low)}, {_points(high)}]")
        words.append(_price(verdict["budget"]))
    line = " ".join(filter(None, words))
    # A price that is too high stands in the price already.
    others = [text for text in verdict["qualifiers"] if not text.startswith("at ")]
    return f"{line}; {', '.join(others)}" if others else line


def detectable_line(baseline: ControlSeeds, runs: Sequence[Run], confirm_seeds: int) -> str:
    """Return what a set-up can tell, from the control's seeds alone, before an idea is run."""
    # Here: to read a verdict takes neither numpy nor scipy.
    from agent.archive.score import load_score
    from agent.verdict.statistics import detectable

    scores = [load_score(baseline.run(seed)) for seed in baseline.seeds]
    accuracies = [score.accuracy("test") for score in scores]
    values = [run.value for run in runs if run.value is not None]
    control = f"baseline: {len(runs)} seeds, validation {mean(values):.4f}"
    if len(accuracies) < 2 or confirm_seeds < 2:
        return f"{control}; with a single seed nothing can be confirmed"
    smallest = detectable(stdev(accuracies), confirm_seeds, len(accuracies))
    return (
        f"{control} +- {stdev(values):.4f}; {confirm_seeds} fresh seeds against these find "
        f"a true effect of {100 * smallest:.2f} pp or more in 4 of 5 cases"
    )


def _price(budget: dict[str, Any]) -> str:
    time = budget["time_ratio"]
    control, idea = budget["params"]
    if not time or not control or not idea:
        return ""
    return f"at {time:.1f}x time, {idea / control:.1f}x parameters"


def _points(share: float) -> str:
    return f"{100 * share:+.2f}"

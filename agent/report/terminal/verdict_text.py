"""The verdict as people read it: the block of one experiment, and its first line."""

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
    """A dozen lines; the first is the class with its effect and its price, so that a win cannot be quoted without it."""
    return clean(
        render(
            "verdict.txt.j2",
            v=verdict,
            headline=headline(verdict),
            time_limit=TIME_RATIO,
            parameter_limit=PARAMETER_RATIO,
        )
    )


def headline(verdict: dict[str, Any]) -> str:
    """`SUPPORTED +1.90 pp [+0.60, +3.20] at 1.4x time, 1.1x parameters`, and what else has to be said with it."""
    words = [verdict["verdict"].upper().replace("_", " ")]
    if effect := verdict["effect"]:
        words.append(
            f"{100 * effect['delta']:+.2f} pp [{100 * effect['ci95'][0]:+.2f}, {100 * effect['ci95'][1]:+.2f}]"
        )
        words.append(_price(verdict))
    said = [qualifier for qualifier in verdict["qualifiers"] if not qualifier.startswith("at ")]
    return " ".join(filter(None, words)) + (f"; {', '.join(said)}" if said else "")


def detectable_line(baseline: ControlSeeds, runs: Sequence[Run], confirm_seeds: int) -> str:
    """What this set-up can tell, from the control's seeds alone, before an idea is run."""
    from agent.archive.score import (
        load_score,  # here: to read a verdict takes neither numpy nor scipy
    )
    from agent.verdict.statistics import detectable

    accuracies = [load_score(baseline.run(seed)).accuracy("test") for seed in baseline.seeds]
    values = [run.value for run in runs if run.value is not None]
    seen = f"baseline: {len(runs)} seeds, validation {mean(values):.4f}"
    if len(accuracies) < 2 or confirm_seeds < 2:
        return f"{seen}; with a single seed nothing can be confirmed"
    smallest = detectable(stdev(accuracies), confirm_seeds, len(accuracies))
    return (
        f"{seen} +- {stdev(values):.4f}; {confirm_seeds} fresh seeds against these find a true effect of "
        f"{100 * smallest:.2f} pp or more in 4 of 5 cases"
    )


def _ratios(verdict: dict[str, Any]) -> list[str]:
    time, (control, idea) = verdict["budget"]["time_ratio"], verdict["budget"]["params"]
    return [
        "" if not time else f"{time:.1f}x",
        "" if not control or not idea else f"{idea / control:.1f}x",
    ]


def _price(verdict: dict[str, Any]) -> str:
    time, parameters = _ratios(verdict)
    return f"at {time} time, {parameters} parameters" if time and parameters else ""

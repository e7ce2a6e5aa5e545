"""Put an experiment into a class, with the reason in a sentence.

The classes in order of precedence: invalid, no_result, not_implemented, then supported,
not_supported or inconclusive by the interval.
"""

from __future__ import annotations

from agent.archive.gist import gist
from agent.archive.run import RunStatus
from agent.util.text import bounded_line
from agent.verdict.equal_budget import unfair
from agent.verdict.evidence import Arm, Evidence
from agent.verdict.statistics import Effect, seeds_to_decide

# The least smallest effect, where the idea names none.
SMALLEST_EFFECT = 0.005
# The class by how the last attempt ended, where no run succeeded; no_result for all other ends.
_WITHOUT_A_RUN = {
    RunStatus.GUARD_FAILED: "invalid",
    RunStatus.RECIPE_CHANGED: "invalid",
    RunStatus.NOT_LIVE: "not_implemented",
}


def classify(
    evidence: Evidence, effect: Effect | None, against_scaffold: Effect | None
) -> tuple[str, str]:
    """Return the class and the reason; the first rule that matches decides.

    effect: against the control. against_scaffold: against the scaffold as it is, where the control
    is the code's own; else None.
    """
    if evidence.confirm_plan is None:
        return _without_confirmation(evidence)
    if reason := _why_invalid(evidence):
        return "invalid", reason
    shortage = _too_few_seeds(evidence, planned=len(evidence.confirm_plan["seeds"]))
    if shortage or effect is None:
        return "no_result", shortage
    if effect.low > 0 and against_scaffold and against_scaffold.low <= 0:
        interval = f"[{_points(against_scaffold.low)}, {_points(against_scaffold.high)}]"
        return "inconclusive", (
            "better than its own code with the idea off, but not than the scaffold as it is: "
            f"{_points(against_scaffold.delta)} {interval}"
        )
    return _by_interval(evidence, effect)


def smallest_effect(evidence: Evidence, effect: Effect | None) -> float:
    """Return the smallest effect of interest, in shares of 1.

    It is what the idea says, else the larger of half a percentage point and one standard deviation
    of the control's seeds.
    """
    percent: float | None = evidence.config["front_matter"].get("smallest_effect")
    if percent:
        return percent / 100
    if effect is None:
        return SMALLEST_EFFECT
    return max(SMALLEST_EFFECT, effect.sd_control)


def _without_confirmation(evidence: Evidence) -> tuple[str, str]:
    """Classify an open scaffold, or an experiment in which no run succeeded.

    The latter by its last attempt that changed something.
    """
    if any(run.ok for run in evidence.attempts):
        if not evidence.config["open"]:
            return "no_result", "the best run was not confirmed: the same command goes on"
        return "inconclusive", (
            "the numbers are the program's own, of one run each: "
            "an open scaffold has no control to confirm against"
        )
    changed = [run for run in evidence.attempts if run.status is not RunStatus.NO_EDIT]
    if not changed:
        return "not_implemented", "no reply changed the program"
    last = changed[-1]
    reason = bounded_line(gist(last.message)) or last.status.value
    return _WITHOUT_A_RUN.get(last.status, "no_result"), reason


def _why_invalid(evidence: Evidence) -> str:
    prints = [score.fingerprint for score in evidence.idea.scores]
    if len(set(prints)) < len(prints):
        return "seeds are not independent: two of them gave identical predictions"
    if reason := unfair(evidence):
        return reason
    unusable = [run for run in evidence.idea.failed if run.status is RunStatus.NO_RESULT]
    if len(unusable) < 2:
        return ""
    message = unusable[0].message[:200]
    return f"predictions were unusable for {len(unusable)} fresh seeds: {message}"


def _too_few_seeds(evidence: Evidence, planned: int) -> str:
    """Say which arm has too few seeds with a result, and why; '' where both have enough."""
    idea = _shortage("idea", evidence.idea, planned, evidence.futile)
    of_control = planned if evidence.own_control else 0
    return idea or _shortage("control", evidence.control, of_control, evidence.futile)


def _shortage(name: str, arm: Arm, planned: int, futile: bool) -> str:
    needed = 2 if futile else max(2, planned - 1)  # one of those planned may be lost
    if len(arm.scores) >= needed:
        return ""
    why = "it was not finished"
    if arm.failed:
        why = arm.failed[0].message.split("\n")[-1]
    return f"{len(arm.scores)} of {planned} fresh seeds of the {name} gave a result: {why[:300]}"


def _by_interval(evidence: Evidence, effect: Effect) -> tuple[str, str]:
    smallest = smallest_effect(evidence, effect)
    if effect.low > 0:
        seeds = f"{effect.n_candidate} fresh seeds against {effect.n_control}"
        return "supported", f"the 95 % interval lies above 0, on {seeds}"
    if effect.high < smallest:
        return "not_supported", (
            f"the 95 % interval ends below {_points(smallest)}, the smallest effect of interest"
        )
    if evidence.futile:
        return "not_supported", (
            f"stopped for futility: the first {effect.n_candidate} fresh seeds "
            "are on average not above the control"
        )
    more = seeds_to_decide(effect, smallest)
    if more is None:
        return "inconclusive", (
            "more seeds alone would not decide it: the hidden test is too small for this difference"
        )
    seeds = "seeds" if more > 1 else "seed"
    return "inconclusive", (
        f"about {more} more {seeds} of each arm would decide it, "
        "if means and spreads stay as they are"
    )


def _points(share: float) -> str:
    return f"{100 * share:.2f} pp"

"""Per-example correctness of two sets of seeds -> how far apart they are, how sure that is, and what would decide it.

The statement is about other seeds and other test examples of the same kind, so two things widen the interval: seeds of
one code differ (Welch, because a new idea is often noisier than its control), and an idea that helps some examples and
hurts others wins on some test sets. All figures are shares of 1. Source of the protocol: research/trust.md 4.9.

Not covered: pairing by seed (pays only if seeds are correlated by 0.4 or more); a data shift; several test sets; seeds
that are not independent. Welch's theory is normal: with 3 seeds against 8 it calls 3 % of ideas without an effect better,
not 2.5 %, with 2 against 8 5 % (simulated), and so it does if a noisy candidate sometimes fails, so that its typical seed
is above its mean. After a stop for futility the interval is of the seeds that ran and leans downwards. Ideas judged
against one cached control share its luck: the expected number of false wins holds, but they come in bunches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.verdict.chance import TAIL

MOST_SEEDS = 1000
FIRST_SEEDS = 2  # fresh seeds after which a hopeless idea is given up


@dataclass(frozen=True)
class Effect:
    """A candidate against its control."""

    delta: float  # mean_candidate - mean_control
    low: float  # ends of the 95 % interval
    high: float
    se_seed: float  # standard error of delta from the choice of seeds
    se_test: float  # and from the choice of test examples
    df: float
    p_value: float  # one-sided: the probability of so large a delta if the candidate were no better
    p_better: float  # that a random candidate seed beats a random control seed; ties count half
    n_candidate: int
    n_control: int
    mean_candidate: float
    sd_candidate: float  # of the accuracies of single seeds
    mean_control: float
    sd_control: float


def compare(candidate: np.ndarray, control: np.ndarray) -> Effect:
    """Booleans [seeds, examples], the same examples in both. Raises ValueError when they cannot be compared."""
    examples = _examples(candidate, control, fewest_seeds=2)
    n1, n0 = len(candidate), len(control)
    # Counted in examples until the end: equal seeds then differ by exactly 0, where shares would leave a difference of
    # 1e-17 with an error of 0, which is a win.
    right1, right0 = candidate.sum(axis=1), control.sum(axis=1)
    delta = float(right1.mean() - right0.mean()) / examples
    sd1, sd0 = float(right1.std(ddof=1)) / examples, float(right0.std(ddof=1)) / examples
    v1, v0 = sd1**2 / n1, sd0**2 / n0
    v_test = _test_variance(candidate, control)
    df = float(_welch_df(v1, n1, v0, n0))
    se = math.sqrt(v1 + v0 + v_test)
    half = float(_quantile(df)) * se
    return Effect(
        delta=delta,
        low=delta - half,
        high=delta + half,
        se_seed=math.sqrt(v1 + v0),
        se_test=math.sqrt(v_test),
        df=df,
        p_value=_p_value(delta, se, df),
        p_better=float((np.sign(right1[:, None] - right0[None, :]) + 1).mean() / 2),
        n_candidate=n1,
        n_control=n0,
        mean_candidate=float(right1.mean()) / examples,
        sd_candidate=sd1,
        mean_control=float(right0.mean()) / examples,
        sd_control=sd0,
    )


def futile(candidate: np.ndarray, control: np.ndarray) -> bool:
    """Whether the first fresh seeds (two) are on average not above the control, so that more are not worth their price."""
    _examples(candidate, control, fewest_seeds=1)
    return bool(candidate.sum() * len(control) <= control.sum() * len(candidate))


def detectable(
    sd: float, n_candidate: int, n_control: int, *, se_test: float = 0.0, power: float = 0.8
) -> float:
    """The smallest true difference whose interval lies above 0 with this power, if both arms have this standard deviation.

    A little pessimistic where se_test is most of the error: its estimate is taken to be as uncertain as that of the seeds.
    """
    if min(n_candidate, n_control) < 2:
        raise ValueError(f"needs at least 2 seeds in each arm, got {n_candidate} and {n_control}")
    if not (sd >= 0 and se_test >= 0 and TAIL < power < 1):
        raise ValueError(
            f"needs sd >= 0, se_test >= 0 and {TAIL} < power < 1, got {sd}, {se_test} and {power}"
        )
    from scipy import optimize, stats

    df = float(_welch_df(1 / n_candidate, n_candidate, 1 / n_control, n_control))
    critical = float(_quantile(df))

    def surplus(ratio: float) -> float:
        return float(stats.nct.sf(critical, df, ratio)) - power

    enough = critical
    while surplus(enough) < 0:
        enough *= 2
    ratio = float(optimize.brentq(surplus, 0, enough))
    return ratio * math.sqrt(sd**2 * (1 / n_candidate + 1 / n_control) + se_test**2)


def seeds_to_decide(effect: Effect, smallest_effect: float) -> int | None:
    """How many more seeds in each arm bring the interval above 0 or below smallest_effect, if all else stays as it is.

    0: it is decided. None: no number up to 1000 does, because the test set is too small or the effect lies at the border.
    """
    extra = np.arange(MOST_SEEDS + 1)
    n1, n0 = effect.n_candidate + extra, effect.n_control + extra
    v1, v0 = effect.sd_candidate**2 / n1, effect.sd_control**2 / n0
    half = _quantile(_welch_df(v1, n1, v0, n0)) * np.sqrt(v1 + v0 + effect.se_test**2)
    decided = (effect.delta - half > 0) | (effect.delta + half < smallest_effect)
    return int(decided.argmax()) if decided.any() else None


def _examples(candidate: np.ndarray, control: np.ndarray, fewest_seeds: int) -> int:
    for name, arm in (("candidate", candidate), ("control", control)):
        if arm.ndim != 2 or arm.dtype != np.bool_:
            raise ValueError(
                f"{name}: expected booleans [seeds, examples], got {arm.dtype} {list(arm.shape)}"
            )
        if len(arm) < fewest_seeds:
            raise ValueError(f"{name}: needs at least {fewest_seeds} seeds, got {len(arm)}")
    if candidate.shape[1] != control.shape[1]:
        raise ValueError(
            f"candidate has {candidate.shape[1]} examples and control {control.shape[1]}: not the same test set"
        )
    if control.shape[1] < 2:
        raise ValueError(f"needs at least 2 examples, got {control.shape[1]}")
    return int(control.shape[1])


def _test_variance(candidate: np.ndarray, control: np.ndarray) -> float:
    """Variance of delta from the choice of examples: of the true effects on single examples, divided by their number.

    The effects seen on single examples also differ because seeds are few: by what the disagreement of the seeds on each
    example tells without bias. (Seeds that move all examples together disagree without spreading the effects; that would
    add an N-th of the seeds' own variance, and is left out.)
    """
    n1, n0, examples = len(candidate), len(control), control.shape[1]
    right1, right0 = candidate.sum(axis=0), control.sum(axis=0)
    spread = float((right1 * n0 - right0 * n1).var(ddof=1)) / (n1 * n0) ** 2
    from_seeds = _mean_variance(right1 / n1, n1) + _mean_variance(right0 / n0, n0)
    return max(0.0, spread - from_seeds) / examples


def _mean_variance(share: np.ndarray, seeds: int) -> float:
    """Variance of the share of seeds that are right on an example, averaged over the examples."""
    return float((share * (1 - share)).mean()) / (seeds - 1)


def _welch_df(v1: Any, n1: Any, v0: Any, n0: Any) -> np.ndarray:
    """Welch-Satterthwaite for the seeds alone (numbers or arrays).

    The test term stays out. With its N - 1 degrees of freedom it would raise the sum and narrow the interval, but it is a
    difference of two estimates, cut off at 0, so it is not known that well. Without it the interval is too wide where the
    test term dominates, never too narrow. Seeds without any variance get the least that the formula can give.
    """
    parts = np.asarray(v1**2 / (n1 - 1) + v0**2 / (n0 - 1))
    return np.where(
        parts > 0, (v1 + v0) ** 2 / np.where(parts > 0, parts, 1.0), np.minimum(n1, n0) - 1
    )


def _quantile(df: np.ndarray | float) -> Any:
    """Return what Student's t with so many degrees of freedom exceeds with the probability TAIL.

    scipy is imported where it computes: that takes as long as all else that a command imports.
    """
    from scipy import stats

    return stats.t.isf(TAIL, df)


def _p_value(delta: float, se: float, df: float) -> float:
    from scipy import stats

    if se > 0:
        return float(stats.t.sf(delta / se, df))
    return 0.5 if delta == 0 else float(delta < 0)  # the limits, as an error of 0 would have them

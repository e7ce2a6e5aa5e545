"""Compare two sets of seeds: how far apart they are, how sure that is, and what would decide it.

All is computed from the correctness of each seed on each example. The statement is about other
seeds and other test examples of the same kind, so two things widen the interval: seeds of one code
differ (Welch, because a new idea is often noisier than its control), and an idea that helps some
examples and hurts others wins on some test sets. All figures are shares of 1. Source of the
protocol: research/trust.md 4.9.

Not covered: pairing by seed (pays only if seeds are correlated by 0.4 or more); a data shift;
several test sets; seeds that are not independent. Welch's theory is normal: with 3 seeds against 8
it calls 3 % of ideas without an effect better, not 2.5 %, with 2 against 8 5 % (simulated), and so
it does if a noisy candidate sometimes fails, so that its typical seed is above its mean. After a
stop for futility the interval is of the seeds that ran and leans downwards. Ideas judged against
one cached control share its luck: the expected number of false wins holds, but they come in
bunches.
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
    """The difference of a candidate from its control, and how sure it is."""

    delta: float  # mean_candidate - mean_control
    low: float  # lower end of the 95 % interval
    high: float  # upper end of the 95 % interval
    se_seed: float  # standard error of delta from the choice of seeds
    se_test: float  # standard error of delta from the choice of test examples
    df: float  # degrees of freedom
    p_value: float  # probability of so large a delta if the candidate were no better (one-sided)
    p_better: float  # share of pairs in which the candidate's seed is better; ties count half
    n_candidate: int
    n_control: int
    mean_candidate: float
    sd_candidate: float  # standard deviation of the accuracies of single seeds
    mean_control: float
    sd_control: float


def compare(candidate: np.ndarray, control: np.ndarray) -> Effect:
    """Return the effect of a candidate against its control.

    Both are booleans [seeds, examples], the same examples in both. Raises ValueError when they
    cannot be compared.
    """
    examples = _count_examples(candidate, control, fewest_seeds=2)
    n_candidate = len(candidate)
    n_control = len(control)
    # Counted in examples until the end: equal seeds then differ by exactly 0, where shares would
    # leave a difference of 1e-17 with an error of 0, which is a win.
    right_candidate = candidate.sum(axis=1)
    right_control = control.sum(axis=1)
    wins = np.sign(right_candidate[:, None] - right_control[None, :])
    delta = float(right_candidate.mean() - right_control.mean()) / examples
    sd_candidate = float(right_candidate.std(ddof=1)) / examples
    sd_control = float(right_control.std(ddof=1)) / examples
    of_candidate = sd_candidate**2 / n_candidate
    of_control = sd_control**2 / n_control
    seed_variance = of_candidate + of_control
    test_variance = _test_variance(candidate, control)
    freedom = float(_welch_freedom(of_candidate, n_candidate, of_control, n_control))
    error = math.sqrt(seed_variance + test_variance)
    half = float(_quantile(freedom)) * error
    return Effect(
        delta=delta,
        low=delta - half,
        high=delta + half,
        se_seed=math.sqrt(seed_variance),
        se_test=math.sqrt(test_variance),
        df=freedom,
        p_value=_p_value(delta, error, freedom),
        p_better=float((wins + 1).mean() / 2),
        n_candidate=n_candidate,
        n_control=n_control,
        mean_candidate=float(right_candidate.mean()) / examples,
        sd_candidate=sd_candidate,
        mean_control=float(right_control.mean()) / examples,
        sd_control=sd_control,
    )


def futile(candidate: np.ndarray, control: np.ndarray) -> bool:
    """Return whether the first fresh seeds are on average not above the control.

    More seeds are then not worth their price.
    """
    _count_examples(candidate, control, fewest_seeds=1)
    return bool(candidate.sum() * len(control) <= control.sum() * len(candidate))


def detectable(
    seed_sd: float, n_candidate: int, n_control: int, *, se_test: float = 0.0, power: float = 0.8
) -> float:
    """Return the smallest true difference whose interval lies above 0 with this power.

    Both arms are taken to have this standard deviation over seeds. A little pessimistic where
    se_test is most of the error: its estimate is taken to be as uncertain as that of the seeds.
    """
    if min(n_candidate, n_control) < 2:
        raise ValueError(f"needs at least 2 seeds in each arm, got {n_candidate} and {n_control}")
    if not (seed_sd >= 0 and se_test >= 0 and TAIL < power < 1):
        needed = f"sd >= 0, se_test >= 0 and {TAIL} < power < 1"
        raise ValueError(f"needs {needed}, got {seed_sd}, {se_test} and {power}")
    from scipy import optimize, stats

    freedom = float(_welch_freedom(1 / n_candidate, n_candidate, 1 / n_control, n_control))
    critical = float(_quantile(freedom))

    def surplus(ratio: float) -> float:
        return float(stats.nct.sf(critical, freedom, ratio)) - power

    enough = critical
    while surplus(enough) < 0:
        enough *= 2
    ratio = float(optimize.brentq(surplus, 0, enough))
    return ratio * math.sqrt(seed_sd**2 * (1 / n_candidate + 1 / n_control) + se_test**2)


def seeds_to_decide(effect: Effect, smallest_effect: float) -> int | None:
    """Return how many more seeds in each arm would decide, if all else stays as it is.

    Decided is an interval above 0 or below smallest_effect; 0: it is decided. None: no number up to
    1000 decides, because the test set is too small or the effect lies at the border.
    """
    extra = np.arange(MOST_SEEDS + 1)
    n_candidate = effect.n_candidate + extra
    n_control = effect.n_control + extra
    of_candidate = effect.sd_candidate**2 / n_candidate
    of_control = effect.sd_control**2 / n_control
    freedom = _welch_freedom(of_candidate, n_candidate, of_control, n_control)
    error = np.sqrt(of_candidate + of_control + effect.se_test**2)
    half = _quantile(freedom) * error
    decided = (effect.delta - half > 0) | (effect.delta + half < smallest_effect)
    return int(decided.argmax()) if decided.any() else None


def _count_examples(candidate: np.ndarray, control: np.ndarray, fewest_seeds: int) -> int:
    """Return the number of examples, or raise ValueError for arms that cannot be compared."""
    for name, arm in (("candidate", candidate), ("control", control)):
        if arm.ndim != 2 or arm.dtype != np.bool_:
            kind = f"{arm.dtype} {list(arm.shape)}"
            raise ValueError(f"{name}: expected booleans [seeds, examples], got {kind}")
        if len(arm) < fewest_seeds:
            raise ValueError(f"{name}: needs at least {fewest_seeds} seeds, got {len(arm)}")
    examples = int(control.shape[1])
    if candidate.shape[1] != examples:
        counts = f"candidate has {candidate.shape[1]} examples and control {examples}"
        raise ValueError(f"{counts}: not the same test set")
    if examples < 2:
        raise ValueError(f"needs at least 2 examples, got {examples}")
    return examples


def _test_variance(candidate: np.ndarray, control: np.ndarray) -> float:
    """Variance of delta from the choice of examples: of the true effects, divided by their number.

    The effects seen on single examples also differ because seeds are few: by what the disagreement
    of the seeds on each example tells without bias. (Seeds that move all examples together disagree
    without spreading the effects; that would add an N-th of the seeds' own variance, and is left
    out.)
    """
    n_candidate = len(candidate)
    n_control = len(control)
    right_candidate = candidate.sum(axis=0)
    right_control = control.sum(axis=0)
    differences = right_candidate * n_control - right_control * n_candidate
    spread = float(differences.var(ddof=1)) / (n_candidate * n_control) ** 2
    of_candidate = _mean_variance(right_candidate / n_candidate, n_candidate)
    of_control = _mean_variance(right_control / n_control, n_control)
    return max(0.0, spread - (of_candidate + of_control)) / control.shape[1]


def _mean_variance(share: np.ndarray, seeds: int) -> float:
    """Variance of the share of seeds that are right on an example, averaged over the examples."""
    return float((share * (1 - share)).mean()) / (seeds - 1)


def _welch_freedom(
    of_candidate: Any, n_candidate: Any, of_control: Any, n_control: Any
) -> np.ndarray:
    """Degrees of freedom by Welch-Satterthwaite, for the seeds alone (numbers or arrays).

    of_candidate, of_control: the variances of the two means. The test term stays out. With its
    N - 1 degrees of freedom it would raise the sum and narrow the interval, but it is a difference
    of two estimates, cut off at 0, so it is not known that well. Without it the interval is too
    wide where the test term dominates, never too narrow. Seeds without any variance get the least
    that the formula can give.
    """
    parts = np.asarray(of_candidate**2 / (n_candidate - 1) + of_control**2 / (n_control - 1))
    divisors = np.where(parts > 0, parts, 1.0)
    least = np.minimum(n_candidate, n_control) - 1
    return np.where(parts > 0, (of_candidate + of_control) ** 2 / divisors, least)


def _quantile(freedom: np.ndarray | float) -> Any:
    """Return what Student's t with so many degrees of freedom exceeds with the probability TAIL.

    scipy is imported where it computes: that takes as long as all else that a command imports.
    """
    from scipy import stats

    return stats.t.isf(TAIL, freedom)


def _p_value(delta: float, error: float, freedom: float) -> float:
    from scipy import stats

    if error > 0:
        return float(stats.t.sf(delta / error, freedom))
    if delta == 0:
        return 0.5
    return float(delta < 0)  # the limit, as for delta 0: as an error of 0 would have it

"""The statistics, held to their promises on simulated campaigns
(their rates are printed with `pytest -s`).

An example i of difficulty b_i is classified correctly by seed r when ability + shift_r + effect_i +
noise_ri > b_i, all of them normal: seeds of one code differ as a whole, and beyond that example by
example. Each campaign has its own test set.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy import stats

from agent.verdict.chance import benjamini_hochberg, expected_false_wins
from agent.verdict.statistics import Effect, compare, detectable, futile, seeds_to_decide

CONTROL_SEEDS = 8
FIRST = 2
ALL = 5
CAMPAIGNS = 2000
# Standard deviation of b, in standard deviations of the noise: some examples are always right.
DIFFICULTY = 1.5


@dataclass(frozen=True)
class Code:
    """What is trained with different seeds."""

    accuracy: float = 0.7  # expected over all seeds and all examples
    shift: float = (
        0.1  # standard deviation over seeds: twice the part of an accuracy that is due to the noise
    )
    by_example: float = 0.0  # standard deviation of the effects on single examples


@dataclass(frozen=True)
class World:
    rng: np.random.Generator
    examples: int = 1000

    def test_set(self) -> np.ndarray:
        return self._normal(DIFFICULTY, (self.examples,))

    def train(self, code: Code, test_set: np.ndarray, seeds: int) -> np.ndarray:
        """Booleans [seeds, examples]."""
        # So that accuracy is what was asked for.
        spread = math.sqrt(1 + DIFFICULTY**2 + code.shift**2 + code.by_example**2)
        ability = float(stats.norm.ppf(code.accuracy)) * spread
        edge = test_set - ability - self._normal(code.by_example, (self.examples,))
        return self._normal(1, (seeds, self.examples)) + self._normal(code.shift, (seeds, 1)) > edge

    def baseline_sd(self, code: Code, sets: int = 100, seeds: int = 50) -> float:
        """Standard deviation of the accuracies seen with different seeds on one test set."""
        variances = [
            self.train(code, self.test_set(), seeds).mean(axis=1).var(ddof=1) for _ in range(sets)
        ]
        return math.sqrt(np.mean(variances))

    def campaign(self, code: Code, control: Code) -> Effect:
        """The protocol: two fresh seeds, and three more unless they
        are no better than the eight of the control.
        """
        test_set = self.test_set()
        runs = self.train(code, test_set, ALL)
        cached = self.train(control, test_set, CONTROL_SEEDS)
        return compare(runs[:FIRST] if futile(runs[:FIRST], cached) else runs, cached)

    def _normal(self, sd: float, shape: tuple[int, ...]) -> np.ndarray:
        return self.rng.standard_normal(shape, dtype=np.float32) * np.float32(sd)


def world(seed: int) -> World:
    return World(np.random.default_rng(seed))


def supported(effects: list[Effect]) -> float:
    return float(np.mean([effect.low > 0 for effect in effects]))


def report(text: str) -> None:
    print(f"\n    {text}", end="")


def accuracies(rows: np.ndarray) -> np.ndarray:
    return rows.mean(axis=1)


def arm(*right: int, examples: int = 100) -> np.ndarray:
    """Seeds that are right on the first so many examples."""
    return np.arange(examples)[None, :] < np.array(right)[:, None]


CONTROL = Code()


@pytest.mark.slow
def test_an_idea_without_an_effect_is_rarely_supported_and_one_of_two_deviations_mostly_is():
    lab = world(1)
    sd = lab.baseline_sd(CONTROL)
    better = replace(CONTROL, accuracy=CONTROL.accuracy + 2 * sd)
    none = [lab.campaign(CONTROL, CONTROL) for _ in range(CAMPAIGNS)]
    some = [lab.campaign(better, CONTROL) for _ in range(CAMPAIGNS)]
    stopped = (
        np.mean([effect.n_candidate == FIRST for effect in none]),
        np.mean([effect.n_candidate == FIRST for effect in some]),
    )
    report(
        f"baseline sd {sd:.4f}; supported without an effect {supported(none):.4f}, with 2 sd "
        f"{supported(some):.4f}"
    )
    report(f"stopped after two seeds: {stopped[0]:.3f} and {stopped[1]:.3f}")
    assert supported(none) <= 0.03  # 0.023 in 30,000 campaigns
    assert supported(some) >= 0.8
    assert 0.4 < stopped[0] < 0.6 and stopped[1] < 0.02


@pytest.mark.slow
def test_choosing_the_best_of_three_wins_by_luck_and_does_not_survive_fresh_seeds():
    lab = world(2)
    campaigns = 1000
    sd = lab.baseline_sd(CONTROL)
    naive = []
    luck = []
    confirmed = []
    for _ in range(campaigns):
        dev_set = lab.test_set()
        codes = [CONTROL, CONTROL, CONTROL]
        explored = [float(lab.train(code, dev_set, 1).mean()) for code in codes]
        baseline = float(lab.train(CONTROL, dev_set, 1).mean())
        naive.append(max(explored) > baseline)
        luck.append(max(explored) - np.mean(explored))
        confirmed.append(lab.campaign(codes[int(np.argmax(explored))], CONTROL))
    report(
        f"best of 3 beats one baseline {np.mean(naive):.3f}, by luck {np.mean(luck) / sd:.2f} sd; "
        f"supported {supported(confirmed):.4f}"
    )
    assert 0.7 < np.mean(naive) < 0.8
    assert 0.75 < np.mean(luck) / sd < 0.95
    assert supported(confirmed) <= 0.04


@pytest.mark.slow
def test_a_candidate_three_times_as_noisy_is_hardly_more_often_supported_by_mistake():
    lab = world(3)
    noisy = replace(CONTROL, shift=3.4 * CONTROL.shift)
    ratio = lab.baseline_sd(noisy, sets=300) / lab.baseline_sd(CONTROL)
    effects = [lab.campaign(noisy, CONTROL) for _ in range(CAMPAIGNS)]
    pooled = np.mean([_pooled_low(effect) > 0 for effect in effects])
    report(
        f"{ratio:.2f} times as noisy: supported {supported(effects):.4f}; Student's pooled t "
        f"would say {pooled:.4f}"
    )
    assert 2.8 < ratio < 3.2
    assert supported(effects) <= 0.045  # 0.035 in 20,000 campaigns
    assert pooled > 0.06


def _pooled_low(effect: Effect) -> float:
    n1 = effect.n_candidate
    n0 = effect.n_control
    variance = ((n1 - 1) * effect.sd_candidate**2 + (n0 - 1) * effect.sd_control**2) / (n1 + n0 - 2)
    return effect.delta - stats.t.ppf(0.975, n1 + n0 - 2) * math.sqrt(
        variance * (1 / n1 + 1 / n0) + effect.se_test**2
    )


@pytest.mark.slow
def test_an_idea_that_helps_as_many_examples_as_it_hurts_is_not_supported_because_of_its_test_set():
    lab = world(4)
    control = replace(CONTROL, shift=0.05)
    mixed = replace(control, by_example=0.8)
    effects = [lab.campaign(mixed, control) for _ in range(CAMPAIGNS)]
    seeds_only = np.mean(
        [effect.delta - stats.t.ppf(0.975, effect.df) * effect.se_seed > 0 for effect in effects]
    )
    report(
        f"effects of mean 0: supported {supported(effects):.4f}; without the test term "
        f"{seeds_only:.4f}"
    )
    assert supported(effects) <= 0.03
    assert seeds_only > 0.04


@pytest.mark.parametrize("by_example", [0.0, 0.8])
def test_the_standard_error_is_the_spread_of_repeated_campaigns(by_example):
    lab = world(5)
    control = replace(CONTROL, shift=0.05)
    mixed = replace(control, by_example=by_example)
    effects = []
    for _ in range(1000):
        test_set = lab.test_set()
        effects.append(
            compare(lab.train(mixed, test_set, ALL), lab.train(control, test_set, CONTROL_SEEDS))
        )
    claimed = math.sqrt(np.mean([effect.se_seed**2 + effect.se_test**2 for effect in effects]))
    spread = float(np.std([effect.delta for effect in effects], ddof=1))
    report(f"by_example {by_example}: claimed standard error {claimed:.5f}, spread {spread:.5f}")
    assert 0.93 < claimed / spread < 1.07


@pytest.mark.slow
def test_the_detectable_difference_is_detected_with_the_power_that_was_asked_for():
    lab = world(6)
    sd = lab.baseline_sd(CONTROL, sets=300)
    better = replace(CONTROL, accuracy=CONTROL.accuracy + detectable(sd, ALL, CONTROL_SEEDS))
    effects = []
    for _ in range(CAMPAIGNS):
        test_set = lab.test_set()
        effects.append(
            compare(lab.train(better, test_set, ALL), lab.train(CONTROL, test_set, CONTROL_SEEDS))
        )
    report(
        f"detectable {detectable(sd, ALL, CONTROL_SEEDS) / sd:.2f} sd: supported "
        f"{supported(effects):.4f}"
    )
    assert 0.74 <= supported(effects) <= 0.86


def test_more_seeds_less_noise_and_less_power_make_smaller_differences_detectable():
    # research/trust.md 4.9, by simulation.
    assert detectable(0.01, 5, 8) == pytest.approx(0.0184, abs=0.0005)
    assert (
        detectable(0.01, 3, 3)
        > detectable(0.01, 3, 8)
        > detectable(0.01, 5, 8)
        > detectable(0.01, 8, 16)
    )
    assert detectable(0.02, 5, 8) == pytest.approx(2 * detectable(0.01, 5, 8))
    assert (
        detectable(0.01, 5, 8, power=0.9)
        > detectable(0.01, 5, 8)
        > detectable(0.01, 5, 8, power=0.3)
    )
    assert detectable(0.01, 5, 8, se_test=0.004) > detectable(0.01, 5, 8)
    assert detectable(0.0, 2, 2) == 0 and detectable(0.01, 2, 500, power=0.999) < math.inf
    for wrong in [
        (-0.1, 5, 8, 0.8),
        (0.1, 1, 8, 0.8),
        (0.1, 5, 8, 1.0),
        (0.1, 5, 8, 0.02),
        (math.nan, 5, 8, 0.8),
    ]:
        with pytest.raises(ValueError, match="needs"):
            detectable(*wrong[:3], power=wrong[3])


def test_without_a_test_term_the_interval_is_that_of_welch():
    candidate = arm(70, 74, 71, 78, 75)
    control = arm(68, 66, 69, 71, 65, 70, 66, 69)
    expected = stats.ttest_ind(accuracies(candidate), accuracies(control), equal_var=False)
    effect = replace(compare(candidate, control), se_test=0.0)
    half = stats.t.ppf(0.975, effect.df) * effect.se_seed
    assert (effect.delta - half, effect.delta + half) == pytest.approx(
        tuple(expected.confidence_interval(0.95))
    )
    assert effect.mean_candidate == pytest.approx(0.736) and effect.mean_control == pytest.approx(
        0.68
    )
    assert effect.sd_candidate == pytest.approx(accuracies(candidate).std(ddof=1))
    assert (effect.n_candidate, effect.n_control, effect.delta) == (5, 8, pytest.approx(0.056))


def test_swapping_the_arms_turns_the_effect_round():
    lab = world(7)
    test_set = world(7).test_set()
    better = lab.train(replace(CONTROL, accuracy=0.73), test_set, 5)
    other = lab.train(CONTROL, test_set, 8)
    forth = compare(better, other)
    back = compare(other, better)
    assert (back.delta, back.low, back.high) == pytest.approx(
        (-forth.delta, -forth.high, -forth.low)
    )
    assert back.p_value == pytest.approx(1 - forth.p_value) and back.p_better == pytest.approx(
        1 - forth.p_better
    )


def test_the_p_value_and_the_interval_agree():
    rng = np.random.default_rng(8)
    effects = []
    for _ in range(1500):
        lab = World(rng, examples=100)
        control = Code(shift=rng.uniform(0, 0.1))
        candidate = Code(
            accuracy=rng.uniform(0.65, 0.85),
            shift=rng.uniform(0, 0.2),
            by_example=rng.uniform(0, 1),
        )
        test_set = lab.test_set()
        runs = lab.train(candidate, test_set, int(rng.integers(2, 6)))
        effects.append(compare(runs, lab.train(control, test_set, int(rng.integers(2, 9)))))
    assert (
        0.1 < supported(effects) < 0.9 and np.mean([effect.se_test > 0 for effect in effects]) > 0.5
    )
    assert all((effect.p_value < 0.025) == (effect.low > 0) for effect in effects)
    assert all((effect.p_value > 0.975) == (effect.high < 0) for effect in effects)
    assert all(effect.low < effect.delta < effect.high for effect in effects)


@pytest.mark.parametrize(
    ("candidate", "smallest", "decision"),
    [
        ((71, 69, 74, 70, 70), 0.005, "above"),
        ((70, 64, 67, 69, 66), 0.02, "below"),
        ((69, 67, 70, 71, 68), 0.005, "above"),
    ],
)
def test_so_many_more_seeds_decide_and_one_fewer_does_not(candidate, smallest, decision):
    effect = replace(compare(arm(*candidate), arm(68, 66, 72, 71, 65, 70, 66, 69)), se_test=0.002)
    more = seeds_to_decide(effect, smallest)
    assert more is not None and more > 0
    assert _decision(effect, more, smallest) == decision
    assert all(_decision(effect, fewer, smallest) is None for fewer in range(more))


def _decision(effect: Effect, more: int, smallest: float) -> str | None:
    n1 = effect.n_candidate + more
    n0 = effect.n_control + more
    v1 = effect.sd_candidate**2 / n1
    v0 = effect.sd_control**2 / n0
    df = (v1 + v0) ** 2 / (v1**2 / (n1 - 1) + v0**2 / (n0 - 1))
    half = stats.t.ppf(0.975, df) * math.sqrt(v1 + v0 + effect.se_test**2)
    if effect.delta - half > 0:
        return "above"
    return "below" if effect.delta + half < smallest else None


def test_a_decided_effect_needs_no_more_seeds_and_one_beyond_the_test_set_gets_no_number():
    decided = compare(arm(80, 82, 81), arm(60, 61, 62, 60))
    assert decided.low > 0 and seeds_to_decide(decided, 0.005) == 0
    worse = compare(arm(60, 61, 62, 60), arm(80, 82, 81))
    assert worse.high < 0 and seeds_to_decide(worse, 0.005) == 0
    open_one = replace(compare(arm(70, 69, 74), arm(68, 66, 72, 71)), delta=0.02, se_test=0.0)
    assert seeds_to_decide(open_one, 0.02) is not None
    assert seeds_to_decide(replace(open_one, se_test=0.02), 0.02) is None
    assert seeds_to_decide(replace(open_one, delta=0.0), 0.0) is None


def test_seeds_that_are_all_equal_give_no_difference_and_no_width():
    # 0.1 three times and 0.1 six times: means of shares
    # would differ by rounding, with an error of 0
    effect = compare(arm(1, 1, 1, examples=10), arm(1, 1, 1, 1, 1, 1, examples=10))
    assert (effect.delta, effect.low, effect.high, effect.p_value, effect.p_better) == (
        0,
        0,
        0,
        0.5,
        0.5,
    )
    assert (effect.sd_candidate, effect.sd_control, effect.se_seed, effect.se_test, effect.df) == (
        0,
        0,
        0,
        0,
        2,
    )
    assert seeds_to_decide(effect, 0.005) == 0  # there is no effect of interest


def test_without_variance_between_seeds_the_test_set_alone_gives_the_width():
    effect = compare(arm(60, 60), arm(50, 50, 50))
    assert (effect.se_seed, effect.df) == (0, 1)
    # 10 of 100 examples turned from wrong to right.
    assert effect.se_test == pytest.approx(math.sqrt(0.1 * 0.9 / 99))
    assert effect.low < 0 < effect.high and effect.p_value > 0.025
    sure = compare(arm(60, 60, 60, 60, 60), arm(50, 50, 50, 50, 50))
    assert sure.low > 0 and sure.p_value < 0.025


def test_every_example_turned_round_is_certain_in_both_directions():
    right = arm(100, 100)
    wrong = arm(0, 0)
    assert (
        compare(right, wrong).low,
        compare(right, wrong).p_value,
        compare(right, wrong).p_better,
    ) == (1, 0, 1)
    assert (
        compare(wrong, right).high,
        compare(wrong, right).p_value,
        compare(wrong, right).p_better,
    ) == (-1, 1, 0)


def test_two_seeds_and_one_arm_without_variance_give_finite_figures():
    for candidate, control in [
        ((70, 72), (60, 65)),
        ((70, 70), (60, 65)),
        ((70, 72), (60, 60)),
        ((70, 70), (60, 61, 62, 63, 64)),
    ]:
        effect = compare(arm(*candidate), arm(*control))
        assert all(math.isfinite(value) for value in vars(effect).values())
        assert effect.low < effect.delta < effect.high
        assert (
            min(len(candidate), len(control)) - 1 <= effect.df <= len(candidate) + len(control) - 2
        )


def test_ties_between_seeds_count_half():
    assert compare(arm(70, 72), arm(70, 71)).p_better == pytest.approx((0.5 + 0 + 1 + 1) / 4)


def test_what_cannot_be_compared_is_refused():
    two = arm(60, 61)
    for candidate, control, text in [
        (arm(60), two, "candidate: needs at least 2 seeds, got 1"),
        (two, arm(60), "control: needs at least 2 seeds, got 1"),
        (two[:0], two, "candidate: needs at least 2 seeds, got 0"),
        (two, arm(60, 61, examples=90), "candidate has 100 examples and control 90"),
        (two[:, :1], two[:, :1], "needs at least 2 examples, got 1"),
        (two.mean(axis=1), two, "candidate: expected booleans"),
        (two, two.astype(float), "control: expected booleans"),
    ]:
        with pytest.raises(ValueError, match=text):
            compare(candidate, control)


def test_first_seeds_that_are_on_average_not_above_the_control_stop_the_campaign():
    control = arm(60, 70, 65)
    assert futile(arm(64, 65), control) and not futile(arm(65, 66), control)
    assert futile(arm(65, 65), control)  # equal is not above
    assert futile(arm(1, 1, 1, examples=10), arm(1, 1, examples=10)) and not futile(
        arm(66), control
    )
    with pytest.raises(ValueError, match="needs at least 1 seeds"):
        futile(control[:0], control)
    with pytest.raises(ValueError, match="not the same test set"):
        futile(arm(5, 5, examples=10), control)


def test_q_values_are_those_of_benjamini_and_hochberg():
    assert benjamini_hochberg([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.02, 0.04, 0.04, 0.02])
    # 0.020 * 3 is above 0.021 * 3 / 2.
    assert benjamini_hochberg([0.5, 0.020, 0.021]) == pytest.approx([0.5, 0.0315, 0.0315])
    assert (
        benjamini_hochberg([0.9, 1.0]) == [1.0, 1.0]
        and benjamini_hochberg([0.3]) == [0.3]
        and benjamini_hochberg([]) == []
    )
    many = list(np.random.default_rng(9).uniform(size=50) ** 3)
    assert benjamini_hochberg(many) == pytest.approx(list(stats.false_discovery_control(many)))
    for wrong in (math.nan, -0.1, 1.1):
        with pytest.raises(ValueError, match="between 0 and 1"):
            benjamini_hochberg([0.5, wrong])


def test_one_idea_in_forty_wins_by_chance():
    assert expected_false_wins(40) == pytest.approx(1.0) and expected_false_wins(0) == 0

"""The gate's statistics against answers that are known, and against the libraries that others would use."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import scipy.stats

from recency_export.evidence import LoggedActions
from recency_export.gate_settings import OffPolicySettings, Sampling
from recency_export.judgement import paired_interval, resampled_sums
from recency_export.off_policy import (
    check_off_policy,
    doubly_robust,
    effective_samples,
    importance_weights,
    inverse_propensity,
    self_normalised,
)

FIXTURE = Path(__file__).parent / "fixtures" / "open_bandit.csv"
SAMPLING = Sampling(resamples=2_000, seed=5)
ALONE = np.zeros(0, dtype=np.int64)
Floats = npt.NDArray[np.float64]


def test_a_paired_interval_is_what_scipy_bootstraps() -> None:
    difference = np.random.default_rng(1).normal(0.01, 0.1, 400)
    ours = paired_interval(difference, ALONE, SAMPLING)
    theirs = scipy.stats.bootstrap(
        (difference,), np.mean, n_resamples=5_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert ours.value == pytest.approx(difference.mean())
    assert ours.low == pytest.approx(theirs.low, abs=1e-3)
    assert ours.high == pytest.approx(theirs.high, abs=1e-3)


def test_cases_of_one_user_count_as_one_piece_of_evidence() -> None:
    by_user = np.random.default_rng(3).normal(0.01, 0.1, 30)
    # Thirty users with twenty equal cases each: as sure as thirty cases, not as six hundred.
    difference, user = np.repeat(by_user, 20), np.repeat(np.arange(30), 20)
    grouped, single = paired_interval(difference, user, SAMPLING), paired_interval(difference, ALONE, SAMPLING)
    few = paired_interval(by_user, ALONE, SAMPLING)
    assert grouped.high - grouped.low == pytest.approx(few.high - few.low, rel=0.05)
    assert single.high - single.low < 0.3 * (grouped.high - grouped.low)


def test_users_of_different_sizes_are_weighed_by_their_cases() -> None:
    found = paired_interval(np.array([1.0, 0.0, 0.0, 0.0]), np.array([7, 9, 9, 9]), SAMPLING)
    assert found.value == 0.25
    assert (found.low, found.high) == (0.0, 1.0)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    difference = np.random.default_rng(4).normal(0, 1, 50)
    assert paired_interval(difference, ALONE, SAMPLING) == paired_interval(difference, ALONE, SAMPLING)
    assert paired_interval(difference, ALONE, SAMPLING) != paired_interval(difference, ALONE, replace(SAMPLING, seed=6))


def test_an_interval_of_a_true_mean_covers_it_about_as_often_as_it_says() -> None:
    sampling, rng = Sampling(resamples=400, confidence=0.9, seed=0), np.random.default_rng(8)
    covered = 0
    for _ in range(200):
        found = paired_interval(rng.normal(0, 1, 80), ALONE, sampling)
        covered += found.low <= 0.0 <= found.high
    assert 0.82 <= covered / 200 <= 0.96


def test_many_rows_are_drawn_in_parts_without_a_difference() -> None:
    sums = resampled_sums(np.ones((300_000, 2)), resamples=20, seed=0)
    assert sums.shape == (20, 2)
    assert (sums == 300_000).all()


# --- off-policy ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def logged() -> dict[str, Floats]:
    read = np.genfromtxt(FIXTURE, delimiter=",", names=True, skip_header=3)
    return {name: read[name] for name in read.dtype.names}


def test_all_three_estimators_say_what_obp_says_on_open_bandit_rows(logged: dict[str, Floats]) -> None:
    weight = importance_weights(logged["target"], logged["propensity"])
    # From obp 0.4.1: InverseProbabilityWeighting, SelfNormalizedInverseProbabilityWeighting, DoublyRobust.
    ips = inverse_propensity(logged["click"], weight, SAMPLING)
    snips = self_normalised(logged["click"], weight, SAMPLING)
    dr = doubly_robust(logged["click"], weight, logged["estimated"], logged["target_value"], SAMPLING)
    assert ips.interval.value == pytest.approx(0.13825088087280618, rel=1e-5)
    assert snips.interval.value == pytest.approx(0.14787817949711862, rel=1e-5)
    assert dr.interval.value == pytest.approx(0.13843332472261446, rel=1e-5)
    for estimate in (ips, snips, dr):
        assert estimate.interval.low < estimate.interval.value < estimate.interval.high
        assert 100 < estimate.effective < len(weight)


def synthetic(rows: int, seed: int) -> tuple[LoggedActions, float, float]:
    """Four items shown by a known policy; the true values of a better and of a worse policy."""
    rng = np.random.default_rng(seed)
    clicks, shown = np.array([0.1, 0.2, 0.3, 0.6]), np.array([0.4, 0.3, 0.2, 0.1])
    good, bad = np.array([0.1, 0.1, 0.2, 0.6]), np.array([0.6, 0.2, 0.1, 0.1])
    item = rng.choice(4, rows, p=shown)
    reward = (rng.random(rows) < clicks[item]).astype(np.float64)
    # A reward model that is off by a factor.
    model = 0.5 * clicks
    actions = LoggedActions(
        reward, shown[item], good[item], bad[item], model[item],
        np.full(rows, float(good @ model)), np.full(rows, float(bad @ model)),
    )  # fmt: skip
    return actions, float(good @ clicks), float(bad @ clicks)


def test_estimates_find_the_true_value_of_a_policy_that_was_never_shown() -> None:
    logged, good, _ = synthetic(20_000, seed=1)
    weight = importance_weights(logged.candidate, logged.propensity)
    for estimate in (
        inverse_propensity(logged.reward, weight, SAMPLING),
        self_normalised(logged.reward, weight, SAMPLING),
        doubly_robust(logged.reward, weight, logged.estimated, logged.candidate_value, SAMPLING),
    ):
        assert estimate.interval.low < good < estimate.interval.high
        assert estimate.interval.value == pytest.approx(good, abs=0.02)


def test_equal_policies_have_every_row_as_an_effective_sample() -> None:
    assert effective_samples(np.ones(50)) == 50
    assert effective_samples(np.array([1.0, 0.0, 0.0])) == 1
    assert effective_samples(np.zeros(3)) == 0


@pytest.mark.parametrize("model", [True, False])
def test_a_worse_policy_fails_and_a_better_one_passes(model: bool) -> None:
    better, good, bad = synthetic(5_000, seed=2)
    if not model:
        none = np.zeros(0)
        better = replace(better, estimated=none, candidate_value=none, parent_value=none)
    worse = replace(
        better,
        candidate=better.parent, parent=better.candidate,
        candidate_value=better.parent_value, parent_value=better.candidate_value,
    )  # fmt: skip
    passes = check_off_policy(better, OffPolicySettings(), SAMPLING)
    fails = check_off_policy(worse, OffPolicySettings(), SAMPLING)
    assert (passes.passed, fails.passed) == (True, False)
    assert passes.value == pytest.approx(good - bad, abs=0.05)
    assert ("DR" in passes.note) == model


def test_few_effective_samples_say_nothing() -> None:
    logged, _, _ = synthetic(40, seed=3)
    found = check_off_policy(logged, OffPolicySettings(), SAMPLING)
    assert found.passed is None
    assert "too few" in found.note
    assert check_off_policy(LoggedActions(), OffPolicySettings(), SAMPLING).passed is None


@pytest.mark.parametrize(
    ("field", "value"), [("propensity", 0.0), ("propensity", 1.5), ("candidate", np.nan), ("reward", np.inf)]
)
def test_a_propensity_or_reward_that_cannot_be_is_a_reason(field: str, value: float) -> None:
    logged, _, _ = synthetic(500, seed=4)
    array = getattr(logged, field).copy()
    array[3] = value
    assert check_off_policy(replace(logged, **{field: array}), OffPolicySettings(), SAMPLING).passed is False


def test_a_weight_is_cut_off_so_that_one_chance_row_does_not_decide() -> None:
    assert importance_weights(np.array([1.0]), np.array([1e-6]), largest=100.0).tolist() == [100.0]

"""Off-policy estimates beside the truth: the policy's chances, the reward model, and who lands."""

from __future__ import annotations

import numpy as np
import pytest

from recency_bench.open_bandit import Shown, chance_to_land, judged, reward_model, thompson
from recency_export.gate_settings import Sampling
from recency_export.judgement import Interval

SAMPLING = Sampling(resamples=200, confidence=0.95, seed=0)
RATES = np.array([0.05, 0.1, 0.2, 0.4, 0.6])


def shown_by(chance_AP: np.ndarray, rows: int, seed: int) -> Shown:
    rng = np.random.default_rng(seed)
    place = rng.integers(0, 3, rows)
    arm = np.array([rng.choice(len(RATES), p=chance_AP[:, one]) for one in place])
    return Shown(arm, place, (rng.random(rows) < RATES[arm]).astype(np.float64), chance_AP[arm, place])


def test_thompson_sampling_puts_the_arm_that_it_knows_to_be_best_first() -> None:
    chance_AP = thompson(np.array([1.0, 50.0, 900.0]), np.array([99.0, 950.0, 100.0]), np.random.default_rng(0))
    assert chance_AP.sum(axis=0) == pytest.approx([1.0, 1.0, 1.0])
    assert chance_AP[2, 0] == pytest.approx(1.0, abs=1e-3)


def test_estimates_from_random_slates_land_where_many_clicks_tell_the_truth() -> None:
    even, better = np.full((5, 3), 0.2), np.repeat(np.array([[0.05], [0.05], [0.1], [0.3], [0.5]]), 3, axis=1)
    campaign = judged("made", shown_by(even, 40_000, 1), shown_by(better, 1_000, 2), better, SAMPLING)
    assert set(campaign.lands) == {"IPS", "SNIPS", "DR"}
    assert campaign.estimates["DR"].interval.value == pytest.approx(float((better[:, 0] * RATES).sum()), abs=0.02)


def test_no_click_explains_itself() -> None:
    shown = Shown(np.zeros(2, np.int64), np.zeros(2, np.int64), np.array([1.0, 0.0]), np.ones(2))
    rng = np.random.default_rng(0)
    while True:
        estimated, _ = reward_model(shown, np.ones((1, 3)), rng)
        if estimated[0] != estimated[1]:
            break
    # Each was told by the other alone.
    assert list(estimated) == [0.0, 1.0]


def test_an_estimate_as_certain_as_the_truth_lands_five_times_in_six() -> None:
    certain, truth = Interval(0.0, 0.0, 0.0), Interval(0.0, -1.0, 1.0)
    assert chance_to_land(certain, truth) == pytest.approx(0.95, abs=1e-3)
    assert chance_to_land(truth, truth) == pytest.approx(0.834, abs=1e-3)

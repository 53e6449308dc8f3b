"""Rank metrics, reference models and calibration against what can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from recency_export.calibration import calibrate, calibration_error, sigmoid
from recency_export.errors import NonFinite
from recency_export.evaluate import (
    decayed_popularity,
    ease_weights,
    gram_of_users,
    gram_of_windows,
    rank_metrics,
    ranks_in_slates,
    ranks_of,
)

NOTHING = np.zeros(0, dtype=np.int64)


def test_a_tie_counts_against_the_target_and_what_is_left_out_does_not_count() -> None:
    scores = np.array([[3.0, 2.0, 2.0, 2.0, 1.0]], dtype=np.float32)
    assert ranks_of(scores, np.array([1]), [NOTHING]).tolist() == [4]
    assert ranks_of(scores, np.array([1]), [np.array([0, 3])]).tolist() == [2]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_score_that_is_not_finite_is_no_rank(bad: float) -> None:
    with pytest.raises(NonFinite):
        ranks_of(np.array([[bad, 1.0]], dtype=np.float32), np.array([1]), [NOTHING])


def test_metrics_of_ranks_one_two_and_eleven() -> None:
    metrics = rank_metrics(np.array([1, 2, 11]))
    assert metrics.hit_rate == pytest.approx(2 / 3)
    assert metrics.mrr == pytest.approx(1.5 / 3)
    assert metrics.ndcg == pytest.approx((1 + 1 / np.log2(3)) / 3)
    assert rank_metrics(NOTHING).cases == 0


def test_a_target_that_the_slate_does_not_hold_is_a_miss() -> None:
    ranks = ranks_in_slates([["a", "b"], ["c"]], ["b", "x"])
    assert ranks[0] == 2
    assert rank_metrics(ranks).hit_rate == 0.5


def test_windows_count_a_pair_by_the_windows_that_hold_it() -> None:
    gram = gram_of_windows([np.array([0, 1, 2])], 3, window=2)
    np.testing.assert_allclose(gram * 2, [[2, 1, 0], [1, 2, 1], [0, 1, 2]])
    assert gram_of_users([np.array([0, 1, 1])], 3)[0, 1] == 1


def test_ease_is_the_ridge_regression_of_each_item_on_the_others() -> None:
    rng = np.random.default_rng(0)
    x = (rng.random((50, 4)) < 0.5).astype(float)
    weights = ease_weights(x.T @ x, 2.0)
    others = [1, 2, 3]
    expected = np.linalg.solve(x[:, others].T @ x[:, others] + 2.0 * np.eye(3), x[:, others].T @ x[:, 0])
    np.testing.assert_allclose(weights[others, 0], expected, rtol=1e-4)
    assert np.diag(weights).tolist() == [0.0] * 4


def test_popularity_decays_and_sees_only_what_came_before() -> None:
    day = 86_400_000_000
    scores = decayed_popularity(
        np.array([0, 1]), np.array([0, 7 * day]), 2, np.array([14 * day, 0, 7 * day]), half_life_seconds=7 * 86_400
    )
    np.testing.assert_allclose(scores, [[0.25, 0.5], [0, 0], [0.5, 0]])


def test_calibration_finds_the_curve_that_made_the_data() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(2.0, 3.0, 40_000).astype(np.float32)
    positive = rng.random(40_000) < sigmoid(0.7 * logits.astype(np.float64) - 2.0)
    found = calibrate(logits, positive, "sampled")
    assert found.scale == pytest.approx(0.7, abs=0.03)
    assert found.shift == pytest.approx(-2.0, abs=0.08)
    assert calibration_error(found, logits, positive) < 0.01


def test_a_logit_that_says_the_opposite_gives_everything_the_base_rate() -> None:
    logits = np.linspace(-1, 1, 100).astype(np.float32)
    found = calibrate(logits, logits < -0.5, "sampled")
    assert found.scale == 0.0
    assert sigmoid(np.array([found.shift]))[0] == pytest.approx(0.25, abs=0.01)

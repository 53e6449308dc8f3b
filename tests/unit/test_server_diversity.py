"""Slates that differ, and slates that explore."""

from __future__ import annotations

import numpy as np
import pytest

from recency_features.exploration import explore, uncertainty
from recency_server.diversity import determinantal, intra_list_distance, maximal_marginal_relevance

RNG = np.random.default_rng(0)
CLUSTERS = np.repeat(np.eye(4, 8, dtype=np.float32), 10, axis=0) + RNG.normal(0, 0.05, (40, 8)).astype(np.float32)
SCORES = np.linspace(3.0, 0.0, 40, dtype=np.float32)


@pytest.mark.parametrize("rerank", [maximal_marginal_relevance, determinantal])
def test_without_diversity_the_order_is_by_score(rerank):
    assert rerank(SCORES, CLUSTERS, 0.0, 10) == list(range(10))


@pytest.mark.parametrize("rerank", [maximal_marginal_relevance, determinantal])
def test_more_diversity_makes_slates_that_differ_more_and_score_less(rerank):
    slates = [rerank(SCORES, CLUSTERS, share, 10) for share in (0.0, 0.3, 0.6, 0.9)]
    distances = [intra_list_distance(CLUSTERS[slate]) for slate in slates]
    scores = [SCORES[slate].sum() for slate in slates]
    assert distances == sorted(distances)
    assert distances[-1] > distances[0] + 0.5
    assert scores == sorted(scores, reverse=True)
    assert all(len(set(slate)) == 10 for slate in slates)


def test_the_greedy_slate_is_the_one_of_greatest_determinant_step_by_step():
    scores, vectors = SCORES[:12], RNG.normal(size=(12, 5)).astype(np.float32)
    order = determinantal(scores, vectors, 0.5, 4)
    relevance = (scores - scores.min()) / (scores.max() - scores.min())
    weight = np.exp(1.0 * (relevance - 1.0) / 2.0)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    kernel = weight[:, None] * (unit @ unit.T) * weight
    for size in range(1, 5):
        before = order[: size - 1]
        volumes = {k: np.linalg.det(kernel[np.ix_([*before, k], [*before, k])]) for k in range(12) if k not in before}
        assert volumes[order[size - 1]] == pytest.approx(max(volumes.values()), rel=1e-4)


def test_equal_items_fill_a_slate_by_score():
    assert determinantal(SCORES[:6], np.ones((6, 3), dtype=np.float32), 0.5, 4) == [0, 1, 2, 3]
    assert determinantal(np.zeros(0, np.float32), np.zeros((0, 3), np.float32), 0.5, 4) == []


def test_the_chance_that_is_told_is_how_often_it_happens():
    unsure, epsilon = uncertainty(np.array([100, 10, 0, 0], dtype=np.float32)), 0.4
    rng = np.random.default_rng(1)
    seen: dict[tuple[int, int], list[float]] = {}
    for _ in range(20_000):
        order, chances = explore(unsure, epsilon, 2, rng)
        seen.setdefault((order[0], order[1]), []).append(chances[0] * chances[1])
    for chances in seen.values():
        assert chances == pytest.approx([chances[0]] * len(chances))
        assert len(chances) / 20_000 == pytest.approx(chances[0], abs=0.01)
    assert sum(chances[0] for chances in seen.values()) == pytest.approx(1.0)


def test_without_exploration_the_best_are_placed_for_certain():
    assert explore([1.0] * 5, 0.0, 3, np.random.default_rng(0)) == ([0, 1, 2], [1.0, 1.0, 1.0])

"""Exposure that nobody speaks for is found, and honest popularity is not."""

from dataclasses import replace

import numpy as np
import pytest

from recency_export.evidence import Exposure
from recency_export.gate_settings import PoisoningSettings
from recency_export.poisoning import check_poisoning, exposure_scores, support_of

ITEMS, SLATES = 400, 500
SETTINGS = PoisoningSettings()


def calm(seed: int = 0) -> Exposure:
    """Two releases whose slates differ as those of two trainings do, and a window of honest events."""
    rng = np.random.default_rng(seed)
    taste = rng.dirichlet(np.full(ITEMS, 0.3))
    parent = rng.poisson(taste * SLATES * 10).astype(float)
    candidate = rng.poisson(taste * rng.lognormal(0, 0.2, ITEMS) * SLATES * 10).astype(float)
    users = np.repeat(np.arange(60), 50)
    return Exposure(
        item_ids=tuple(f"item-{number}" for number in range(ITEMS)),
        slates=SLATES,
        candidate=np.minimum(candidate, SLATES),
        parent=np.minimum(parent, SLATES),
        users=users,
        items=rng.choice(ITEMS, len(users), p=taste),
    )


def with_burst(exposure: Exposure, item: int, users: int, events: int, shown: float) -> Exposure:
    """`users` new users act `events` times on an item, which then stands in that share of the slates."""
    candidate = exposure.candidate.copy()
    candidate[item] = shown * SLATES
    parent = exposure.parent.copy()
    parent[item] = 1.0
    who = 1_000 + np.arange(events) % users
    return replace(
        exposure,
        candidate=candidate,
        parent=parent,
        users=np.concatenate([exposure.users, who]),
        items=np.concatenate([exposure.items, np.full(events, item)]),
    )


@pytest.mark.parametrize("seed", range(20))
def test_an_honest_release_passes(seed: int) -> None:
    found = check_poisoning(calm(seed), SETTINGS)
    assert found.passed, found.note


def test_a_burst_of_three_users_is_named_with_who_is_behind_it() -> None:
    found = check_poisoning(with_burst(calm(), item=7, users=3, events=600, shown=0.3), SETTINGS)
    assert found.passed is False
    assert "item-7" in found.note
    # Twenty people had taken it honestly; the burst drowns them.
    assert "623 new events of 23 users, worth 3.2" in found.note
    assert found.metrics["poisoning_suspect_items"] == 1


def test_an_item_that_gained_without_any_event_is_named() -> None:
    exposure = calm()
    candidate, parent = exposure.candidate.copy(), exposure.parent.copy()
    candidate[9], parent[9] = 200, 0
    keep = exposure.items != 9
    moved = replace(
        exposure, candidate=candidate, parent=parent, users=exposure.users[keep], items=exposure.items[keep]
    )
    found = check_poisoning(moved, SETTINGS)
    assert found.passed is False
    assert "0 new events of 0 users" in found.note


def test_the_same_gain_with_many_people_behind_it_passes() -> None:
    found = check_poisoning(with_burst(calm(), item=7, users=60, events=600, shown=0.3), SETTINGS)
    assert found.passed, found.note
    assert found.metrics["poisoning_abnormal_items"] == 1


def test_a_new_item_needs_people_behind_it_too() -> None:
    few = with_burst(calm(), item=7, users=2, events=100, shown=0.2)
    many = with_burst(calm(), item=7, users=40, events=100, shown=0.2)
    for exposure, passes in ((few, False), (many, True)):
        exposure.parent[7] = np.nan
        assert check_poisoning(exposure, SETTINGS).passed is passes


def test_without_a_parent_nothing_is_judged() -> None:
    assert check_poisoning(Exposure(), SETTINGS).passed is None


def test_an_exposure_that_is_not_finite_is_a_reason() -> None:
    exposure = calm()
    exposure.candidate[0] = np.nan
    assert check_poisoning(exposure, SETTINGS).passed is False


def test_support_counts_users_events_and_how_many_voices_they_are() -> None:
    support = support_of(np.array([1, 1, 2, 3, 3, 3, 9]), np.array([0, 0, 0, 1, 1, 1, 5]), items=3)
    assert support.users.tolist() == [2, 1, 0]
    assert support.events.tolist() == [3, 3, 0]
    assert support.voices.tolist() == [9 / 5, 1.0, 0.0]


def test_scores_do_not_move_when_everything_moves_alike() -> None:
    parent = np.full(50, 20.0)
    assert np.abs(exposure_scores(2 * parent, parent)).max() == 0
    assert exposure_scores(np.zeros(50), np.zeros(50)).tolist() == [0.0] * 50


def test_one_item_out_of_line_scores_by_its_distance_from_the_rest() -> None:
    rng = np.random.default_rng(0)
    parent = np.full(200, 99.0)
    candidate = 100 * np.exp(rng.normal(0, 0.2, 200)) - 1
    candidate[3] = 100 * np.exp(1.2) - 1
    assert exposure_scores(candidate, parent)[3] == pytest.approx(6.0, abs=1.0)

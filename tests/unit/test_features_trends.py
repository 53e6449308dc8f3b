"""Trends are one fold: the order of events and of batches does not matter, a saved state goes on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recency.v1 import event_pb2
from recency_features.events import CUSTOM_TYPES, EVENT_RULES, TYPE_COUNT, EventRule, custom_types, rule
from recency_features.history import MICROS_PER_SECOND, Interaction
from recency_features.trends import RATE_STRENGTH, Trends, rates, smoothed, to_fold
from recency_store.memory import MemoryStore

DAY_SECONDS = 86_400
NOW = 1_700_000_000 * MICROS_PER_SECOND
ITEMS = ["a", "b", "c", "d"]

interactions = st.builds(
    Interaction,
    item_id=st.sampled_from(ITEMS),
    type=st.integers(0, 20),
    time_micros=st.integers(0, 300 * DAY_SECONDS).map(lambda age: NOW - age * MICROS_PER_SECOND),
)


def counts(trends: Trends, now: int = NOW) -> np.ndarray:
    rows = np.array([trends.row_of.get(item, -1) for item in ITEMS])
    return trends.counts(rows, now)


def by_definition(events: list[Interaction], half_lives: np.ndarray) -> np.ndarray:
    expected = np.zeros((len(ITEMS), len(half_lives)))
    for event in events:
        age_seconds = (NOW - event.time_micros) / MICROS_PER_SECOND
        expected[ITEMS.index(event.item_id)] += rule(event.type).trend_weight * 0.5 ** (age_seconds / half_lives)
    return expected


@given(st.lists(interactions, max_size=30), st.randoms(use_true_random=False), st.integers(1, 5))
def test_the_order_and_the_batches_do_not_matter(events, random, batches):
    whole = Trends()
    whole.fold(events)
    shuffled = list(events)
    random.shuffle(shuffled)
    parts = Trends()
    for start in range(batches):
        parts.fold(shuffled[start::batches])
    np.testing.assert_allclose(counts(parts), counts(whole), rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(counts(whole), by_definition(events, whole.half_lives), rtol=1e-5, atol=1e-9)


@given(st.lists(interactions, max_size=20), st.lists(interactions, max_size=20))
def test_a_saved_state_goes_on_as_if_never_saved(before, after):
    straight = Trends()
    straight.fold(before)
    saved = Trends.from_bytes(straight.to_bytes())
    assert saved.row_of == straight.row_of
    np.testing.assert_array_equal(counts(saved), counts(straight))
    for trends in (straight, saved):
        trends.fold(after)
    np.testing.assert_array_equal(counts(saved), counts(straight))
    assert saved.to_bytes() == straight.to_bytes()


def test_a_count_halves_each_half_life():
    trends = Trends([10.0])
    trends.fold([Interaction("a", event_pb2.EVENT_TYPE_CLICK, NOW)])
    for half_lives, expected in ((0, 1.0), (1, 0.5), (3, 0.125)):
        at = NOW + half_lives * 10 * MICROS_PER_SECOND
        assert trends.counts(np.array([0]), at)[0, 0] == pytest.approx(expected)


def test_a_clock_that_runs_behind_inflates_nothing():
    trends = Trends()
    trends.fold([Interaction("a", event_pb2.EVENT_TYPE_CLICK, NOW)])
    assert (counts(trends, NOW - 30 * DAY_SECONDS * MICROS_PER_SECOND)[0] <= 1.0).all()


def test_an_unknown_row_counts_nothing_and_ever_more_items_fit():
    trends = Trends()
    assert (trends.counts(np.array([-1, -1]), NOW) == 0).all()
    trends.fold([Interaction(f"item {n}", event_pb2.EVENT_TYPE_CLICK, NOW) for n in range(3_000)])
    assert trends.counts(np.arange(3_000), NOW) == pytest.approx(1.0)


def test_every_event_type_of_the_api_has_a_rule():
    types = set(event_pb2.EventType.values()) - {event_pb2.EVENT_TYPE_UNSPECIFIED}
    assert set(EVENT_RULES) == types | set(CUSTOM_TYPES.values())
    assert max(EVENT_RULES) < TYPE_COUNT
    for number in (event_pb2.EVENT_TYPE_IMPRESSION, event_pb2.EVENT_TYPE_SEARCH):
        assert not rule(number).in_history
    assert rule(999) == rule(event_pb2.EVENT_TYPE_IMPRESSION)


def test_what_nobody_took_up_is_worth_what_its_segments_are_worth():
    counts = np.array([6.0, 0.0, 0.0, 1.0], dtype=np.float32)
    hot, cold = np.array([0, 1]), np.array([2, 3])
    assert smoothed(counts, [hot, cold]).tolist() == [9.0, 3.0, 0.5, 1.5]
    assert smoothed(counts, [hot, cold, np.array([1, 2]), np.array([], dtype=np.intp)]).tolist() == [
        9.0,
        1.5,
        0.25,
        1.5,
    ]
    assert smoothed(counts, []).tolist() == counts.tolist()


def columns(trends: Trends, now: int = NOW) -> np.ndarray:
    rows = np.array([trends.row_of.get(item, -1) for item in ITEMS])
    return trends.columns(rows, now, len(trends.half_lives) + 1)


def test_without_impressions_all_rates_are_one_and_nothing_is_said():
    taken = np.array([0.0, 1.0, 300.0], dtype=np.float32)
    assert rates(taken, np.zeros(3, dtype=np.float32)).tolist() == [1.0, 1.0, 1.0]
    assert rates(np.zeros(2, dtype=np.float32), np.array([9.0, 0.0], dtype=np.float32)).tolist() == [1.0, 1.0]
    trends = Trends()
    trends.fold([Interaction("a", event_pb2.EVENT_TYPE_CLICK, NOW)] * 7)
    assert columns(trends)[:, -1].tolist() == [0.0] * 4


def test_a_rate_is_smoothed_towards_that_of_its_segments_and_these_towards_all():
    taken = np.array([50.0, 0.0, 5.0, 0.0], dtype=np.float32)
    shown = np.array([100.0, 0.0, 500.0, 0.0], dtype=np.float32)
    everything = 55.0 / 600.0
    liked, passed = ((t + RATE_STRENGTH * everything) / (s + RATE_STRENGTH) for t, s in ((50.0, 100.0), (5.0, 500.0)))
    found = rates(taken, shown, [np.array([0, 1]), np.array([2, 3])]) * everything
    expected = [(50.0 + RATE_STRENGTH * liked) / 120.0, liked, (5.0 + RATE_STRENGTH * passed) / 520.0, passed]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert rates(taken, shown)[[1, 3]] == pytest.approx(1.0)


def test_what_is_shown_and_passed_by_loses_and_wins_again_when_it_is_taken_back():
    shown = [Interaction(item, event_pb2.EVENT_TYPE_IMPRESSION, NOW) for item in ("a", "b") * 1 for _ in range(40)]
    trends = Trends()
    trends.fold([*shown, *[Interaction("a", event_pb2.EVENT_TYPE_CLICK, NOW)] * 10])
    liked, passed, unknown, _ = columns(trends)[:, -1]
    assert passed < 0.0 < liked
    assert unknown == 0.0
    saved = Trends.from_bytes(trends.to_bytes())
    np.testing.assert_array_equal(columns(saved), columns(trends))
    # A rate says how often, not how much: it does not fade while nothing happens, it only becomes less certain.
    later = columns(trends, NOW + 7 * DAY_SECONDS * MICROS_PER_SECOND)[:, -1]
    assert passed < later[1] < 0.0 < later[0] < liked
    trends.fold(shown, sign=-1.0)
    np.testing.assert_allclose(columns(trends)[:, -1], 0.0, atol=1e-6)


def test_an_impression_is_one_of_each_item_that_it_lists_or_names():
    store = MemoryStore()
    listed, named, cited, click = (
        event_pb2.Event(event_id=str(number), user_id="u", type=event_pb2.EVENT_TYPE_IMPRESSION) for number in range(4)
    )
    listed.shown_item_ids.extend(["a", "b", "a"])
    named.item_id = "c"
    cited.recommendation_id = "not known"
    click.item_id, click.type = "d", event_pb2.EVENT_TYPE_CLICK
    for event in (listed, named, cited, click):
        event.event_time.FromMicroseconds(NOW)
    store.append([listed, named, cited, click])
    found = to_fold(store.scan_log())
    assert [(one.item_id, one.type) for one in found] == [("a", 1), ("b", 1), ("c", 1), ("d", 3)]


def test_a_custom_type_does_what_its_weight_says():
    types = custom_types({"glanced": 0.2, "subscribed": 2.0, "scrolled": 0})
    glanced, subscribed, scrolled = (rule(types[name]) for name in ("glanced", "subscribed", "scrolled"))
    assert glanced == EventRule(in_history=True, positive_weight=0.0, marks_seen=False, trend_weight=0.2)
    assert subscribed == EventRule(in_history=True, positive_weight=2.0, marks_seen=True, trend_weight=2.0)
    assert scrolled == EventRule(in_history=False, positive_weight=0.0, marks_seen=False, trend_weight=0.0)
    with pytest.raises(ValueError, match=r"custom\.liked is 0\.9; it must be one of 0, 0\.1"):
        custom_types({"liked": 0.9})

"""The leave-one-out split and the figures that are read from ranks."""

import numpy as np
import pytest

from recency.v1 import event_pb2, item_pb2
from recency_bench.quality import row
from recency_bench.split import leave_one_out
from recency_bench.summary import Latencies
from recency_store.memory import MemoryStore
from recency_store.records import NewItem


def _event(user: str, item: str, second: int, kind: int = event_pb2.EVENT_TYPE_CLICK) -> event_pb2.Event:
    event = event_pb2.Event(event_id=f"{user}-{item}-{second}-{kind}", user_id=user, item_id=item, type=kind)
    event.event_time.FromSeconds(second)
    return event


def _store(*events: event_pb2.Event) -> MemoryStore:
    store = MemoryStore()
    store.upsert_items([NewItem(item_pb2.Item(item_id=name, title=name)) for name in "abcde"], 0)
    store.append(list(events))
    return store


def test_each_users_last_positive_event_is_the_test_and_all_else_is_known():
    store = _store(
        _event("u", "a", 1), _event("u", "b", 3), _event("u", "c", 2), _event("v", "d", 5), _event("v", "e", 4)
    )
    split = leave_one_out(store)
    assert [(e.user_id, e.item_id) for e in split.test] == [("u", "b"), ("v", "d")]
    assert [e.item_id for e in split.known] == ["a", "c", "e"]


def test_equal_times_keep_the_order_of_the_log():
    split = leave_one_out(_store(_event("u", "a", 1), _event("u", "b", 1)))
    assert [e.item_id for e in split.test] == ["b"]


def test_a_view_is_no_test_and_a_user_with_one_click_is_not_tested():
    store = _store(_event("u", "a", 1), _event("u", "b", 2, event_pb2.EVENT_TYPE_VIEW))
    split = leave_one_out(store)
    assert not split.test
    assert len(split.known) == 2


def test_events_about_unknown_items_are_left_out():
    assert not leave_one_out(_store(_event("u", "a", 1), _event("u", "nowhere", 2))).test


def test_no_more_users_are_tested_than_asked_for():
    store = _store(*(_event(f"u{number}", item, second) for number in range(9) for second, item in enumerate("ab")))
    split = leave_one_out(store, max_cases=4)
    assert len(split.test) == 4
    assert len(split.known) == 14


def test_figures_count_the_first_ten_places_only():
    made = row("m", [np.array([1, 2, 11, 10**9])], 0.0)
    assert made.hit_rate == pytest.approx(0.5)
    assert made.mrr == pytest.approx((1 + 1 / 2) / 4)
    assert made.ndcg == pytest.approx((1 + 1 / np.log2(3)) / 4)


def test_percentiles_of_latencies_are_within_a_thousandth():
    latencies = Latencies()
    for milliseconds in range(1, 1001):
        latencies.record(milliseconds / 1e3)
    summary = latencies.summary()
    assert summary.count == 1000
    assert summary.p50_ms == pytest.approx(500, rel=2e-3)
    assert summary.p99_ms == pytest.approx(990, rel=2e-3)

"""The pure parts of the replay in time order: the cut, windows, delays, figures and their intervals."""

import numpy as np
import pytest

from recency.v1 import event_pb2, item_pb2
from recency_bench.arms import FROZEN
from recency_bench.intervals import difference, figure
from recency_bench.prequential import rows_of
from recency_bench.references import popularity_gains
from recency_bench.replay import NEVER, NEVER_MICROS, due_micros
from recency_bench.stretch import Stretch, cases_of, cut_by_time, window_ends
from recency_store.memory import MemoryStore
from recency_store.records import NewItem

SECOND = 1_000_000


def _event(user: str, item: str, second: int, kind: int = event_pb2.EVENT_TYPE_CLICK) -> event_pb2.Event:
    event = event_pb2.Event(event_id=f"{user}-{item}-{second}-{kind}", user_id=user, item_id=item, type=kind)
    event.event_time.FromSeconds(second)
    return event


def _cut(*events: event_pb2.Event, share: float = 0.5) -> Stretch:
    store = MemoryStore()
    store.upsert_items([NewItem(item_pb2.Item(item_id=name, title=name)) for name in "abcd"], 0)
    store.append(list(events))
    return cut_by_time(store, share)


def test_the_cut_is_in_time_order_whatever_the_order_of_the_log():
    stretch = _cut(_event("u", "a", 9), _event("u", "b", 1), _event("v", "a", 5), _event("v", "b", 7))
    assert [event.time_micros // SECOND for event in stretch.known] == [1, 5]
    assert [event.time_micros // SECOND for event in stretch.stream] == [7, 9]
    assert stretch.cut_micros == 5 * SECOND


def test_an_item_comes_to_be_a_second_before_its_first_event():
    stretch = _cut(_event("u", "a", 1), _event("u", "b", 5), _event("v", "b", 7), _event("v", "c", 6), share=0.25)
    assert [(n.new.item.item_id, n.born_micros) for n in stretch.newcomers] == [("b", 4 * SECOND), ("c", 5 * SECOND)]
    # What nobody has touched was there from the start.
    assert [new.item.item_id for new in stretch.items] == ["a", "d"]


def test_only_positive_events_are_cases_and_they_say_what_is_new():
    view = event_pb2.EVENT_TYPE_VIEW
    stretch = _cut(
        _event("u", "a", 1), _event("v", "a", 2), _event("u", "b", 3, view), _event("w", "a", 4), _event("u", "b", 5),
        share=0.4,
    )  # fmt: skip
    cases = cases_of(stretch)
    assert cases.place.tolist() == [1, 2]
    assert cases.new_user.tolist() == [True, False]
    assert cases.new_item.tolist() == [False, True]
    assert cases_of(stretch, every=2).place.tolist() == [1]


@pytest.mark.parametrize(("count", "ends"), [(0, []), (2, [2]), (3, [3]), (7, [3, 6, 7])])
def test_windows_cover_the_stream(count: int, ends: list[int]):
    assert window_ends(count, 3) == ends


def test_a_delay_moves_when_a_change_is_written():
    times = np.array([5 * SECOND, 9 * SECOND], dtype=np.int64)
    assert due_micros(times, 0.0).tolist() == times.tolist()
    assert due_micros(times, 1.5).tolist() == [6_500_000, 10_500_000]
    assert due_micros(times, NEVER).tolist() == [NEVER_MICROS, NEVER_MICROS]


def test_popularity_knows_earlier_events_only_and_leaves_out_what_was_seen():
    stretch = _cut(
        _event("u", "a", 1), _event("v", "a", 2), _event("w", "b", 3), _event("x", "a", 4), _event("u", "b", 5),
        share=0.6,
    )  # fmt: skip
    # x meets a, the most popular of two; u has seen a, so that b is first.
    assert popularity_gains(stretch, cases_of(stretch)).tolist() == [1.0, 1.0]


def test_an_interval_holds_the_mean_and_knows_that_a_users_cases_are_alike():
    rng = np.random.default_rng(1)
    of_user = rng.random(50)
    alike = np.repeat(of_user, 40).astype(np.float32)
    users = np.repeat(np.arange(50), 40)
    everything = np.ones(len(users), dtype=np.bool_)
    found = figure([alike], users, everything)
    assert found.low < found.mean < found.high
    assert found.mean == pytest.approx(alike.mean(), abs=1e-6)
    shuffled = figure([rng.permutation(alike)], users, everything)
    assert found.high - found.low > 3 * (shuffled.high - shuffled.low)


def test_a_difference_is_paired():
    users = np.arange(200)
    everything = np.ones(200, dtype=np.bool_)
    other = np.random.default_rng(2).random(200).astype(np.float32)
    more = difference([other + np.float32(0.01)], [other], users, everything)
    assert more.mean == pytest.approx(0.01, abs=1e-6)
    assert more.low == pytest.approx(0.01, abs=1e-6)


def test_seeds_are_averaged_and_their_spread_is_told():
    users = np.arange(4)
    everything = np.ones(4, dtype=np.bool_)
    found = figure([np.full(4, 0.1, dtype=np.float32), np.full(4, 0.3, dtype=np.float32)], users, everything)
    assert found.mean == pytest.approx(0.2)
    assert found.between_seeds == pytest.approx(np.std([0.1, 0.3], ddof=1))


def test_rows_compare_each_arm_with_the_frozen_model():
    stretch = _cut(_event("u", "a", 1), _event("v", "b", 2))
    cases = cases_of(stretch)
    better, frozen = np.array([0.5], dtype=np.float32), np.array([0.25], dtype=np.float32)
    rows = {row.arm: row for row in rows_of({FROZEN.name: [frozen], "learner": [better]}, {}, cases)}
    assert rows["learner"].more["all"].mean == pytest.approx(0.25)
    assert not rows[FROZEN.name].more
    assert rows[FROZEN.name].figures["new users"].mean == pytest.approx(0.25)

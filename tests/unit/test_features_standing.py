"""What was taken back does nothing, whichever of the two came first and however the log is cut into stretches."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recency.v1 import event_pb2
from recency_features.history import Interaction
from recency_features.standing import difference, removed_from_cart, standing
from recency_features.trends import Trends
from recency_store.records import LoggedEvent

CLICK, ADD, REMOVE = (
    event_pb2.EVENT_TYPE_CLICK,
    event_pb2.EVENT_TYPE_ADD_TO_CART,
    event_pb2.EVENT_TYPE_REMOVE_FROM_CART,
)


def logged(sequence: int, kind: int = CLICK, item: str = "i", user: str = "u", time: int = 0, takes: int = 0):
    """The event of a place in the log; it takes back the one of place `takes`."""
    retracts = f"e{takes}" if takes else ""
    return LoggedEvent(sequence, f"e{sequence}", user, item, kind, time, None, b"", retracts)


def left(*events: LoggedEvent) -> list[int]:
    return [event.sequence for event in standing(events)]


def test_a_retraction_takes_back_one_event_and_does_nothing_itself():
    assert left(logged(1), logged(2), logged(3, takes=1)) == [2]


def test_a_retraction_may_come_first():
    assert left(logged(1, takes=2), logged(2), logged(3)) == [3]


def test_nobody_takes_back_what_another_user_did():
    assert left(logged(1, user="v"), logged(2, takes=1)) == [1]


def test_a_retraction_is_not_taken_back():
    assert left(logged(1), logged(2, takes=1), logged(3, takes=2)) == []


def test_a_removal_empties_the_cart_of_its_item_up_to_its_time():
    events = [
        logged(1, ADD, time=1),
        logged(2, ADD, "other", time=1),
        logged(3, ADD, time=3),
        logged(4, CLICK, time=1),
        logged(5, REMOVE, time=3),
        logged(6, ADD, time=3),
        logged(7, ADD, time=2),
    ]
    assert left(*events) == [2, 4, 5, 6]


def test_a_removal_that_is_taken_back_removes_nothing():
    assert left(logged(1, ADD), logged(2, REMOVE), logged(3, REMOVE, takes=2)) == [1]


def test_interactions_of_a_request_know_removals_too():
    seen = [Interaction("a", ADD, 1), Interaction("b", ADD, 2), Interaction("a", REMOVE, 3), Interaction("a", ADD, 4)]
    assert removed_from_cart(seen) == [seen[1], seen[3]]


logs = st.lists(
    st.tuples(
        st.sampled_from([CLICK, ADD, REMOVE]),
        st.sampled_from("ij"),
        st.sampled_from("uv"),
        st.integers(0, 3),
        st.one_of(st.just(0), st.integers(1, 12)),
    ),
    max_size=12,
).map(
    lambda rows: [
        # Late removals aside, which the trends of a stretch before them do not know: times grow.
        logged(n, kind, item, user, n, takes if takes != n else 0)
        for n, (kind, item, user, _, takes) in enumerate(rows, 1)
    ]
)


@given(log=logs, cuts=st.sets(st.integers(1, 11)))
def test_stretch_by_stretch_the_same_stands_as_at_once(log, cuts):
    at_once, by_stretch = Trends([3_600.0]), Trends([3_600.0])
    at_once.fold([Interaction(e.item_id, e.type, e.time_micros) for e in standing(log)])
    counted: Counter[int] = Counter()
    waiting: set[str] = set()
    edges = sorted({0, *(cut for cut in cuts if cut < len(log)), len(log)})
    for start, stop in pairwise(edges):
        come, gone = difference(log[start:stop], lambda user: [e for e in log if e.user_id == user], waiting)
        counted.update(e.sequence for e in come)
        counted.subtract(e.sequence for e in gone)
        by_stretch.fold([Interaction(e.item_id, e.type, e.time_micros) for e in come])
        by_stretch.fold([Interaction(e.item_id, e.type, e.time_micros) for e in gone], sign=-1.0)
    assert sorted(counted.elements()) == left(*log)
    rows = [[trends.row_of.get(item, -1) for item in "ij"] for trends in (at_once, by_stretch)]
    counts = [t.counts(np.array(r), 20) for t, r in zip((at_once, by_stretch), rows, strict=True)]
    np.testing.assert_allclose(counts[0], counts[1], atol=1e-6)

"""What every store holds of the item learner's state."""

from __future__ import annotations

import pytest

from recency_store.errors import LeaseLost, StoreError
from recency_store.records import LearnedRow


def _row(item_id: str, value: float) -> LearnedRow:
    return LearnedRow(item_id, str(value).encode())


def test_rows_and_position_move_together_and_readers_get_what_changed(store):
    lease = store.acquire_lease("learner", "a", 1_000, 0)
    assert (store.learned(1).version, store.learned(1).position, store.learned(1).rows) == (0, 0, ())
    first = store.put_learned(1, 0, 10, 500, [_row("a", 1), _row("b", 1)], lease)
    second = store.put_learned(1, 10, 20, 400, [_row("b", 2)], lease)
    assert second > first
    assert store.learned(1, first).rows == (_row("b", 2),)
    whole = store.learned(1)
    assert (whole.position, whole.through_micros, whole.rows) == (20, 500, (_row("a", 1), _row("b", 2)))
    assert store.learned(1, second).rows == ()
    assert store.learned(2).version == 0


def test_no_event_is_applied_twice(store):
    lease = store.acquire_lease("learner", "a", 1_000, 0)
    store.put_learned(1, 0, 10, 500, [_row("a", 1)], lease)
    with pytest.raises(StoreError, match="learned up to 10, not 0"):
        store.put_learned(1, 0, 10, 500, [_row("a", 9)], lease)
    assert store.learned(1).rows == (_row("a", 1),)


def test_a_learner_whose_lease_has_passed_on_writes_nothing(store):
    old = store.acquire_lease("learner", "a", 1_000, 0)
    store.acquire_lease("learner", "b", 1_000, 2_000)
    with pytest.raises(LeaseLost):
        store.put_learned(1, 0, 10, 500, [_row("a", 1)], old)
    assert store.learned(1).version == 0


def test_spaces_that_nobody_needs_are_forgotten(store):
    lease = store.acquire_lease("learner", "a", 1_000, 0)
    for space in (1, 2, 3):
        store.put_learned(space, 0, 10, 500, [_row("a", 1)], lease)
    store.drop_learned([2])
    assert [store.learned(space).version for space in (1, 2, 3)] == [0, 1, 0]

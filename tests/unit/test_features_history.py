"""Histories become arrays the same way for training and serving."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recency.v1 import event_pb2
from recency_features.events import rule
from recency_features.history import Interaction, history_arrays, own_counts, pad_ids, stack_histories
from recency_features.spec import BATCH_BUCKETS, INPUTS, bucket

CLICK, VIEW, SEARCH, SKIP = (
    event_pb2.EVENT_TYPE_CLICK,
    event_pb2.EVENT_TYPE_VIEW,
    event_pb2.EVENT_TYPE_SEARCH,
    event_pb2.EVENT_TYPE_SKIP,
)
INDEX = {"a": 0, "b": 1, "fresh": 7}

histories = st.lists(
    st.builds(
        Interaction,
        item_id=st.sampled_from(["a", "b", "fresh", "?"]),
        type=st.integers(0, 17),
        time_micros=st.integers(0, 10**15),
    ),
    max_size=30,
).map(lambda events: sorted(events, key=lambda e: e.time_micros))


def test_only_known_items_and_types_of_histories_stay_newest_last():
    events = [
        Interaction("a", CLICK, 1_000_000),
        Interaction("?", CLICK, 2_000_000),
        Interaction("b", SKIP, 3_000_000),
        Interaction("fresh", VIEW, 4_500_000),
        Interaction("b", CLICK, 9_000_000),
    ]
    arrays = history_arrays(events, INDEX, as_of_micros=5_000_000, limit=10)
    assert arrays.ids.tolist() == [0, 7, 1]
    assert arrays.types.tolist() == [CLICK, VIEW, CLICK]
    assert arrays.ages_seconds.tolist() == [4.0, 0.5, 0.0]
    assert (arrays.ids.dtype, arrays.types.dtype, arrays.ages_seconds.dtype) == (np.int32, np.int32, np.float32)
    assert history_arrays(events, INDEX, 5_000_000, 2).ids.tolist() == [7, 1]
    assert history_arrays([], INDEX, 5_000_000, 2).length == 0


@given(histories, st.integers(1, 12))
def test_the_limit_counts_what_is_kept_and_keeps_the_newest(events, limit):
    whole = history_arrays(events, INDEX, 10**15, 1_000)
    cut = history_arrays(events, INDEX, 10**15, limit)
    assert cut.length == min(limit, whole.length)
    np.testing.assert_array_equal(cut.ids, whole.ids[whole.length - cut.length :])
    np.testing.assert_array_equal(cut.ages_seconds, whole.ages_seconds[whole.length - cut.length :])
    assert (whole.ages_seconds >= 0).all()
    assert all(rule(int(t)).in_history for t in whole.types)


@given(st.lists(histories, max_size=4))
def test_a_stacked_history_is_the_same_alone_and_among_others(many):
    arrays = [history_arrays(events, INDEX, 10**15, 8) for events in many]
    batch = stack_histories(arrays, rows=5, limit=8)
    for row, one in enumerate(arrays):
        alone = stack_histories([one], rows=1, limit=8)
        for field in ("ids", "types", "ages_seconds", "length"):
            np.testing.assert_array_equal(getattr(batch, field)[row], getattr(alone, field)[0])
        assert (batch.ids[row, : 8 - one.length] == -1).all()
        assert batch.ids[row, 8 - one.length :].tolist() == one.ids.tolist()
    assert (batch.length[len(many) :] == 0).all()
    assert batch.ids.shape == (5, 8)


@given(st.lists(st.lists(st.integers(0, 99), max_size=40), max_size=4), st.integers(1, 16))
def test_id_lists_are_padded_behind_to_a_multiple(lists, multiple):
    padded = pad_ids(lists, rows=4, multiple=multiple)
    assert padded.dtype == np.int32
    assert padded.shape[0] == 4
    assert padded.shape[1] % multiple == 0
    assert padded.shape[1] >= multiple
    assert padded.shape[1] - max((len(ids) for ids in lists), default=0) <= multiple
    for row, ids in enumerate(lists):
        assert padded[row].tolist() == ids + [-1] * (padded.shape[1] - len(ids))
    assert (padded[len(lists) :] == -1).all()


def test_own_counts_count_what_was_consumed():
    events = [
        Interaction("a", CLICK, 1),
        Interaction("a", CLICK, 2),
        Interaction("a", VIEW, 3),
        Interaction("b", SEARCH, 4),
    ]
    assert own_counts(events) == {"a": 2}


@pytest.mark.parametrize(("size", "expected"), [(0, 1), (1, 1), (3, 4), (64, 64), (65, 64)])
def test_a_bucket_is_the_smallest_that_holds(size, expected):
    assert bucket(size, BATCH_BUCKETS) == expected


def test_no_tensor_is_named_twice_in_a_model():
    for tensors in INPUTS.values():
        assert len({t.name for t in tensors}) == len(tensors)

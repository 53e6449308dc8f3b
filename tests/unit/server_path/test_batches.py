"""Lanes and the arrays they send."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recency.v1 import event_pb2
from recency_features.history import Interaction, history_arrays, own_counts, pad_ids, stack_histories
from recency_features.spec import BATCH_BUCKETS, INPUTS, PAD, RECOMMENDER, SCORER, bucket
from recency_server.batching import BatchConfig, Lane
from recency_server.counters import Counters
from recency_server.errors import Overloaded, TooLate
from recency_server.release import Release
from recency_server.release_files import read_release
from recency_server.stacking import Row, fill
from recency_server.users import Behaviour, make_rows
from recency_store.records import ReleaseRecord, ReleaseState

from .conftest import ITEMS, LIMIT, NOW, ScriptedInference, array, write_release


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    folder = tmp_path_factory.mktemp("releases") / "1"
    write_release(folder)
    content, _ = read_release(ReleaseRecord(1, ReleaseState.ACTIVE, "", str(folder), 0, NOW))
    return Release(content)


def row_of(release: Release, interactions: Sequence[Interaction], k: int = 100) -> Row:
    counts = own_counts(interactions)
    user = make_rows(Behaviour(list(interactions), counts, set()), release)
    return Row(release, user, NOW, user.own_ids, None, k)


interactions = st.lists(
    st.builds(
        Interaction,
        st.sampled_from([*ITEMS[:20], "unknown"]),
        st.sampled_from(event_pb2.EventType.values()),
        st.integers(NOW - 10**15, NOW + 10**9),
    ),
    max_size=20,
).map(lambda some: sorted(some, key=lambda i: i.time_micros))


@given(histories=st.lists(interactions, min_size=1, max_size=9))
@settings(max_examples=60, deadline=None)
def test_a_batch_holds_bit_for_bit_what_the_shared_functions_make(
    release: Release, histories: list[list[Interaction]]
) -> None:
    sent = fill(RECOMMENDER, [row_of(release, some) for some in histories], 1024)
    size = bucket(len(histories), BATCH_BUCKETS)
    shared = stack_histories([history_arrays(h, release.index_of, NOW, LIMIT) for h in histories], size, LIMIT)
    np.testing.assert_array_equal(sent["history_ids"], shared.ids)
    np.testing.assert_array_equal(sent["history_types"], shared.types)
    np.testing.assert_array_equal(
        array(sent["history_ages_seconds"]).view(np.int32), shared.ages_seconds.view(np.int32)
    )
    np.testing.assert_array_equal(sent["history_length"], shared.length)
    own = [[release.index_of[i] for i in own_counts(h) if i in release.index_of] for h in histories]
    np.testing.assert_array_equal(sent["own_count_ids"], pad_ids(own, size))


@pytest.mark.parametrize("model", [RECOMMENDER, SCORER])
def test_a_batch_has_every_tensor_of_the_table_in_its_type(release: Release, model: str) -> None:
    sent = fill(model, [row_of(release, [])], 1024)
    types = {"INT32": np.int32, "INT64": np.int64, "FP32": np.float32}
    assert sorted(sent) == sorted(tensor.name for tensor in INPUTS[model])
    for tensor in INPUTS[model]:
        value = array(sent[tensor.name])
        assert value.dtype == types[tensor.datatype]
        assert value.ndim == len(tensor.dims)


def test_what_has_not_changed_is_not_serialised_again(release: Release) -> None:
    first = dict(release.overlay_tensors())
    second = dict(release.overlay_tensors())
    assert all(first[name] is second[name] for name in first)
    release.show(ITEMS[0], None, NOW)
    third = dict(release.overlay_tensors())
    assert third["item_trend"] is first["item_trend"]
    assert third["item_bias"] is not first["item_bias"]


async def test_different_k_share_a_batch_and_the_largest_is_asked_for(release: Release) -> None:
    inference = ScriptedInference()
    async with asyncio.TaskGroup() as tasks:
        lane = Lane(RECOMMENDER, inference, tasks, Counters(), BatchConfig())  # type: ignore[arg-type]
        await asyncio.gather(*(lane.ask(row_of(release, [], k), 1.0) for k in (100, 150, 30)))
    [sent] = inference.of(RECOMMENDER)
    # k = 200 by its bucket, but there are no more than 150 items and one free row.
    assert sent["k"].tolist() == [len(ITEMS) + 1]
    assert len(sent["history_ids"]) == 4


async def test_a_full_queue_refuses_at_once_and_cancelled_requests_are_not_sent(release: Release) -> None:
    inference = ScriptedInference(delay_seconds=0.05)
    counters = Counters()
    config = BatchConfig(send_at=1, max_rows=1, in_flight=1, queue=3)
    async with asyncio.TaskGroup() as tasks:
        lane = Lane(RECOMMENDER, inference, tasks, counters, config)  # type: ignore[arg-type]
        asked = [tasks.create_task(lane.ask(row_of(release, []), 5.0)) for _ in range(3)]
        await asyncio.sleep(0.01)
        more = tasks.create_task(lane.ask(row_of(release, []), 5.0))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await lane.ask(row_of(release, []), 5.0)
        asked[1].cancel()
        await more
    assert counters.refused_rows == 1
    assert counters.dropped_rows == 1
    assert len(inference.calls) == 3


async def test_a_request_whose_time_is_over_is_answered_then_and_not_sent(release: Release) -> None:
    inference = ScriptedInference(delay_seconds=0.1)
    config = BatchConfig(send_at=1, max_rows=1, in_flight=1)
    async with asyncio.TaskGroup() as tasks:
        lane = Lane(RECOMMENDER, inference, tasks, Counters(), config)  # type: ignore[arg-type]
        first = tasks.create_task(lane.ask(row_of(release, []), 5.0))
        await asyncio.sleep(0.01)
        with pytest.raises(TooLate):
            await lane.ask(row_of(release, []), 0.01)
        await first
    assert len(inference.calls) == 1


async def test_few_requests_beside_a_call_wait_and_go_when_it_returns(release: Release) -> None:
    inference = ScriptedInference(delay_seconds=0.05)
    async with asyncio.TaskGroup() as tasks:
        lane = Lane(RECOMMENDER, inference, tasks, Counters(), BatchConfig(wait_seconds=10.0))  # type: ignore[arg-type]
        asked = []
        for _ in range(3):
            asked.append(tasks.create_task(lane.ask(row_of(release, []), 5.0)))
            await asyncio.sleep(0.005)
        await asyncio.gather(*asked)
    assert [len(sent["history_ids"]) for sent in inference.of(RECOMMENDER)] == [1, 2]
    assert (inference.of(RECOMMENDER)[0]["exclude_ids"] == PAD).all()

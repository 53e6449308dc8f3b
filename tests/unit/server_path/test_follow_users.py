"""Users' states and the follower: coherent with the log in any order of reading and following."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recency.v1 import event_pb2
from recency_features.history import own_counts
from recency_inference import errors as inference_errors
from recency_server.counters import Counters
from recency_server.query import Deadline, Query
from recency_server.recommend import recommend
from recency_server.users import UserConfig, Users, UserState
from recency_store.errors import StoreUnavailable
from recency_store.memory import MemoryStore
from recency_store.records import Changes, LoggedEvent

from .conftest import ITEMS, NOW, SECOND, Open, ScriptedInference, new_event, new_item, until

events = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from(ITEMS[:4]), st.sampled_from(event_pb2.EventType.values())), max_size=30
).map(
    lambda rows: [
        LoggedEvent(sequence, str(sequence), "u", item_id, event_type, NOW + time * SECOND, None, b"")
        for sequence, (time, item_id, event_type) in enumerate(rows, 1)
    ]
)


@given(log=events, seed=st.integers(0, 1000))
def test_a_state_is_the_same_whatever_the_order_and_however_often_events_come(
    log: list[LoggedEvent], seed: int
) -> None:
    ordered = UserState(sorted(log, key=lambda e: (e.time_micros, e.sequence)))
    shuffled = [*log, *log[::2]]
    random.Random(seed).shuffle(shuffled)
    mixed = UserState(shuffled)
    assert mixed.behaviour == ordered.behaviour
    assert mixed.behaviour.counts == own_counts(mixed.behaviour.interactions)


class SlowStore(MemoryStore):
    """Waits in the middle of a read until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.reading, self.go_on = threading.Event(), threading.Event()
        self.error: Exception | None = None

    def read_user(self, user_id: str, limit: int, through_micros: int | None = None) -> list[LoggedEvent]:
        found = super().read_user(user_id, limit, through_micros)
        self.reading.set()
        self.go_on.wait(5)
        if self.error is not None:
            raise self.error
        return found


async def test_an_event_followed_while_its_user_is_read_is_not_lost() -> None:
    store = SlowStore()
    store.append([new_event("u", ITEMS[0], 1)])
    counters = Counters()
    with ThreadPoolExecutor(2) as threads:
        users = Users(store, threads, counters, UserConfig())
        first = asyncio.ensure_future(users.load("u"))
        second = asyncio.ensure_future(users.load("u"))
        await asyncio.to_thread(store.reading.wait, 5)
        [appended] = store.append([new_event("u", ITEMS[1], 2)])
        users.take_in(store.read_log(appended.sequence - 1, 10))
        first.cancel()
        store.go_on.set()
        state = await second
    assert state.behaviour.counts == {ITEMS[0]: 1, ITEMS[1]: 1}
    assert counters.user_loads == 1
    assert users.cached("u") is state


async def test_what_is_taken_back_while_its_user_is_read_is_not_there() -> None:
    store = SlowStore()
    store.append([new_event("u", ITEMS[0], 1), new_event("u", ITEMS[1], 2)])
    with ThreadPoolExecutor(2) as threads:
        users = Users(store, threads, Counters(), UserConfig())
        loading = asyncio.ensure_future(users.load("u"))
        await asyncio.to_thread(store.reading.wait, 5)
        back = new_event("u", ITEMS[0], 3)
        back.retracts_event_id = "u/1"
        [appended] = store.append([back])
        users.take_in(store.read_log(appended.sequence - 1, 10))
        store.go_on.set()
        assert (await loading).behaviour.counts == {ITEMS[1]: 1}
        # What comes after it was taken back does nothing either.
        late = new_event("u", ITEMS[2], 5)
        back.event_id, back.retracts_event_id = "u/4", "u/5"
        for event in (back, late):
            [appended] = store.append([event])
            users.take_in(store.read_log(appended.sequence - 1, 10))
            assert (await users.load("u")).behaviour.counts == {ITEMS[1]: 1}


async def test_users_who_are_merged_are_read_anew() -> None:
    store = MemoryStore()
    store.append([new_event("visitor", ITEMS[0], 1), new_event("u", ITEMS[1], 2)])
    with ThreadPoolExecutor(1) as threads:
        users = Users(store, threads, Counters(), UserConfig())
        for user in ("visitor", "u"):
            await users.load(user)
        before = store.last_sequence()
        store.merge_users("visitor", "u", NOW)
        users.forget(rewrite.user_id for rewrite in store.changes(before, 10).rewrites)
        assert (await users.load("visitor")).behaviour.counts == {}
        assert (await users.load("u")).behaviour.counts == {ITEMS[0]: 1, ITEMS[1]: 1}


async def test_a_read_that_fails_is_reported_and_tried_again() -> None:
    store = SlowStore()
    store.go_on.set()
    store.error = StoreUnavailable("the disk is gone")
    with ThreadPoolExecutor(1) as threads:
        users = Users(store, threads, Counters(), UserConfig())
        with pytest.raises(StoreUnavailable):
            await users.load("u")
        store.error = None
        assert (await users.load("u")).behaviour.counts == {}


async def test_the_least_recently_used_states_are_dropped_by_users_and_by_events() -> None:
    store = MemoryStore()
    for user in "abc":
        store.append([new_event(user, item_id, n) for n, item_id in enumerate(ITEMS[:10])])
    with ThreadPoolExecutor(1) as threads:
        few = Users(store, threads, Counters(), UserConfig(cached_users=2))
        for user in ("a", "b", "a", "c"):
            await few.load(user)
        assert [few.cached(user) is not None for user in "abc"] == [True, False, True]
        short = Users(store, threads, Counters(), UserConfig(cached_events=25))
        for user in "abc":
            await short.load(user)
        assert [short.cached(user) is not None for user in "abc"] == [False, True, True]


class LateStore(MemoryStore):
    """A store whose changes come late, or not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.wait_seconds = 0.0
        self.error: Exception | None = None

    def changes(self, after: int, limit: int) -> Changes:
        threading.Event().wait(self.wait_seconds)
        return super().changes(after, limit)

    def last_sequence(self) -> int:
        if self.error is not None:
            raise self.error
        return super().last_sequence()


@pytest.fixture
def store() -> LateStore:
    store = LateStore()
    store.upsert_items([new_item(item_id) for item_id in ITEMS], NOW - 7200 * SECOND)
    return store


@pytest.mark.usefixtures("live_release")
async def test_requests_wait_together_for_a_change_and_one_poll_serves_them_all(opened: Open, store: LateStore) -> None:
    async with opened() as parts:
        store.wait_seconds = 0.05
        store.hide_items([ITEMS[0]], "moderated", NOW)
        before = parts.counters.polls
        slates = await asyncio.gather(*(recommend(Query(), Deadline.after(2.0), parts) for _ in range(20)))
        assert all(slate.placed[0].item_id == ITEMS[1] and not slate.degraded for slate in slates)
        assert parts.counters.polls == before + 1


@pytest.mark.usefixtures("live_release")
async def test_changes_that_do_not_come_in_time_are_named(opened: Open, store: LateStore) -> None:
    async with opened() as parts:
        store.wait_seconds = 0.5
        store.append([new_event("u", ITEMS[0], 1)])
        deadline = Deadline.after(0.2)
        slate = await recommend(Query(), deadline, parts)
        assert slate.degraded == ("behind: 1 changes are not applied yet",)
        assert deadline.remaining_seconds() > 0
        store.wait_seconds = 0.0
        store.error = StoreUnavailable("the disk is gone")
        slate = await recommend(Query(), Deadline.after(1.0), parts)
        assert slate.degraded[0].startswith("behind: the store does not answer")
        store.error = None
        await until(lambda: parts.follower.applied == store.last_sequence())
        assert (await recommend(Query(), Deadline.after(1.0), parts)).degraded == ()


@pytest.mark.usefixtures("live_release")
async def test_a_triton_that_hangs_does_not_cost_every_request_its_deadline(
    opened: Open, inference: ScriptedInference
) -> None:
    async with opened() as parts:
        inference.error, inference.delay_seconds = inference_errors.TooLate("no answer"), 0.0
        for _ in range(3):
            await recommend(Query(), Deadline.after(1.0), parts)
        before = len(inference.calls)
        slates = [await recommend(Query(), Deadline.after(1.0), parts) for _ in range(20)]
        assert len(inference.calls) <= before + 1
        assert all(slate.degraded[0].startswith("model:") and len(slate.placed) == 10 for slate in slates)
        inference.error = None
        await asyncio.sleep(1.05)
        answers: Sequence[tuple[str, ...]] = [(await recommend(Query(), Deadline.after(1.0), parts)).degraded]
        assert answers == [()]


async def test_what_the_body_raises_comes_out_as_it_is(opened: Open) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with opened():
            raise KeyError("mine")

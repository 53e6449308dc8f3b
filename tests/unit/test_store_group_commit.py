"""Group commit: who shares a transaction, who shares a failure."""

from __future__ import annotations

import asyncio
import threading

import pytest

from recency.v1 import event_pb2
from recency_store.errors import StoreBusy, StoreClosed, StoreUnavailable
from recency_store.group_commit import GroupCommit
from recency_store.memory import MemoryStore
from recency_store.records import Appended
from recency_store.sqlite import open_sqlite


def event(event_id: str) -> event_pb2.Event:
    made = event_pb2.Event(event_id=event_id, user_id="u", item_id="i", type=3)
    made.event_time.FromMicroseconds(1)
    return made


class GatedStore(MemoryStore):
    """Holds every append at a gate, counts transactions, and fails them when told."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)
        self.transactions: list[list[str]] = []
        # By the transaction's number, counted from 0.
        self.failures: dict[int, Exception] = {}

    def append(self, events):
        self.entered.release()
        assert self.gate.wait(10)
        self.transactions.append([e.event_id for e in events])
        if failure := self.failures.get(len(self.transactions) - 1):
            raise failure
        return super().append(events)


async def entered(store: GatedStore) -> None:
    await asyncio.to_thread(store.entered.acquire)


@pytest.fixture
def gated():
    return GatedStore()


async def test_what_arrives_during_a_transaction_shares_the_next_one(gated):
    group = GroupCommit(gated)
    first = asyncio.ensure_future(group.append([event("a")]))
    await entered(gated)
    rest = [asyncio.ensure_future(group.append([event(f"b{n}"), event(f"c{n}")])) for n in range(5)]
    await asyncio.sleep(0)
    gated.gate.set()
    assert await first == [Appended(1, False)]
    assert await asyncio.gather(*rest) == [[Appended(2 + 2 * n, False), Appended(3 + 2 * n, False)] for n in range(5)]
    assert [len(t) for t in gated.transactions] == [1, 10]
    await group.close()


async def test_the_same_event_from_two_callers_counts_once(gated):
    group = GroupCommit(gated)
    gated.gate.set()
    answers = await asyncio.gather(group.append([event("a")]), group.append([event("a")]), group.append([]))
    assert answers == [[Appended(1, False)], [Appended(1, True)], []]
    await group.close()


async def test_too_many_waiting_events_are_refused_at_once(gated):
    group = GroupCommit(gated, limit_pending=10)
    first = asyncio.ensure_future(group.append([event(f"a{n}") for n in range(12)]))
    await entered(gated)
    with pytest.raises(StoreBusy, match="retry later"):
        await group.append([event("b")])
    gated.gate.set()
    assert len(await first) == 12
    assert await group.append([event("b")]) == [Appended(13, False)]
    await group.close()


async def test_a_failed_transaction_fails_its_own_callers_and_no_others(gated):
    group = GroupCommit(gated)
    first = asyncio.ensure_future(group.append([event("a")]))
    await entered(gated)
    gated.failures[0] = StoreUnavailable("disk full; free space")
    second = asyncio.ensure_future(group.append([event("b")]))
    gated.gate.set()
    with pytest.raises(StoreUnavailable, match="free space"):
        await first
    assert await second == [Appended(1, False)]
    await group.close()


async def test_each_caller_of_a_failed_transaction_gets_an_error_of_its_own(gated):
    group = GroupCommit(gated)
    first = asyncio.ensure_future(group.append([event("a")]))
    await entered(gated)
    gated.failures[1] = StoreUnavailable("full")
    rest = [asyncio.ensure_future(group.append([event(f"b{n}")])) for n in range(3)]
    await asyncio.sleep(0)
    gated.gate.set()
    assert await first == [Appended(1, False)]
    answers = await asyncio.gather(*rest, return_exceptions=True)
    assert [type(a) for a in answers] == [StoreUnavailable] * 3
    assert len({id(a) for a in answers}) == 3
    assert len(gated.transactions) == 2
    await group.close()


async def test_a_poisonous_event_fails_its_sender_alone(gated):
    group = GroupCommit(gated)
    first = asyncio.ensure_future(group.append([event("a")]))
    await entered(gated)
    timeless = event_pb2.Event(event_id="bad")
    calls = [group.append([event("b")]), group.append([event("c"), timeless]), group.append([event("d")])]
    rest = [asyncio.ensure_future(call) for call in calls]
    await asyncio.sleep(0)
    gated.gate.set()
    await first
    good, bad, other = await asyncio.gather(*rest, return_exceptions=True)
    assert isinstance(bad, ValueError)
    assert (good, other) == ([Appended(2, False)], [Appended(3, False)])
    assert [e.event_id for e in gated.read_log(0, 10)] == ["a", "b", "d"]
    await group.close()


async def test_a_cancelled_caller_is_left_out_and_cancels_no_neighbour(gated):
    group = GroupCommit(gated)
    first = asyncio.ensure_future(group.append([event("a")]))
    await entered(gated)
    cancelled = asyncio.ensure_future(group.append([event("b")]))
    neighbour = asyncio.ensure_future(group.append([event("c")]))
    await asyncio.sleep(0)
    first.cancel()
    cancelled.cancel()
    await asyncio.sleep(0)
    gated.gate.set()
    assert await neighbour == [Appended(2, False)]
    assert gated.transactions == [["a"], ["c"]]
    await group.close()


async def test_close_waits_for_what_was_taken_and_takes_no_more(gated):
    group = GroupCommit(gated)
    first = asyncio.ensure_future(group.append([event("a")]))
    await entered(gated)
    closing = asyncio.ensure_future(group.close())
    await asyncio.sleep(0)
    with pytest.raises(StoreClosed):
        await group.append([event("b")])
    assert not closing.done()
    gated.gate.set()
    await closing
    assert await first == [Appended(1, False)]
    assert not [t for t in threading.enumerate() if t.name.startswith("group-commit")]


async def test_many_callers_over_sqlite_each_get_their_own_positions(tmp_path):
    store = open_sqlite(tmp_path / "store.sqlite")
    group = GroupCommit(store)

    async def caller(name: int) -> list[int]:
        positions = []
        for n in range(20):
            [a, b] = await group.append([event(f"{name}-{n}"), event(f"{name}-{n}-b")])
            positions += [a.sequence, b.sequence]
        return positions

    answers = await asyncio.gather(*(caller(n) for n in range(20)))
    by_sequence = {e.sequence: e.event_id for e in store.scan_log()}
    assert sorted(p for positions in answers for p in positions) == list(range(1, 801))
    assert all(by_sequence[p].startswith(f"{name}-") for name, positions in enumerate(answers) for p in positions)
    await group.close()
    store.close()

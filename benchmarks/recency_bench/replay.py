"""Replays a stretch against a running stack: everything that has come to be known by a moment is written, then the user of
the next event is asked for, then time goes on.

A delay changes when something is written, and nothing else: so many seconds after its own time. Without a delay an event is
written before the next one is asked for, also within one second: the order of the log is kept.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc.aio
import numpy as np
import numpy.typing as npt

from recency.v1 import catalog_pb2, event_pb2, item_pb2, recommendation_pb2
from recency.v1.catalog_pb2_grpc import CatalogServiceStub
from recency.v1.recommendation_pb2_grpc import RecommendationServiceStub
from recency_bench.served import ReplayClock
from recency_bench.stretch import Cases, Stretch
from recency_store.protocol import Store

TOP = 10
MICROS = 1_000_000
_TIMEOUT_SECONDS = 30.0
NEVER = math.inf
_LOOK_SECONDS = 0.005
_LOOKS = 2_000


@dataclass(frozen=True, slots=True)
class Delays:
    """How late each channel is, in seconds after the fact (NEVER: not at all)."""

    behaviour: float = 0.0
    catalogue: float = 0.0
    learner: float = 0.0


NEVER_MICROS = np.iinfo(np.int64).max
Upsert = Callable[[item_pb2.Item], Awaitable[None]]


class Feed:
    """Writes the stretch's changes into a store as they become due, always in the same order, whichever cases are asked for.
    Events go straight into the log; how an item is written is the caller's (through the API it is embedded and found by the
    time the call answers)."""

    def __init__(self, stretch: Stretch, store: Store, upsert: Upsert, delays: Delays) -> None:
        self._stretch = stretch
        self._store = store
        self._upsert = upsert
        self._times = np.array([event.time_micros for event in stretch.stream], dtype=np.int64)
        born = np.array([newcomer.born_micros for newcomer in stretch.newcomers], dtype=np.int64)
        self._order = merged(due_micros(self._times, delays.behaviour), due_micros(born, delays.catalogue))
        self._next = 0
        self.events = 0

    @property
    def newest_micros(self) -> int:
        """The time of the newest event that was written."""
        return int(self._times[self.events - 1]) if self.events else 0

    async def until(self, place: int, clock: ReplayClock) -> None:
        """Writes what is due when the stream's event at `place` is about to happen."""
        await self._write(place, int(self._times[place]), clock)

    async def through(self, place: int, clock: ReplayClock) -> None:
        """Writes what is due when the stream's event at `place` has just happened."""
        await self._write(place + 1, int(self._times[place]), clock)

    async def _write(self, before: int, now_micros: int, clock: ReplayClock) -> None:
        pending: list[event_pb2.Event] = []
        while self._next < len(self._order):
            due, is_event, index = self._order[self._next]
            if due > now_micros or (is_event and index >= before):
                break
            self._next += 1
            if is_event:
                pending.append(self._stretch.stream[index].event())
                self.events = index + 1
                continue
            self._append(pending)
            # An item is as old as it is, however much later the next case is asked for.
            clock.now_micros = due
            await self._upsert(self._stretch.newcomers[index].new.item)
        self._append(pending)
        clock.now_micros = now_micros

    def _append(self, pending: list[event_pb2.Event]) -> None:
        if pending:
            self._store.append(pending)
            pending.clear()


def merged(events_due: npt.NDArray[np.int64], items_due: npt.NDArray[np.int64]) -> list[tuple[int, bool, int]]:
    """(when, whether an event, its number) of everything that is ever due; an item goes before an event of its moment."""
    changes = [
        *((due, True, number) for number, due in enumerate(events_due.tolist()) if due != NEVER_MICROS),
        *((due, False, number) for number, due in enumerate(items_due.tolist()) if due != NEVER_MICROS),
    ]
    return sorted(changes)


def due_micros(times_micros: npt.NDArray[np.int64], delay_seconds: float) -> npt.NDArray[np.int64]:
    """When changes of these times are written."""
    if delay_seconds == NEVER:
        return np.full(len(times_micros), NEVER_MICROS, dtype=np.int64)
    return times_micros + int(delay_seconds * MICROS)


class Asker:
    """Asks the gateway as its callers do, one request after the other."""

    def __init__(self, channel: grpc.aio.Channel, clock: ReplayClock) -> None:
        self._recommendations: Any = RecommendationServiceStub(channel)  # type: ignore[no-untyped-call]
        self._catalog: Any = CatalogServiceStub(channel)  # type: ignore[no-untyped-call]
        self.clock = clock
        self.degraded = 0
        # Answers have to reflect the item learner up to here: a gateway looks at what was learned now and then.
        self.needs_learned_micros = 0

    async def recommend(self, user_id: str) -> recommendation_pb2.RecommendResponse:
        """One slate."""
        request = recommendation_pb2.RecommendRequest(user_id=user_id, page_size=TOP)
        slate: recommendation_pb2.RecommendResponse = await self._recommendations.Recommend(
            request, timeout=_TIMEOUT_SECONDS
        )
        return slate

    async def gain(self, user_id: str, item_id: str) -> float:
        """NDCG@10 of one item in the slate asked for now."""
        slate = await self._fresh_enough(user_id)
        self.degraded += slate.degraded
        for place, recommendation in enumerate(slate.recommendations):
            if recommendation.item_id == item_id:
                return 1.0 / math.log2(place + 2)
        return 0.0

    async def _fresh_enough(self, user_id: str) -> recommendation_pb2.RecommendResponse:
        slate = await self.recommend(user_id)
        for _ in range(_LOOKS):
            fresh = slate.freshness
            # What the release itself was trained on needs no learner.
            reached = max(fresh.learned_through_time.ToMicroseconds(), fresh.trained_through_time.ToMicroseconds())
            if reached >= self.needs_learned_micros:
                return slate
            await asyncio.sleep(_LOOK_SECONDS)
            slate = await self.recommend(user_id)
        raise TimeoutError(f"the gateway did not follow the item learner in {_LOOKS * _LOOK_SECONDS:.0f} s")

    async def upsert(self, item: item_pb2.Item) -> None:
        """Adds an item."""
        await self._catalog.UpsertItems(catalog_pb2.UpsertItemsRequest(items=[item]), timeout=_TIMEOUT_SECONDS)


async def replay_window(
    asker: Asker,
    feed: Feed,
    stretch: Stretch,
    cases: Cases,
    first: int,
    last: int,
    before_case: Callable[[int], Awaitable[None]],
) -> npt.NDArray[np.float32]:
    """The gains of cases first:last. `before_case(place)` is called when everything due is written."""
    gains = np.zeros(last - first, dtype=np.float32)
    for number in range(first, last):
        place = int(cases.place[number])
        await feed.until(place, asker.clock)
        await before_case(place)
        event = stretch.stream[place]
        gains[number - first] = await asker.gain(event.user_id, event.item_id)
    return gains

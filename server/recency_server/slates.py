"""Writes answered slates to the store, off the request path: later events cite them. Best effort, bounded, counted."""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import Executor
from dataclasses import dataclass

from recency_server.counters import Counters
from recency_server.errors import InvalidRequest, Unavailable, Violation
from recency_server.paging import MAX_PAGES, PAGE_OF, Page
from recency_server.query import Query, Slate
from recency_store.errors import StoreError
from recency_store.protocol import Store
from recency_store.records import SlateRecord

_LOOK_AGAIN_SECONDS = (0.05, 0.15)


@dataclass(frozen=True, slots=True)
class SlateConfig:
    """queue         slates that may wait to be written; more are dropped
    batch         slates written at once
    wait_seconds  between two writes
    """

    queue: int = 10_000
    batch: int = 1_000
    wait_seconds: float = 0.1


class SlateLog:
    """The queue of slates to write."""

    def __init__(self, store: Store, threads: Executor, counters: Counters, config: SlateConfig) -> None:
        self._store = store
        self._threads = threads
        self._counters = counters
        self._config = config
        self._waiting: deque[tuple[Query, Slate]] = deque()
        self._flushing = asyncio.Lock()

    def record(self, query: Query, slate: Slate) -> None:
        """Queues one; drops it where the queue is full."""
        if len(self._waiting) >= self._config.queue:
            self._counters.slates_lost += 1
            return
        self._waiting.append((query, slate))

    async def earlier(self, page: Page, user_id: str) -> list[str]:
        """The items of a user's pages before one. InvalidRequest where their slates are not kept any more."""
        items: list[str] = []
        after, looked = page.after, 0
        while after:
            record = await self._find(after)
            if record is None or record.user_id != user_id or looked > MAX_PAGES:
                raise InvalidRequest(Violation("page_token", "has expired; ask for the first page again"))
            items += record.item_ids
            after, looked = record.labels.get(PAGE_OF, ""), looked + 1
        return items

    async def _find(self, recommendation_id: str) -> SlateRecord | None:
        for query, slate in reversed(self._waiting):
            if slate.recommendation_id == recommendation_id:
                return _record(query, slate)
        get = self._store.get_slate
        loop = asyncio.get_running_loop()
        for pause in (*_LOOK_AGAIN_SECONDS, None):
            try:
                record = await loop.run_in_executor(self._threads, get, recommendation_id)
            except StoreError as error:
                raise Unavailable(f"the store does not answer: {error}") from error
            if record is not None or pause is None:
                return record
            # Another gateway may have answered that page a moment ago.
            await asyncio.sleep(pause)
        return None

    async def run(self) -> None:
        """Writes until cancelled."""
        while True:
            await asyncio.sleep(self._config.wait_seconds)
            # Only what waits now: what comes meanwhile gathers for the next transaction instead of making many small ones.
            for _ in range(-(-len(self._waiting) // self._config.batch)):
                await self.flush()

    async def close(self) -> None:
        """Writes what still waits."""
        while self._waiting:
            await self.flush()

    async def flush(self) -> None:
        """Writes one batch of what waits; what is being written is written when it returns."""
        async with self._flushing:
            some = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._config.batch))]
            if not some:
                return
            try:
                await asyncio.get_running_loop().run_in_executor(self._threads, self._write, some)
                self._counters.slates_logged += len(some)
            except StoreError:
                self._counters.slates_lost += len(some)

    def _write(self, some: list[tuple[Query, Slate]]) -> None:
        self._store.put_slates([_record(query, slate) for query, slate in some])


def _record(query: Query, slate: Slate) -> SlateRecord:
    propensities = tuple(placed.propensity for placed in slate.placed)
    return SlateRecord(
        recommendation_id=slate.recommendation_id,
        user_id=query.user_id,
        time_micros=slate.answered_micros,
        release=slate.freshness.release,
        item_ids=tuple(placed.item_id for placed in slate.placed),
        labels={**query.labels, PAGE_OF: query.page.after} if query.page else query.labels,
        context_json=query.context_json,
        exploration=query.exploration,
        propensities=() if all(chance is None for chance in propensities) else propensities,
        aimed=query.aimed or slate.ruled,
    )

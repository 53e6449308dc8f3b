"""Group commit for asyncio callers: what arrives while one transaction is being written goes into the next one.

One worker thread writes; one loop callback a transaction answers everybody who was in it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from recency.v1 import event_pb2
from recency_store.errors import StoreBusy, StoreClosed, StoreUnavailable
from recency_store.protocol import Store
from recency_store.records import Appended

# A transaction takes callers until it holds this many events, so that one transaction's time stays bounded.
EVENTS_A_TRANSACTION = 10_000

Outcome = list[Appended] | Exception


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """One caller's events, and where its answer goes."""

    events: Sequence[event_pb2.Event]
    answer: asyncio.Future[list[Appended]]


class GroupCommit:
    """Appends to a store from one event loop. `limit_pending` bounds the events that are not answered yet."""

    def __init__(self, store: Store, *, limit_pending: int = 20_000) -> None:
        self._store = store
        self._limit_pending = limit_pending
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="group-commit")
        # Guards the two fields that loop and worker both change.
        self._lock = threading.Lock()
        self._gathered: deque[_Waiting] = deque()
        self._writing = False
        # Of the loop alone:
        self._pending_events = 0
        self._pending_callers = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False

    async def append(self, events: Sequence[event_pb2.Event]) -> list[Appended]:
        """As Store.append: durable when it answers. StoreBusy at once while too many events wait.

        A caller that is cancelled before its transaction began is left out of it; later, its events are written all the
        same. What fails, fails for those who caused it: a full disk for the whole transaction, a bad event for its sender.
        """
        if self._closed:
            raise StoreClosed("the group commit is closed; no more events are taken")
        if not events:
            return []
        # A caller alone may bring more than the limit; it is bounded by the size of a request.
        if self._pending_events and self._pending_events + len(events) > self._limit_pending:
            raise StoreBusy(
                f"{self._pending_events} events wait to be written, at most {self._limit_pending} may; retry later"
            )
        loop = asyncio.get_running_loop()
        waiting = _Waiting(events, loop.create_future())
        self._pending_events += len(events)
        self._pending_callers += 1
        self._idle.clear()
        with self._lock:
            self._gathered.append(waiting)
            start, self._writing = not self._writing, True
        if start:
            self._executor.submit(self._write_gathered, loop)
        return await waiting.answer

    async def close(self) -> None:
        """Takes no more, waits until everything taken is answered, and ends the thread. The store stays open."""
        self._closed = True
        await self._idle.wait()
        self._executor.shutdown()

    # --- in the worker thread --------------------------------------------------------------------------------------
    def _write_gathered(self, loop: asyncio.AbstractEventLoop) -> None:
        while group := self._next_group():
            outcomes = _write(self._store, [waiting for waiting in group if not waiting.answer.cancelled()])
            loop.call_soon_threadsafe(self._answer, group, outcomes)

    def _next_group(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        size = 0
        with self._lock:
            while self._gathered and (not group or size + len(self._gathered[0].events) <= EVENTS_A_TRANSACTION):
                group.append(self._gathered.popleft())
                size += len(group[-1].events)
            self._writing = bool(group)
        return group

    # --- in the loop -----------------------------------------------------------------------------------------------
    def _answer(self, group: list[_Waiting], outcomes: dict[_Waiting, Outcome]) -> None:
        for waiting in group:
            self._pending_events -= len(waiting.events)
            self._pending_callers -= 1
            if waiting.answer.done():
                continue
            outcome = outcomes[waiting]
            if isinstance(outcome, Exception):
                waiting.answer.set_exception(outcome)
            else:
                waiting.answer.set_result(outcome)
        if not self._pending_callers:
            self._idle.set()


def _write(store: Store, group: list[_Waiting]) -> dict[_Waiting, Outcome]:
    """Writes a group in one transaction; where that fails by somebody's events, each caller's in one of its own."""
    if not group:
        return {}
    try:
        answers = store.append([event for waiting in group for event in waiting.events])
    except (StoreUnavailable, StoreClosed) as error:
        # Each caller raises its own: a shared exception would collect all their tracebacks.
        return {waiting: type(error)(str(error)) for waiting in group}
    except Exception as error:
        if len(group) == 1:
            return {group[0]: error}
        return {waiting: outcome for alone in group for waiting, outcome in _write(store, [alone]).items()}
    outcomes: dict[_Waiting, Outcome] = {}
    start = 0
    for waiting in group:
        outcomes[waiting] = answers[start : start + len(waiting.events)]
        start += len(waiting.events)
    return outcomes

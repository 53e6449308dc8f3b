"""Follows the store's changes: events into users' states and trends, items into the catalogue and the live releases.

Every request compares `store.last_sequence()` with `applied` first and waits for the follower where it is behind: that
is what makes an acknowledged write visible in the next answer, on whichever gateway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import islice

from recency_features.standing import Difference, difference
from recency_features.trends import Trends, to_fold
from recency_server.catalog import Catalog
from recency_server.counters import Counters
from recency_server.query import Clock
from recency_server.users import Users
from recency_store.errors import StoreError
from recency_store.protocol import Store
from recency_store.records import Changes, LoggedEvent, StoredItem

# What is taken back moves trends where it is among so many of its user's newest events: requests wait for this reading.
_UNDONE_AMONG = 1_000

ItemsListener = Callable[[Sequence[StoredItem]], None]
EventsListener = Callable[[Sequence[LoggedEvent]], None]
AllOf = Callable[[str], Sequence[LoggedEvent]]


@dataclass(frozen=True, slots=True)
class FollowConfig:
    """poll_seconds   between two looks at the store after something had changed, when nobody waits
    idle_seconds   the same, when nothing has changed for a while: requests look for themselves
    chunk          changes applied at once, so that the event loop is not held for long
    page           items read at once when the catalogue is opened
    log_window     without a release, trends start from this many of the newest changes
    retry_seconds  between two tries while the store does not answer
    refold_seconds how long erasures are gathered before the trends are folded anew
    """

    poll_seconds: float = 0.02
    idle_seconds: float = 0.2
    chunk: int = 512
    page: int = 2_000
    log_window: int = 100_000
    retry_seconds: float = 0.2
    refold_seconds: float = 5.0


class Follower:
    """How far this gateway has followed the store, and the live trend fold."""

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        users: Users,
        threads: Executor,
        counters: Counters,
        clock: Clock,
        config: FollowConfig,
    ) -> None:
        self._store = store
        self._threads = threads
        self._counters = counters
        self._clock = clock
        self._config = config
        self.catalog = catalog
        self.users = users
        self.applied = 0
        # When this gateway last knew that it had everything.
        self.synced_micros = 0
        self.trends = Trends()
        # Counts that are read at this time stand still while nothing happens, instead of all fading together.
        self.newest_event_micros = 0
        self.trends_version = 0
        # Ids that were taken back before they came.
        self._waiting_ids: set[str] = set()
        self.on_items: list[ItemsListener] = []
        self.on_events: list[EventsListener] = []
        # Whose events the trends leave out, and whether what is folded already is to be folded anew.
        self._not_training: frozenset[str] = frozenset()
        self._refold = asyncio.Event()
        self._nudged = asyncio.Event()
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []

    async def open(self) -> None:
        """Reads the catalogue; what changes while it is read is followed afterwards."""
        in_thread = asyncio.get_running_loop().run_in_executor
        self.applied = self._store.last_sequence()
        self._not_training = await in_thread(self._threads, self._store.users_not_training)
        after = ""
        while page := await in_thread(self._threads, self._store.list_items, self._config.page, after):
            self.catalog.apply(page)
            after = page[-1].item_id
        self.synced_micros = self._clock()

    async def run(self) -> None:
        """Follows until cancelled."""
        pause = self._config.poll_seconds
        while True:
            before = self.applied
            try:
                while self._store.last_sequence() > self.applied:
                    await self._poll()
                self.synced_micros = self._clock()
            except StoreError:
                await asyncio.sleep(self._config.retry_seconds)
            pause = self._config.poll_seconds if self.applied > before else min(2 * pause, self._config.idle_seconds)
            await self._pause(pause)

    def nudge(self) -> None:
        """Looks at the store now: something was just written."""
        self._nudged.set()

    async def catch_up(self, at_least: int, timeout_seconds: float) -> str:
        """Waits until everything that is in the store now, and `at_least`, is applied; says what is missing where that
        does not come in time, and an empty text otherwise."""
        try:
            last = self._store.last_sequence()
        except StoreError as error:
            return f"the store does not answer ({error})"
        if at_least > last:
            return f"change {at_least} is not in this store, whose last is {last}"
        if last <= self.applied:
            return ""
        done = asyncio.get_running_loop().create_future()
        waiter = (last, done)
        self._waiters.append(waiter)
        self._nudged.set()
        try:
            async with asyncio.timeout(timeout_seconds):
                await done
        except TimeoutError:
            return f"{last - self.applied} changes are not applied yet"
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
        return ""

    async def restart_trends(self, trends: Trends, after: int, newest_micros: int) -> None:
        """Brings a fold that ends at change `after` up to date and makes it the live one."""
        in_thread = asyncio.get_running_loop().run_in_executor
        reached, chunk, waiting = after, self._config.chunk, set[str]()
        while reached < self.applied:
            through = self.applied
            newest = await in_thread(
                self._threads,
                _fold_log,
                self._store,
                trends,
                reached,
                through,
                chunk,
                self._not_training,
                self._newest_of,
                waiting,
            )
            newest_micros = max(newest_micros, newest)
            reached = through
        self._waiting_ids |= waiting
        self.trends = trends
        self.newest_event_micros = newest_micros
        self.trends_version += 1

    async def restart_trends_from_log(self) -> None:
        """Starts the fold from the newest part of the log, where no release brings one."""
        await self.restart_trends(Trends(), max(0, self.applied - self._config.log_window), 0)

    async def refold(self) -> None:
        """Folds the trends anew from the whole log after somebody was erased or changed whether they are learned from,
        until cancelled; what comes soon after one another is done at once."""
        while True:
            await self._refold.wait()
            await asyncio.sleep(self._config.refold_seconds)
            self._refold.clear()
            try:
                await self.restart_trends(Trends(self.trends.half_lives), 0, 0)
            except StoreError:
                self._refold.set()
                raise

    def trend_time_micros(self) -> int:
        """The time at which trends are read: of the newest event, but never in the future."""
        return min(self._clock(), self.newest_event_micros)

    async def _poll(self) -> None:
        in_thread = asyncio.get_running_loop().run_in_executor
        changes, stands, erased, not_training = await in_thread(self._threads, self._read_changes)
        self._counters.polls += 1
        self._counters.events += len(changes.events)
        self._counters.items += len(changes.items)
        if changes.items:
            self.catalog.apply(changes.items)
            for listener in self.on_items:
                listener(changes.items)
        if changes.events:
            self.users.take_in(changes.events)
            for hears in self.on_events:
                hears(changes.events)
            newest = _fold(self.trends, stands, self._not_training)
            self.newest_event_micros = max(self.newest_event_micros, newest)
            self.trends_version += 1
        moved = (rewrite.user_id for rewrite in changes.rewrites)
        self.users.forget([*erased, *moved, *(stored.user_id for stored in changes.users)])
        joined = any(rewrite.user_id in not_training for rewrite in changes.rewrites)
        if changes.erasures or joined or not_training != self._not_training:
            self._not_training = not_training
            self._refold.set()
        self.applied = changes.through
        waiting = self._waiters
        self._waiters = [waiter for waiter in waiting if waiter[0] > self.applied]
        for target, done in waiting:
            if target <= self.applied and not done.done():
                done.set_result(None)

    def _read_changes(self) -> tuple[Changes, Difference, list[str], frozenset[str]]:
        """What is new in the store and what of the log stands by it, who of those in memory was erased, and whose events
        train nothing now."""
        changes = self._store.changes(self.applied, self._config.chunk)
        stands = difference(changes.events, self._newest_of, self._waiting_ids)
        digests = {erasure.digest for erasure in changes.erasures}
        people = bool(changes.users or digests or changes.rewrites)
        not_training = self._store.users_not_training() if people else self._not_training
        return changes, stands, self.users.erased(digests) if digests else [], not_training

    def _newest_of(self, user_id: str) -> list[LoggedEvent]:
        return self._store.read_user(user_id, _UNDONE_AMONG)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._nudged.wait()
        except TimeoutError:
            pass
        self._nudged.clear()


def _fold_log(
    store: Store,
    trends: Trends,
    after: int,
    through: int,
    chunk: int,
    not_training: Collection[str],
    all_of: AllOf,
    waiting: set[str],
) -> int:
    events = store.scan_log(after, through)
    newest = 0
    while some := list(islice(events, chunk)):
        newest = max(newest, _fold(trends, difference(some, all_of, waiting), not_training))
    return newest


def _fold(trends: Trends, stands: Difference, not_training: Collection[str]) -> int:
    """Folds in what stands now and takes away what no longer does, but for the events of some users; the newest time."""
    come, gone = ([event for event in events if event.user_id not in not_training] for events in stands)
    trends.fold(to_fold(come))
    trends.fold(to_fold(gone), sign=-1.0)
    return max((event.time_micros for event in come), default=0)

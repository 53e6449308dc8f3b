"""Which releases serve here: the active one, a canary beside it for a share of the users, a shadow that only scores.

`run` looks at the store and flips what is loaded already, `adopt` makes ready what is not, `keep` keeps live what ages and
lets go of what has drained. On any failure what serves goes on serving, and the reason is on record (`refusals.py`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import TypeVar, TypeVarTuple

import structlog

from recency_features.history import MICROS_PER_SECOND
from recency_server.adopt import Adopter, ReleaseConfig
from recency_server.counters import Counters
from recency_server.follow import Follower
from recency_server.leases import ReleaseLeases
from recency_server.query import Clock
from recency_server.refusals import Refusals
from recency_server.release import Release
from recency_server.roles import STATE_OF, Role, canary_share
from recency_server.rules_in_force import RulesInForce
from recency_store.errors import StoreError
from recency_store.protocol import Store
from recency_store.records import ReleaseRecord, StoredItem, last_good

_log = structlog.get_logger("recency.server")
_T = TypeVar("_T")
_Arguments = TypeVarTuple("_Arguments")


class Releases:
    """The releases that serve, and those that drain."""

    def __init__(
        self,
        store: Store,
        adopter: Adopter,
        follower: Follower,
        rules: RulesInForce,
        threads: Executor,
        counters: Counters,
        clock: Clock,
        gateway_id: str,
        config: ReleaseConfig,
    ) -> None:
        self._store = store
        self._rules = rules
        self._adopter = adopter
        self._follower = follower
        self._threads = threads
        self._counters = counters
        self._clock = clock
        self._config = config
        self._leases = ReleaseLeases(store, clock, gateway_id, config.lease_seconds)
        self.live: Release | None = None
        self.canary: Release | None = None
        self.shadow: Release | None = None
        self.canary_fraction = 0.0
        self.refusals = Refusals(self._leases, threads, counters, config.refused_seconds)
        # Everything that is ready, in a role or draining.
        self._loaded: dict[int, Release] = {}
        self._wanted: dict[Role, ReleaseRecord] = {}
        # The release that answers in place of an active one that could not be had at the start; 0 for none.
        self._stand_in = 0
        self._away = ""
        self._flipped = asyncio.Event()
        self._missing = asyncio.Event()
        self._look_now = asyncio.Event()
        self._renewed_seconds = 0.0
        self._refreshed_micros = 0
        follower.on_items.append(self._take_in)

    @property
    def reason(self) -> str:
        """Why the release that is active in the store does not answer here; empty where it does."""
        active = self._wanted.get(Role.ACTIVE)
        if self._away:
            return self._away
        if active is None:
            return "no release is active"
        if self.live is not None and self.live.number == active.release:
            return ""
        return self.refusals.reasons.get(active.release, f"release {active.release} is being made ready")

    @property
    def draining(self) -> list[Release]:
        """Those that serve no new request and are still held, or were a moment ago."""
        serving = self.serving()
        return [release for release in self._loaded.values() if release not in serving]

    def serving(self) -> list[Release]:
        """The active one, the canary and the shadow, those of them that are ready."""
        return [release for release in (self.live, self.canary, self.shadow) if release is not None]

    def role_of(self, number: int) -> str:
        """What this gateway does with a release: a role, `draining`, or nothing."""
        for role, release in (("active", self.live), ("canary", self.canary), ("shadow", self.shadow)):
            if release is not None and release.number == number:
                return role
        return "draining" if number in self._loaded else ""

    def loaded(self, number: int) -> Release | None:
        """The release of a number, where it is ready here."""
        return self._loaded.get(number)

    @contextmanager
    def hold(self, key: str = "") -> Iterator[Release | None]:
        """The release for one request of a user (or, of somebody unknown, a session): the canary for its share of them,
        else the active one. It is not let go of before the request ends."""
        release = self._for(key)
        if release is None:
            yield None
            return
        # `keep` refreshes by the wall's time; a clock that replays the past may leap ahead of that.
        if abs(self._clock() - self._refreshed_micros) >= self._config.trend_seconds * MICROS_PER_SECOND:
            self.refresh()
        with holding(release):
            yield release

    def look_soon(self) -> None:
        """Looks at the store now: a state was just written."""
        self._look_now.set()

    async def until_active(self, number: int) -> None:
        """Waits until this gateway answers with a release."""
        while self.live is None or self.live.number != number:
            await self._flipped.wait()

    async def look(self) -> None:
        """Looks at the store, flips to what is ready, and makes the active release ready where it is not. Before `run`
        and `adopt`, so that the first request has a model; a canary that hangs does not hold a start up."""
        await self._look()
        await self._adopt_missing((Role.ACTIVE,))

    async def run(self) -> None:
        """Watches which releases should serve until cancelled."""
        while True:
            try:
                async with asyncio.timeout(self._config.poll_seconds):
                    await self._look_now.wait()
            except TimeoutError:
                pass
            self._look_now.clear()
            await self._look()
            self._missing.set()

    async def adopt(self) -> None:
        """Makes ready what should serve and is not, beside `run`: a long adoption holds no other flip up."""
        while True:
            await self._missing.wait()
            self._missing.clear()
            await self._adopt_missing(tuple(Role))

    async def keep(self) -> None:
        """Keeps live what ages: trends, time windows, leases; lets go of what has drained."""
        while True:
            await asyncio.sleep(self._config.trend_seconds)
            self.refresh()
            for number in [release.number for release in self.draining if not release.held]:
                del self._loaded[number]
                await self._in_thread(self._leases.let_go, number)
                _log.info("release let go", release=number)
            if time.monotonic() - self._renewed_seconds > self._config.lease_seconds / 3:
                self._renewed_seconds = time.monotonic()
                await self._in_thread(self._leases.renew)

    def refresh(self) -> None:
        """Brings live biases up to now: trends, time windows, business rules."""
        follower = self._follower
        self._refreshed_micros = self._clock()
        lifts = self._rules.effect(self._refreshed_micros).lifts
        for release in self.serving():
            release.refresh(follower.trends, follower.trend_time_micros(), self._refreshed_micros)
            release.lift(lifts)

    async def close(self) -> None:
        """Gives the leases up."""
        await self._in_thread(self._leases.close)

    def _for(self, key: str) -> Release | None:
        canary = self.canary
        if canary is not None and key and canary_share(key, canary.number) < self.canary_fraction:
            return canary
        return self.live

    async def _look(self) -> None:
        try:
            records = await self._in_thread(self._store.serving_releases)
        except StoreError as error:
            self._away = f"the store does not answer ({error})"
            return
        self._away = ""
        # Newest first: of several shadows the newest is scored.
        self._wanted = {
            role: next(record for record in records if record.state is state)
            for role, state in STATE_OF.items()
            if any(record.state is state for record in records)
        }
        self._flip()
        await self.refusals.keep_only({self._stand_in, *(record.release for record in self._wanted.values())})

    def _flip(self) -> None:
        """Gives the roles to what is ready, all in one turn of the loop. Without its successor the active one goes on; a
        canary or a shadow that is wanted no more ends at once."""
        before = self.serving()
        number_of = {role: record.release for role, record in self._wanted.items()}
        live = self._loaded.get(number_of.get(Role.ACTIVE, 0))
        if live is not None and live is not self.live:
            _log.info("release flipped", release=live.number, before=self.live.number if self.live else 0)
            self._counters.swaps += 1
            self.live = live
            self._flipped.set()
            self._flipped = asyncio.Event()
        self.canary = self._loaded.get(number_of.get(Role.CANARY, 0))
        self.canary_fraction = self._wanted[Role.CANARY].canary_fraction if self.canary is not None else 0.0
        self.shadow = self._loaded.get(number_of.get(Role.SHADOW, 0))
        if any(release not in before for release in self.serving()):
            self.refresh()

    async def _adopt_missing(self, roles: Sequence[Role]) -> None:
        for role in roles:
            record = self._wanted.get(role)
            if record is not None:
                await self._try(record, leads=role is Role.ACTIVE)
        if self.live is None and not self._away:
            await self._stand_in_for_active()

    async def _stand_in_for_active(self) -> None:
        """With nothing to answer with (this gateway has just started) and no active release, or one that cannot be had, the
        one that served before answers meanwhile."""
        try:
            record = last_good(await self._in_thread(self._store.list_releases))
        except StoreError:
            return
        if record is not None:
            self._stand_in = record.release
            await self._try(record, leads=True)
            if self.live is None and record.release in self._loaded:
                self.live = self._loaded[record.release]
                self.refresh()
                _log.warning("the release that served before stands in", release=record.release, reason=self.reason)

    async def _try(self, record: ReleaseRecord, *, leads: bool) -> None:
        number = record.release
        if number in self._loaded or not self.refusals.is_due(number):
            return
        try:
            await self._in_thread(self._leases.serve, number)
            self._loaded[number] = await self._adopter.make_ready(record, self.live, leads=leads)
            self._flip()
        except Exception as error:
            await self._in_thread(self._leases.let_go, number)
            await self.refusals.note(number, error)
        else:
            await self.refusals.accept(number)

    def _take_in(self, items: Sequence[StoredItem]) -> None:
        now, entries = self._clock(), self._follower.catalog.entries
        for release in self._loaded.values():
            for item in items:
                release.take_in(item, entries.get(item.item_id), now)
        self._adopter.take_in(items)

    async def _in_thread(self, call: Callable[[*_Arguments], _T], *args: *_Arguments) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *args)


@contextmanager
def holding(release: Release) -> Iterator[None]:
    """Counts one user of a release while entered."""
    release.held += 1
    try:
        yield
    finally:
        release.held -= 1

"""Which release serves: adopts the one that is active in the store, keeps its overlay live, lets the old one drain."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, TypeVarTuple

import structlog

from recency_features.history import MICROS_PER_SECOND
from recency_inference.artifacts import ReleaseCache
from recency_inference.client import Inference
from recency_inference.errors import BadRequest, InferenceError
from recency_server.counters import Counters
from recency_server.errors import ReleaseRefused, Unavailable
from recency_server.follow import Follower
from recency_server.query import Clock
from recency_server.release import Release
from recency_server.release_files import DEFAULT_CACHE, read_release
from recency_server.replay import replay_golden
from recency_store.errors import ManifestError, StoreError
from recency_store.protocol import Store
from recency_store.records import Lease, ReleaseRecord, StoredItem

_log = structlog.get_logger()
_T = TypeVar("_T")
_Arguments = TypeVarTuple("_Arguments")


@dataclass(frozen=True, slots=True)
class ReleaseConfig:
    """poll_seconds     between two looks at which release is active
    refused_seconds  before a refused release is tried again
    trend_seconds    the live biases (trends, time windows) that an answer uses are at most this old
    lease_seconds    how long a lease on a served release lasts unless renewed; renewed after a third of it
    page             items read at once for the overlay of a new release
    cache            where releases are fetched to that lie at a URL
    """

    poll_seconds: float = 0.5
    refused_seconds: float = 30.0
    trend_seconds: float = 1.0
    lease_seconds: float = 30.0
    page: int = 500
    cache: Path = DEFAULT_CACHE


class Releases:
    """The live release, and those that drain."""

    def __init__(
        self,
        store: Store,
        inference: Inference,
        follower: Follower,
        threads: Executor,
        counters: Counters,
        clock: Clock,
        gateway_id: str,
        config: ReleaseConfig,
    ) -> None:
        self._store = store
        self._inference = inference
        self._follower = follower
        self._threads = threads
        self._counters = counters
        self._clock = clock
        self._gateway_id = gateway_id
        self._config = config
        self._cache = ReleaseCache(config.cache)
        self.live: Release | None = None
        # Why the release that is active in the store does not serve here; empty where it does.
        self.reason = "no release is active"
        self._adopting: Release | None = None
        # Items that changed since the adoption under way began; None while there is none.
        self._changed: set[str] | None = None
        self._draining: list[Release] = []
        self._leases: dict[int, Lease] = {}
        self._refused: tuple[int, float] = (0, 0.0)
        self._renewed_seconds = 0.0
        self._refreshed_micros = 0
        follower.on_items.append(self._take_in)

    @contextmanager
    def hold(self) -> Iterator[Release | None]:
        """The live release for one request: it is not let go of before the request ends."""
        release = self.live
        if release is None:
            yield None
            return
        # `keep` refreshes by the wall's time; a clock that replays the past may leap ahead of that.
        if abs(self._clock() - self._refreshed_micros) >= self._config.trend_seconds * MICROS_PER_SECOND:
            self._refresh(release)
        release.held += 1
        try:
            yield release
        finally:
            release.held -= 1

    async def run(self) -> None:
        """Watches which release is active until cancelled."""
        while True:
            await asyncio.sleep(self._config.poll_seconds)
            await self.look()

    async def close(self) -> None:
        """Gives the leases up."""
        for number in list(self._leases):
            await self._in_thread(self._give_up, number)

    async def keep(self) -> None:
        """Keeps live what ages: trends, time windows, leases; lets go of what has drained."""
        while True:
            await asyncio.sleep(self._config.trend_seconds)
            if self.live is not None:
                self._refresh(self.live)
            for old in [old for old in self._draining if not old.held]:
                self._draining.remove(old)
                await self._in_thread(self._give_up, old.number)
            if time.monotonic() - self._renewed_seconds > self._config.lease_seconds / 3:
                self._renewed_seconds = time.monotonic()
                for number in list(self._leases):
                    await self._in_thread(self._lease, number)

    async def look(self) -> None:
        """Adopts the active release where it is another than the live one; on any failure the live one goes on."""
        try:
            record = await self._in_thread(self._store.active_release)
        except StoreError as error:
            self.reason = f"the store does not answer ({error})"
            return
        if record is None:
            self.reason = "no release is active"
            return
        if self.live is not None and record.release == self.live.number:
            self.reason = ""
            return
        refused, until = self._refused
        if record.release == refused and time.monotonic() < until:
            return
        await self._try(record)

    async def _try(self, record: ReleaseRecord) -> None:
        number = record.release
        try:
            await self._in_thread(self._lease, number)
            await self._adopt(record)
            self.reason = ""
            return
        except (Unavailable, StoreError) as error:
            # Not now; the next look tries again.
            reason = str(error)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            self._refused = (number, time.monotonic() + self._config.refused_seconds)
            self._counters.refusals += 1
            expected = isinstance(error, ReleaseRefused | ManifestError)
            _log.error("release refused", release=number, reason=reason, exc_info=not expected)
        finally:
            self._adopting, self._changed = None, None
        if reason != self.reason:
            _log.warning("release not adopted", release=number, reason=reason)
        self.reason = reason
        await self._in_thread(self._give_up, number)

    async def _adopt(self, record: ReleaseRecord) -> None:
        started = time.monotonic()
        content, cases = await self._in_thread(read_release, record, self._cache)
        for model, version in sorted(content.manifest.model_versions.items()):
            if not await self._inference.ready(model, version):
                raise Unavailable(f"{model} version {version} is not ready at {self._inference.target}")
        release = Release(content)
        follower = self._follower
        self._changed = set()
        await self._in_thread(release.block_all, follower.catalog.entries, self._clock())
        self._adopting = release
        await self._add_fresh(release)
        try:
            await replay_golden(release, cases, self._inference)
        except BadRequest as error:
            raise ReleaseRefused(f"release {release.number}: {error}") from error
        except InferenceError as error:
            raise Unavailable(str(error)) from error
        manifest = release.manifest
        behind = await follower.catch_up(manifest.trained_through_sequence, self._config.refused_seconds)
        if behind:
            raise Unavailable(f"the log is not followed up to where the release was trained: {behind}")
        await follower.restart_trends(
            content.trends, manifest.trained_through_sequence, manifest.trained_through_micros
        )
        for item_id in self._changed or ():
            release.show(item_id, follower.catalog.entries.get(item_id), self._clock())
        self._flip(release)
        _log.info(
            "release adopted",
            release=release.number,
            seconds=round(time.monotonic() - started, 3),
            golden_cases=len(cases),
            fresh_items=release.fresh_count,
            pending_items=len(release.pending),
        )

    async def _add_fresh(self, release: Release) -> None:
        """Gives rows to the items that came after the release's snapshot."""
        entries = self._follower.catalog.entries
        missing = [item_id for item_id in entries if item_id not in release.index_of]
        for start in range(0, len(missing), self._config.page):
            items = await self._in_thread(self._store.get_items, missing[start : start + self._config.page])
            for item_id, item in items.items():
                # What changed since was taken in already, in its newer state.
                if item_id not in release.index_of and item_id not in release.pending:
                    release.take_in(item, entries.get(item_id), self._clock())

    def _flip(self, release: Release) -> None:
        self._refresh(release)
        old, self.live, self._adopting = self.live, release, None
        self._counters.adoptions += 1
        if old is not None:
            self._draining.append(old)

    def _refresh(self, release: Release) -> None:
        follower = self._follower
        self._refreshed_micros = self._clock()
        release.refresh(follower.trends, follower.trend_time_micros(), self._refreshed_micros)

    def _take_in(self, items: Sequence[StoredItem]) -> None:
        now, entries = self._clock(), self._follower.catalog.entries
        for item in items:
            entry = entries.get(item.item_id)
            if self.live is not None:
                self.live.take_in(item, entry, now)
            if self._changed is not None:
                self._changed.add(item.item_id)
            if self._adopting is not None:
                self._adopting.take_in(item, entry, now)
            for old in self._draining:
                old.show(item.item_id, entry, now)

    def _lease(self, number: int) -> None:
        lease = self._store.acquire_lease(
            f"serving/{number}/{self._gateway_id}",
            self._gateway_id,
            int(self._config.lease_seconds * 1e6),
            self._clock(),
        )
        if lease is not None:
            self._leases[number] = lease

    def _give_up(self, number: int) -> None:
        lease = self._leases.pop(number, None)
        if lease is not None:
            try:
                self._store.release_lease(lease)
            except StoreError:
                _log.warning("lease not given up; it expires", lease=lease.name)

    async def _in_thread(self, call: Callable[[*_Arguments], _T], *args: *_Arguments) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *args)

"""Releases that should serve and cannot: why, when each is tried again, and everywhere that this is on record."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from concurrent.futures import Executor

import structlog

from recency_server.counters import Counters
from recency_server.errors import ReleaseRefused, Unavailable
from recency_server.leases import ReleaseLeases
from recency_store.errors import ManifestError, StoreError

_log = structlog.get_logger("recency.server")


class Refusals:
    """The reasons by release. Each is logged when it changes, counted, and said to others as a lease."""

    def __init__(self, leases: ReleaseLeases, threads: Executor, counters: Counters, retry_seconds: float) -> None:
        self._leases = leases
        self._threads = threads
        self._counters = counters
        self._retry_seconds = retry_seconds
        self._until_seconds: dict[int, float] = {}
        self.reasons: dict[int, str] = {}

    def is_due(self, release: int) -> bool:
        """Whether a release may be tried (again): what is not ready at once, what is at fault after a while."""
        return time.monotonic() >= self._until_seconds.get(release, 0.0)

    async def note(self, release: int, error: Exception) -> None:
        """A try that failed."""
        at_fault = isinstance(error, ManifestError) or not isinstance(error, Unavailable | StoreError)
        foreseen = isinstance(error, Unavailable | StoreError | ReleaseRefused)
        reason = str(error) if foreseen else f"{type(error).__name__}: {error}"
        if at_fault:
            self._until_seconds[release] = time.monotonic() + self._retry_seconds
            self._counters.refusals += 1
            _log.error("release refused", release=release, reason=reason, exc_info=None if foreseen else error)
        elif reason != self.reasons.get(release):
            _log.warning("release not adopted", release=release, reason=reason)
        if reason != self.reasons.get(release):
            self.reasons[release] = reason
            await asyncio.get_running_loop().run_in_executor(self._threads, self._leases.refuse, release, reason)

    async def accept(self, release: int) -> None:
        """It serves, or need not."""
        self._until_seconds.pop(release, None)
        if self.reasons.pop(release, None) is not None:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._leases.accept, release)

    async def keep_only(self, wanted: Collection[int]) -> None:
        """Forgets those that should not serve any more."""
        for release in [release for release in self.reasons if release not in wanted]:
            await self.accept(release)

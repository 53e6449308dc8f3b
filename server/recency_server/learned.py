"""What the item learner has learned since, for the releases that serve or are being made ready.

Fresh items' vectors change at once, on every gateway alike: the state is the store's. Known items' wait for an item release.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import islice
from weakref import WeakKeyDictionary

import numpy as np
import structlog
from prometheus_client.core import GaugeMetricFamily, Metric

from recency_server.query import Clock
from recency_server.release import F32, Release
from recency_store.errors import StoreError
from recency_store.protocol import Store

_log = structlog.get_logger("recency.server")
_AWAY_SECONDS = 1.0
# Items whose vectors are changed in one go, so that the event loop is not held for long.
_AT_ONCE = 500


@dataclass(slots=True)
class LearnedState:
    """How far a release reflects the item learner: the version of the state in the store, the place in the log, the newest
    event time, and of how many items that the release lacks a residual is known."""

    version: int = 0
    position: int = 0
    through_micros: int = 0
    items: int = 0


class Learned:
    """Follows the item learner."""

    def __init__(
        self, store: Store, serving: Callable[[], Sequence[Release]], threads: Executor, poll_seconds: float
    ) -> None:
        self._store = store
        self._serving = serving
        self._threads = threads
        self._poll_seconds = poll_seconds
        # By the release itself, not by its number: one that comes back by a rollback begins anew.
        self._states: WeakKeyDictionary[Release, LearnedState] = WeakKeyDictionary()

    def of(self, release: Release) -> LearnedState:
        """How far a release reflects it."""
        return self._states.get(release) or LearnedState()

    async def run(self) -> None:
        """Follows until cancelled."""
        while True:
            await asyncio.sleep(self._poll_seconds)
            try:
                for release in self._serving():
                    await self.bring(release)
            except StoreError as error:
                _log.info("the item learner is not followed", reason=str(error))
                await asyncio.sleep(_AWAY_SECONDS)

    async def bring(self, release: Release) -> None:
        """Brings a release up to what is learned now. StoreError where the store is away."""
        state = self.of(release)
        new, residuals = await asyncio.get_running_loop().run_in_executor(self._threads, self._read, release, state)
        if new is None:
            return
        rest = iter(residuals)
        while some := list(islice(rest, _AT_ONCE)):
            release.learn(some)
            await asyncio.sleep(0)
        new.items = release.learned_count
        self._states[release] = new

    def _read(self, release: Release, state: LearnedState) -> tuple[LearnedState | None, list[tuple[str, F32]]]:
        manifest = release.manifest
        learned = self._store.learned(manifest.item_space, state.version)
        if learned.version == state.version:
            return None, []
        own = range(release.item_count)
        residuals = [
            (row.item_id, np.frombuffer(row.residual, dtype="<f4"))
            for row in learned.rows
            if len(row.residual) == 4 * manifest.learned_dim and release.index_of.get(row.item_id, -1) not in own
        ]
        return LearnedState(learned.version, learned.position, learned.through_micros), residuals


def learner_families(learned: Learned, release: Release | None, store: Store, clock: Clock) -> Iterable[Metric]:
    """What Prometheus reads of the item learner, for the release that answers."""
    state = learned.of(release) if release is not None else LearnedState()
    lag = -1
    if state.version:
        try:
            lag = max(0, store.last_sequence() - state.position)
        except StoreError:
            lag = -1
    yield GaugeMetricFamily(
        "recency_learner_lag", "Changes that the item learner has not seen yet; -1: it has not begun.", value=lag
    )
    yield GaugeMetricFamily(
        "recency_learned_items", "Items newer than the release whose vector was learned.", value=state.items
    )
    if state.through_micros:
        yield GaugeMetricFamily(
            "recency_learned_age_seconds",
            "Age of the newest event that the item learner has seen.",
            value=(clock() - state.through_micros) / 1e6,
        )

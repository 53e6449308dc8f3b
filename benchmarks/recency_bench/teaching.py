"""What an arm learns from while time goes on: the item learner, moved by the place in the log, and releases after
windows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from recency_bench.replay import Asker, Feed
from recency_export.errors import ExportError
from recency_export.online import Learner
from recency_export.online_settings import LearnerConfig
from recency_export.progress import Silent
from recency_export.settings import BootstrapConfig
from recency_inference.artifacts import ReleaseCache
from recency_inference.client import BlockingInference
from recency_inference.errors import InferenceError
from recency_store.errors import StoreError
from recency_store.protocol import Store
from recency_store.records import ReleaseRecord, ReleaseState

Depth = Literal["item", "full"]

# Events that the learner takes at once: while nobody waits, a live one takes each as it comes; 1, 20 and 100 teach the same.
LEARN_EVERY = 20
_PAUSE_SECONDS = 0.2
_ADOPTED_SECONDS = 60.0
_LOOK_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Made:
    """A release that was made after a window: whether it serves, and why not; `release` is 0 where there was none."""

    window: int
    release: int
    state: str
    reason: str
    seconds: float


class ItemLearner:
    """The item learner over one store, learning all there is whenever so many events have come."""

    def __init__(self, store: Store, triton_target: str, folder: Path, config: LearnerConfig) -> None:
        self._inference = BlockingInference(triton_target)
        cache = ReleaseCache(folder / "fetched")
        self._learner = Learner(store, self._inference, cache, config, _wall_micros, "bench")
        self._learned = 0

    async def after_events(self, feed: Feed, asker: Asker) -> None:
        """Learns what the feed has written, if that is enough; the answers that follow reflect it."""
        if feed.events - self._learned >= LEARN_EVERY:
            await self.learn(feed, asker)

    async def learn(self, feed: Feed, asker: Asker) -> None:
        """Learns all that the feed has written."""
        await asyncio.to_thread(self._learner.catch_up)
        self._learned = feed.events
        asker.needs_learned_micros = feed.newest_micros

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Runs by itself, as beside a gateway: a candidate's space is caught up with while it is judged."""

        stop = asyncio.Event()

        async def keep_up() -> None:
            while not stop.is_set():
                # A release that is not loaded yet, or not any more: the next look tells.
                with suppress(InferenceError, StoreError, ExportError):
                    await asyncio.to_thread(self._learner.catch_up)
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), _PAUSE_SECONDS)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(keep_up())
            try:
                yield
            finally:
                stop.set()

    def close(self) -> None:
        """Lets go of the connection."""
        self._inference.close()


class Exporter:
    """Makes a release after each window, and waits until the gateway serves it."""

    def __init__(self, store: Store, folder: Path, depth: Depth, export: BootstrapConfig) -> None:
        self._store = store
        self._folder = folder
        self._depth = depth
        # The gateway's leases are in the time that is replayed: `release` waits for it by its answers.
        self._export = replace(export, run=replace(export.run, served_seconds=0.0))
        self.made: list[Made] = []

    async def release(self, window: int, asker: Asker) -> None:
        """Makes one."""
        started = time.monotonic()
        record = await asyncio.to_thread(self._make)
        seconds = time.monotonic() - started
        if record is None:
            self.made.append(Made(window, 0, "", "nothing was new", seconds))
            return
        self.made.append(Made(window, record.release, record.state.value, record.reason, seconds))
        if record.state is ReleaseState.ACTIVE:
            await _served(record.release, asker)

    def _make(self) -> ReleaseRecord | None:
        from recency_export.run import run_export

        releases = self._folder / "releases"
        return run_export(self._store, releases, self._export, Silent(), _wall_micros, depth=self._depth).record


async def _served(release: int, asker: Asker) -> None:
    until = time.monotonic() + _ADOPTED_SECONDS
    while (await asker.recommend("")).freshness.release != release:
        if time.monotonic() > until:
            raise TimeoutError(f"release {release} is active, and the gateway did not adopt it")
        await asyncio.sleep(_LOOK_SECONDS)


def _wall_micros() -> int:
    # Leases are about real processes, whatever time is replayed.
    return time.time_ns() // 1_000

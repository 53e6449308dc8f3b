"""What an arm learns from while time goes on: the item learner, moved by the place in the log, and releases after
windows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

from recency_bench.replay import Asker, Feed
from recency_export.errors import ExportError
from recency_export.online import Learner
from recency_export.online_settings import LearnerConfig
from recency_export.progress import Silent
from recency_export.settings import BootstrapConfig
from recency_inference.artifacts import ReleaseCache
from recency_inference.client import BlockingInference
from recency_inference.errors import InferenceError
from recency_inference.local import TritonConfig
from recency_server.config import GatewayConfig
from recency_store.errors import StoreError
from recency_store.protocol import Store
from recency_store.records import ReleaseRecord, ReleaseState

Depth = Literal["item", "full"]

# Events that the learner takes at once: while nobody waits, a live one takes each as it comes; 1, 20 and 100 teach the same.
LEARN_EVERY = 20
_PAUSE_SECONDS = 0.2
_ADOPTED_SECONDS = 60.0
_AWAY_SECONDS = 60.0
_LOOK_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Made:
    """A release that was made after a window: whether it serves, and why not; `release` is 0 where there was none."""

    window: int
    release: int
    state: str
    reason: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Stack:
    """How the stacks of a bench run: the deployment's own configuration."""

    triton: TritonConfig
    gateway: GatewayConfig
    learner: LearnerConfig
    export: BootstrapConfig


class Teacher(Protocol):
    """What an arm does besides answering."""

    async def before_case(self, place: int) -> None:
        """Everything due is written; the stream's event at `place` is asked for next."""
        ...

    async def after_window(self, window: int, end: int) -> None:
        """A window has ended before the stream's event at `end`, and another one follows."""
        ...


class ItemLearner:
    """The item learner over one store. `learned` is how many events of the stream it has learned."""

    def __init__(self, store: Store, triton_target: str, folder: Path, config: LearnerConfig) -> None:
        self._inference = BlockingInference(triton_target)
        cache = ReleaseCache(folder / "fetched")
        self._learner = Learner(store, self._inference, cache, config, wall_micros, "bench")
        self.learned = 0

    async def learn(self, feed: Feed) -> None:
        """Learns all that the feed has written."""
        until = time.monotonic() + _AWAY_SECONDS
        while True:
            try:
                await asyncio.to_thread(self._learner.catch_up)
                break
            except InferenceError:
                # A Triton that starts again is no reason to give a long run up; its answers count as degraded meanwhile.
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(_PAUSE_SECONDS)
        self.learned = feed.events

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

        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(keep_up())
                try:
                    yield
                finally:
                    stop.set()
        except BaseExceptionGroup as group:
            # What the body raises comes out as it is.
            raise group.exceptions[0] from None

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
        try:
            record = await asyncio.to_thread(self._make)
        except ExportError as error:
            # The old release goes on serving, and the next window tries again: as `export watch` does.
            self.made.append(Made(window, 0, "FAILED", str(error), time.monotonic() - started))
            return
        seconds = time.monotonic() - started
        if record is None:
            self.made.append(Made(window, 0, "", "nothing was new", seconds))
            return
        self.made.append(Made(window, record.release, record.state.value, record.reason, seconds))
        if record.state is ReleaseState.ACTIVE:
            await served_by_gateway(record.release, asker)

    def _make(self) -> ReleaseRecord | None:
        from recency_export.run import run_export

        releases = self._folder / "releases"
        return run_export(self._store, releases, self._export, Silent(), wall_micros, depth=self._depth).record


class Teaching:
    """The item learner and the exporter of one arm, as far as it has them, over the store that the gateway serves from."""

    def __init__(
        self,
        learns: bool,
        depth: Depth | None,
        store: Store,
        triton_target: str,
        folder: Path,
        stack: Stack,
        feed: Feed,
        asker: Asker,
    ) -> None:
        self._feed = feed
        self._asker = asker
        export = replace(stack.export, workspace=folder / "export")
        self._exporter = Exporter(store, folder, depth, export) if depth is not None else None
        self._learner = ItemLearner(store, triton_target, folder, stack.learner) if learns else None

    @property
    def made(self) -> list[Made]:
        """The releases so far."""
        return self._exporter.made if self._exporter is not None else []

    async def before_case(self, place: int) -> None:
        """The learner learns when enough has come."""
        if self._learner is not None and self._feed.events - self._learner.learned >= LEARN_EVERY:
            await self._learn(self._learner)

    async def after_window(self, window: int, end: int) -> None:
        """A release, with the learner at work beside it and caught up before and after."""
        learner = self._learner
        if learner is not None:
            await self._learn(learner)
        if self._exporter is None:
            return
        async with learner.at_work() if learner is not None else nullcontext():
            await self._exporter.release(window, self._asker)
        if learner is not None:
            await self._learn(learner)

    async def _learn(self, learner: ItemLearner) -> None:
        await learner.learn(self._feed)
        self._asker.needs_learned_micros = self._feed.newest_micros

    def close(self) -> None:
        """Lets go of connections."""
        if self._learner is not None:
            self._learner.close()


async def served_by_gateway(release: int, asker: Asker) -> None:
    """Waits until the gateway answers from a release."""
    until = time.monotonic() + _ADOPTED_SECONDS
    while (await asker.recommend("")).freshness.release != release:
        if time.monotonic() > until:
            raise TimeoutError(f"release {release} is active, and the gateway did not adopt it")
        await asyncio.sleep(_LOOK_SECONDS)


def wall_micros() -> int:
    """Now. Leases are about real processes, whatever time is replayed."""
    return time.time_ns() // 1_000

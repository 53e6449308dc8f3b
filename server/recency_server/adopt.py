"""Makes a release ready to serve, or raises why it cannot be: its files, its models in Triton, its golden cases through
this gateway's own code, what came to the catalogue after it, the trends since it was trained."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, TypeVarTuple

import structlog

from recency_features.trends import Trends
from recency_inference.artifacts import ReleaseCache
from recency_inference.client import Inference
from recency_inference.errors import BadRequest, InferenceError
from recency_server.counters import Counters
from recency_server.embed import Embedder
from recency_server.errors import Overloaded, ReleaseRefused, TooLate, Unavailable
from recency_server.follow import Follower
from recency_server.learned import Learned
from recency_server.query import Clock
from recency_server.release import Release
from recency_server.release_files import DEFAULT_CACHE, check_release, read_release
from recency_server.replay import replay_golden
from recency_store.errors import ManifestError
from recency_store.manifest import Manifest
from recency_store.protocol import Store
from recency_store.records import ReleaseRecord, StoredItem

# Rows of the trend fold found for a release in one turn of the loop: about 3 ms.
_MAPPED_AT_ONCE = 5_000
_log = structlog.get_logger("recency.server")
_T = TypeVar("_T")
_Arguments = TypeVarTuple("_Arguments")


@dataclass(frozen=True, slots=True)
class ReleaseConfig:
    """poll_seconds     between two looks at which releases serve
    refused_seconds  before a refused release is tried again
    trend_seconds    the live biases (trends, time windows) that an answer uses are at most this old
    lease_seconds    how long a lease on a served release lasts unless renewed; renewed after a third of it
    encode_seconds   the longest that a swap to another language model waits for newer items to be encoded anew
    page             items read at once for the overlay of a new release
    cache            where releases are fetched to that lie at a URL
    """

    poll_seconds: float = 0.5
    refused_seconds: float = 30.0
    trend_seconds: float = 1.0
    lease_seconds: float = 30.0
    encode_seconds: float = 20.0
    page: int = 500
    cache: Path = DEFAULT_CACHE


async def unready_models(inference: Inference, versions: Mapping[str, int]) -> str:
    """Which of the models that a release needs is not loaded; empty where all are."""
    for model, version in sorted(versions.items()):
        if not await inference.ready(model, version):
            return f"{model} version {version} is not ready at {inference.target}"
    return ""


def recorded_versions(record: ReleaseRecord) -> Mapping[str, int]:
    """The model versions that a release's record names; none where its manifest cannot be read."""
    try:
        return Manifest.from_json(record.manifest_json, f"release {record.release}").model_versions
    except ManifestError:
        return {}


class Adopter:
    """Makes releases ready, one at a time."""

    def __init__(
        self,
        store: Store,
        inference: Inference,
        follower: Follower,
        embedder: Embedder,
        learned: Learned,
        threads: Executor,
        counters: Counters,
        clock: Clock,
        config: ReleaseConfig,
    ) -> None:
        self._store = store
        self._inference = inference
        self._follower = follower
        self._embedder = embedder
        self._learned = learned
        self._threads = threads
        self._counters = counters
        self._clock = clock
        self._config = config
        self._cache = ReleaseCache(config.cache)
        self._making: Release | None = None
        # Items that changed since the work under way began; None while there is none.
        self._changed: set[str] | None = None

    async def make_ready(self, record: ReleaseRecord, live: Release | None, *, leads: bool) -> Release:
        """The release, as current as the catalogue: whoever awaits this takes over with `take_in` before anything else
        runs. `leads` says that it will be the active one, whose fold the live trends go on from.

        Unavailable where that may be otherwise soon; ReleaseRefused or ManifestError where the release is at fault.
        """
        steps: dict[str, float] = {}
        follower = self._follower
        try:
            with _timed(steps, "ready"):
                # By the record, before the folder is read: this is asked again and again while Triton loads.
                unready = await unready_models(self._inference, recorded_versions(record))
                if unready:
                    # It may be for the same reason that we would refuse it.
                    await self._in_thread(check_release, record, self._cache)
                    raise Unavailable(unready)
            with _timed(steps, "read"):
                content, cases = await self._in_thread(read_release, record, self._cache)
                unready = await unready_models(self._inference, content.manifest.model_versions)
                if unready:
                    raise Unavailable(unready)
                release = await self._in_thread(Release, content)
            with _timed(steps, "golden"):
                try:
                    await replay_golden(release, cases, self._inference)
                except BadRequest as error:
                    raise ReleaseRefused(f"release {release.number}: {error}") from error
                except InferenceError as error:
                    raise Unavailable(str(error)) from error
            with _timed(steps, "overlay"):
                self._changed = set()
                await self._in_thread(release.block_all, follower.catalog.entries, self._clock())
                self._making = release
                await self._add_fresh(release)
                await self._learned.bring(release)
            with _timed(steps, "encode"):
                await self._encode(release, live, leads)
            with _timed(steps, "trends"):
                await self._fold_trends(release, content.trends, leads)
            for item_id in self._changed:
                release.show(item_id, follower.catalog.entries.get(item_id), self._clock())
        finally:
            self._making, self._changed = None, None
        self._note(release, steps)
        return release

    def take_in(self, items: Sequence[StoredItem]) -> None:
        """Changes of items, for the release that is being made ready."""
        if self._changed is not None:
            self._changed.update(item.item_id for item in items)
        if self._making is not None:
            now, entries = self._clock(), self._follower.catalog.entries
            for item in items:
                self._making.take_in(item, entries.get(item.item_id), now)

    async def _add_fresh(self, release: Release) -> None:
        """Gives rows to the items that came after the release's snapshot."""
        entries = self._follower.catalog.entries
        missing = await self._in_thread(_missing, list(entries), release)
        for start in range(0, len(missing), self._config.page):
            items = await self._in_thread(self._store.get_items, missing[start : start + self._config.page])
            for item_id, item in items.items():
                # What changed since was taken in already, in its newer state.
                if item_id not in release.index_of and item_id not in release.pending:
                    release.take_in(item, entries.get(item_id), self._clock())

    async def _encode(self, release: Release, live: Release | None, leads: bool) -> None:
        """Another language model reads newer items anew: those that the live release can show are not to vanish when the
        other takes over. What is not done in time follows while it serves."""
        if live is None:
            return
        until = time.monotonic() + self._config.encode_seconds
        while time.monotonic() < until:
            waiting = [item_id for item_id in release.pending if item_id in live.index_of]
            if not waiting:
                return
            try:
                await self._embedder.embed_some(release, waiting, keep=leads)
            except (Unavailable, Overloaded, TooLate) as error:
                _log.warning("newer items wait to be encoded", release=release.number, reason=str(error))
                return

    async def _fold_trends(self, release: Release, trends: Trends, leads: bool) -> None:
        follower, manifest = self._follower, release.manifest
        behind = await follower.catch_up(manifest.trained_through_sequence, self._config.refused_seconds)
        if behind:
            raise Unavailable(f"the log is not followed up to where the release was trained: {behind}")
        if leads:
            through, micros = manifest.trained_through_sequence, manifest.trained_through_micros
            if await self._in_thread(self._store.erasures, through):
                # The release's own fold holds people who were erased since.
                trends, through, micros = Trends(trends.half_lives), 0, 0
            await follower.restart_trends(trends, through, micros)
        more = True
        while more:
            more = release.map_trends(follower.trends, _MAPPED_AT_ONCE)
            await asyncio.sleep(0)

    def _note(self, release: Release, steps: dict[str, float]) -> None:
        counters = self._counters
        counters.adoptions += 1
        for step, seconds in steps.items():
            counters.adoption_seconds[step] = counters.adoption_seconds.get(step, 0.0) + seconds
        _log.info(
            "release ready",
            release=release.number,
            seconds={step: round(seconds, 3) for step, seconds in steps.items()},
            fresh_items=release.fresh_count,
            pending_items=len(release.pending),
        )

    async def _in_thread(self, call: Callable[[*_Arguments], _T], *args: *_Arguments) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *args)


def _missing(item_ids: Sequence[str], release: Release) -> list[str]:
    return [item_id for item_id in item_ids if item_id not in release.index_of]


@contextmanager
def _timed(steps: dict[str, float], step: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    steps[step] = time.monotonic() - started

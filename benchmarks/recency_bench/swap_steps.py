"""The steps by which one release after another takes over, as the exporter and its watcher make them, each timed."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recency_bench.swap_probe import SwapProbe
from recency_bench.variants import Variants
from recency_inference.giving_way import giving_way
from recency_inference.wanted import READY, SERVING, leased_releases, ready_lease
from recency_store.protocol import Store
from recency_store.records import ReleaseRecord, ReleaseState, last_good

_ASK_SECONDS = 0.05
_GIVE_UP_SECONDS = 120.0
_CANARY_FRACTION = 0.3
_STUBS_END_SECONDS = 5.0
REST = "rest"


@dataclass(slots=True)
class SwapTimes:
    """Seconds of each swap by step, in order, and how many of each kind there were."""

    publish: list[float] = field(default_factory=list)
    load: list[float] = field(default_factory=list)
    flip: list[float] = field(default_factory=list)
    rollback: list[float] = field(default_factory=list)
    canary: list[float] = field(default_factory=list)
    rest: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Swapper:
    """The swaps, one after the other."""

    store: Store
    variants: Variants
    releases: Path
    triton_target: str
    now_micros: Callable[[], int]
    # Set when the first release is there.
    probe: SwapProbe = field(init=False)
    times: SwapTimes = field(default_factory=SwapTimes)
    # (step, from, to) by the wall clock, to find the answers of that time.
    spans: list[tuple[str, float, float]] = field(default_factory=list)

    async def first(self) -> int:
        """Makes the first variant the active release, before anybody asks."""
        number = self.store.next_release()
        await self._published(number)
        self.store.set_release_state(number, ReleaseState.ACTIVE)
        return number

    async def swap(self, *, canary: bool, back: bool) -> None:
        """One new release takes over: after it was a canary, or before the last one comes back."""
        number = self.store.next_release()
        await self._published(number)
        if canary:
            with self._timed("canary", self.times.canary):
                self.store.set_release_state(number, ReleaseState.CANARY, canary_fraction=_CANARY_FRACTION)
                await until(lambda: number in self.probe.seen, f"release {number} is a canary")
        with self._timed("flip", self.times.flip):
            self.store.set_release_state(number, ReleaseState.ACTIVE)
            await self._served(number, everybody=canary)
        if back and last_good(self.store.list_releases()) is not None:
            with self._timed("rollback", self.times.rollback):
                goal = self.store.roll_back(0, "bench freshness --swaps")
                await self._served(goal.release, everybody=False)
        await asyncio.to_thread(self._prune)

    async def rest(self, seconds: float) -> None:
        """So long nothing, once Triton holds what is wanted now and no more: what it lets go of takes a moment to end."""
        await until(lambda: self._held() == self._kept(), "Triton has let go of what nobody wants")
        await asyncio.sleep(_STUBS_END_SECONDS)
        with self._timed(REST, self.times.rest):
            await asyncio.sleep(seconds)

    def _held(self) -> frozenset[int]:
        return leased_releases(self.store.list_leases(f"{READY}/", self.now_micros()))

    def _kept(self) -> frozenset[int]:
        records = self.store.list_releases()
        good = last_good(records)
        serving = leased_releases(self.store.list_leases(f"{SERVING}/", self.now_micros()))
        return (
            serving
            | {record.release for record in records if record.state is ReleaseState.ACTIVE}
            | ({good.release} if good else set())
        )

    async def _published(self, number: int) -> None:
        with self._timed("publish", self.times.publish):
            # The exporter's work gives way to answering, here as there.
            await asyncio.to_thread(giving_way, self._publish, number)
        with self._timed("load", self.times.load):
            ready = ready_lease(number, self.triton_target)
            await until(lambda: self._ready(number, ready), f"release {number} is ready in Triton")

    async def _served(self, number: int, *, everybody: bool) -> None:
        """Until an answer is from it; after a canary, until every user's is."""
        probe = self.probe

        def served() -> bool:
            return set(probe.serving.values()) == {number} if everybody else probe.newest == number

        await until(served, f"answers are from release {number}")

    def _ready(self, number: int, lease: str) -> bool:
        record = self.store.get_release(number)
        if record.state is ReleaseState.REJECTED:
            raise RuntimeError(f"release {number} was rejected: {record.reason}")
        return bool(self.store.list_leases(lease, self.now_micros()))

    def _publish(self, number: int) -> None:
        active = self.store.active_release()
        manifest = self.variants.make(number, active.release if active else 0)
        self.store.put_release(
            ReleaseRecord(
                release=number,
                state=ReleaseState.CANDIDATE,
                reason="",
                url=str((self.releases / str(number)).resolve()),
                parent=manifest.parent,
                create_micros=self.now_micros(),
                manifest_json=manifest.to_json(),
            )
        )

    def _prune(self) -> None:
        """Removes the folders of what no Triton holds any more."""
        records = self.store.list_releases()
        # A rollback may come, and another one after it.
        served = sorted((record.activation, record.release) for record in records if record.activation)
        kept = self._kept() | {release for _, release in served[-3:]}
        for record in records:
            folder = self.releases / str(record.release)
            if record.state is ReleaseState.RETIRED and record.release not in kept and folder.is_dir():
                shutil.rmtree(folder)

    @contextmanager
    def _timed(self, name: str, taken: list[float]) -> Iterator[None]:
        begun, started = time.time(), time.monotonic()
        yield
        taken.append(time.monotonic() - started)
        self.spans.append((name, begun, time.time()))


async def until(happened: Callable[[], Any], what: str) -> None:
    """Waits; TimeoutError says for what."""
    limit = time.monotonic() + _GIVE_UP_SECONDS
    while not happened():
        if time.monotonic() > limit:
            raise TimeoutError(f"not within {_GIVE_UP_SECONDS:.0f} s: {what}")
        await asyncio.sleep(_ASK_SECONDS)

"""What answers of a canary and of the active release come to beside each other, and when the canary has to go.

One gateway judges by what it saw itself: its own answers, and every event of the log that cites one of them. Totals over
gateways are in the metrics.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import structlog

from recency_features.events import rule
from recency_server.arm_limits import CanaryConfig, Tally, broken_limits
from recency_server.counters import Counters
from recency_server.follow import Follower
from recency_server.release import Release
from recency_server.releases import Releases
from recency_store.errors import StateChanged, StoreError
from recency_store.protocol import Store
from recency_store.records import LoggedEvent, ReleaseState

_log = structlog.get_logger("recency.server")
# The latest answers whose latency is kept.
_LATENCIES = 1_000


@dataclass(slots=True)
class Arm:
    """One release's part of the comparison."""

    release: int
    tally: Tally = field(default_factory=Tally)
    # The recommendation ids of its newest answers, with the reward that each has had.
    remembered: OrderedDict[str, float] = field(default_factory=OrderedDict)
    latencies_seconds: deque[float] = field(default_factory=lambda: deque(maxlen=_LATENCIES))

    def reward(self, recommendation_id: str, weight: float, most: float) -> bool:
        """A positive event that cites an answer; False where it is not one of this arm's. What one answer can earn is
        bounded, so that nobody decides a comparison alone."""
        before = self.remembered.get(recommendation_id)
        if before is None:
            return False
        self.tally.clicks += 1
        after = min(most, before + weight)
        self.remembered[recommendation_id] = after
        self.tally.reward += after - before
        self.tally.reward_squares += after * after - before * before
        return True


class Watched:
    """One request of an arm, entered while its release is held. Without a canary it notes nothing."""

    __slots__ = ("_arm", "_most", "_started")

    def __init__(self, arm: Arm | None, most: int) -> None:
        self._arm = arm
        self._most = most

    def __enter__(self) -> Self:
        self._started = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._arm is None:
            return
        if kind is None:
            self._arm.latencies_seconds.append(time.perf_counter() - self._started)
        elif issubclass(kind, Exception):
            # A caller who went away (CancelledError) says nothing about the release.
            self._arm.tally.errors += 1

    def answered(self, recommendation_id: str, by_model: bool) -> None:
        """Its answer, and whether the release's models made it."""
        arm = self._arm
        if arm is None:
            return
        arm.tally.answers += 1
        arm.tally.degraded += not by_model
        arm.remembered[recommendation_id] = 0.0
        if len(arm.remembered) > self._most:
            arm.remembered.popitem(last=False)


class Arms:
    """The comparison under way, or the last one."""

    def __init__(
        self,
        store: Store,
        releases: Releases,
        follower: Follower,
        threads: Executor,
        counters: Counters,
        gateway_id: str,
        config: CanaryConfig,
    ) -> None:
        self._store = store
        self._releases = releases
        self._threads = threads
        self._counters = counters
        self._gateway_id = gateway_id
        self._config = config
        self._arms: dict[int, Arm] = {}
        follower.on_events.append(self._take_in)

    def of(self, number: int) -> Arm | None:
        """The arm of a release, of the comparison under way or else of the last one."""
        return self._arms.get(number)

    def pair(self) -> tuple[Arm, Arm] | None:
        """The active release's arm and the canary's, where there is a canary."""
        live, canary = self._releases.live, self._releases.canary
        if live is None or canary is None:
            return None
        if self._arms.keys() != {live.number, canary.number}:
            # A new canary, or a new active release beside it: compared from here on.
            self._arms = {number: Arm(number) for number in (live.number, canary.number)}
        return self._arms[live.number], self._arms[canary.number]

    def watching(self, release: Release | None) -> Watched:
        """Enter it for one request that holds a release."""
        arm = None
        if self._releases.canary is not None and release is not None and self.pair() is not None:
            arm = self._arms.get(release.number)
        return Watched(arm, self._config.remembered)

    async def run(self) -> None:
        """Judges until cancelled."""
        while True:
            await asyncio.sleep(self._config.judge_seconds)
            await self.judge()

    async def judge(self) -> None:
        """Ends a canary that has crossed a limit. StoreError leaves it for the next time."""
        pair = self.pair()
        if pair is None:
            return
        live, canary = pair
        limits = broken_limits(live.tally, live.latencies_seconds, canary.tally, canary.latencies_seconds, self._config)
        if not limits:
            return
        reason = f"canary ended by gateway {self._gateway_id}: {'; '.join(limits)}"
        try:
            ended = await asyncio.get_running_loop().run_in_executor(self._threads, self._end, canary.release, reason)
        except StoreError as error:
            _log.warning("a canary could not be ended", release=canary.release, reason=reason, error=str(error))
            return
        if ended:
            self._counters.canary_rollbacks += 1
            _log.error("canary ended", release=canary.release, beside=live.release, reason=reason)
        self._releases.look_soon()

    def _end(self, release: int, reason: str) -> bool:
        """False where it is the canary no more: somebody was first."""
        try:
            self._store.set_release_state(release, ReleaseState.RETIRED, reason, expected=ReleaseState.CANARY)
        except StateChanged:
            return False
        return True

    def _take_in(self, events: Sequence[LoggedEvent]) -> None:
        if not self._arms:
            return
        for event in events:
            weight = rule(event.type).positive_weight
            if weight <= 0.0:
                continue
            cited = event.event().recommendation_id
            if cited:
                any(arm.reward(cited, weight, self._config.reward_most) for arm in self._arms.values())

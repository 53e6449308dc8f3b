"""An arm in which one channel reaches the service late, and the others are live.

There are two stores. The log has everything at once: in it the item learner learns. The gateway serves from the other one,
into which events, items, what was learned, and releases are handed each with its delay. The releases are those of an arm
in which everything is live, made there once.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import grpc.aio

from recency.v1 import item_pb2
from recency_bench.arms import Replayed, read_replayed, replay_windows, write_replayed
from recency_bench.quality import register
from recency_bench.relabel import relabelled, trends_of
from recency_bench.replay import MICROS, Asker, Delays, Feed
from recency_bench.served import ReplayClock, served_stack
from recency_bench.split import catalogue
from recency_bench.start import Start
from recency_bench.stretch import Cases, Stretch
from recency_bench.teaching import LEARN_EVERY, ItemLearner, Stack, served_by_gateway, wall_micros
from recency_export.lineage import release_folder
from recency_features.spec import TREND_HALF_LIVES_SECONDS
from recency_store.protocol import Store
from recency_store.records import LearnedRow, Lease, NewItem, ReleaseRecord, ReleaseState
from recency_store.sqlite import open_sqlite

_LEASE = "learner"
_LEASE_MICROS = 86_400 * MICROS


@dataclass(frozen=True, slots=True)
class Live:
    """What the arm with everything live has left: its releases by the window after which they came to serve, and every item
    with its text vector."""

    releases: Mapping[int, ReleaseRecord]
    items: Mapping[str, NewItem]


@dataclass(frozen=True, slots=True)
class Late:
    """How late each channel is: seconds, and windows for releases."""

    delays: Delays = field(default_factory=Delays)
    windows: int = 0


@dataclass(frozen=True, slots=True)
class _Learned:
    """What the learner had come to, not handed over yet."""

    due_micros: float
    space: int
    position: int
    through_micros: int
    rows: tuple[LearnedRow, ...]


async def replay_late(
    late: Late,
    stretch: Stretch,
    cases: Cases,
    start: Start,
    live: Live,
    folder: Path,
    stack: Stack,
    window: int,
    advance: Callable[[int], None],
) -> Replayed:
    """Replays the stretch with something late. What was replayed to the end before is read from `folder`."""
    found = read_replayed(folder, cases)
    if found is not None:
        return found
    shutil.rmtree(folder, ignore_errors=True)
    start.copy_to(folder)
    start.copy_to(folder / "log")
    clock = ReplayClock(stretch.cut_micros)
    with closing(open_sqlite(folder / "store.db")) as store, closing(open_sqlite(folder / "log" / "store.db")) as log:
        async with (
            served_stack(stack.triton, stack.gateway, store, folder, folder / "releases", clock) as served,
            grpc.aio.insecure_channel(served.gateway) as channel,
        ):
            asker = Asker(channel, clock)
            feed = Feed(stretch, store, asker.upsert, late.delays)
            with closing(ItemLearner(log, served.triton, folder, stack.learner)) as learner:
                teacher = HandOver(late, stretch, live, store, log, learner, asker, folder / "releases")
                gains = await replay_windows(stretch, cases, asker, feed, teacher, window, advance)
    replayed = Replayed(gains, asker.degraded)
    write_replayed(folder, cases, replayed)
    return replayed


class HandOver:
    """Hands what was learned, and releases, from the log's side to the gateway's when they are due."""

    def __init__(
        self,
        late: Late,
        stretch: Stretch,
        live: Live,
        store: Store,
        log: Store,
        learner: ItemLearner,
        asker: Asker,
        releases: Path,
    ) -> None:
        self._late = late
        self._live = live
        self._store = store
        self._log = log
        self._learner = learner
        self._asker = asker
        self._releases = releases
        self._clock = ReplayClock(stretch.cut_micros)
        self._feed = Feed(stretch, log, self._upsert, Delays())
        self._waiting: list[_Learned] = []
        # Space → the version read from the log's side, and the position handed to the gateway's.
        self._version: dict[int, int] = {}
        self._handed: dict[int, int] = {}
        active = log.active_release()
        assert active is not None
        self._space = active.release
        lease = store.acquire_lease(_LEASE, "bench", _LEASE_MICROS, wall_micros())
        assert lease is not None
        self._lease: Lease = lease

    async def before_case(self, place: int) -> None:
        """The log is live; the learner learns when enough has come."""
        await self._feed.until(place, self._clock)
        if self._feed.events - self._learner.learned >= LEARN_EVERY:
            await self._learn()
        self._hand_over()

    async def after_window(self, window: int, end: int) -> None:
        """The release that is due after this window comes to serve."""
        await self._feed.through(end - 1, self._clock)
        await self._learn()
        record = self._live.releases.get(window - self._late.windows)
        if record is not None:
            await self._release(record)
            await self._learn()
        self._hand_over()

    async def _learn(self) -> None:
        await self._learner.learn(self._feed)
        learned = self._log.learned(self._space, self._version.get(self._space, 0))
        if learned.version == self._version.get(self._space, 0):
            return
        self._version[self._space] = learned.version
        due = self._feed.newest_micros + self._late.delays.learner * MICROS
        self._waiting.append(_Learned(due, self._space, learned.position, learned.through_micros, learned.rows))

    def _hand_over(self) -> None:
        while self._waiting and self._waiting[0].due_micros <= self._clock.now_micros:
            learned = self._waiting.pop(0)
            # A start whose store has been learned from already is gone on from.
            after = self._handed.get(learned.space, self._store.learned(learned.space).position)
            self._store.put_learned(
                learned.space, after, learned.position, learned.through_micros, learned.rows, self._lease
            )
            self._handed[learned.space] = learned.position
            if learned.space == self._space:
                self._asker.needs_learned_micros = learned.through_micros

    async def _release(self, record: ReleaseRecord) -> None:
        fresh = dataclasses.replace(record, state=ReleaseState.CANDIDATE, reason="", activation=0)
        self._log.put_release(fresh)
        self._log.set_release_state(record.release, ReleaseState.ACTIVE)
        self._asker.needs_learned_micros = 0
        self._space = record.release
        folder = self._releases / str(record.release)
        manifest = relabelled(
            release_folder(record),
            folder,
            trends_of(self._store.scan_log(), TREND_HALF_LIVES_SECONDS),
            trained_through_sequence=self._store.last_sequence(),
        )
        register(self._store, folder, manifest, self._clock.now_micros)
        await served_by_gateway(record.release, self._asker)

    async def _upsert(self, item: item_pb2.Item) -> None:
        self._log.upsert_items([self._live.items[item.item_id]], self._clock.now_micros)


def live_of(folder: Path, made: Sequence[tuple[int, int]]) -> Live:
    """Reads what the arm with everything live has left in its folder; `made` are pairs of window and release."""
    with closing(open_sqlite(folder / "store.db")) as store:
        releases = {window: store.get_release(release) for window, release in made}
        return Live(releases, {new.item.item_id: new for new in catalogue(store)})

"""One arm of a replay: a stack of its own that starts from the base, and what is learned in it while time goes on."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import grpc.aio
import numpy as np

from recency_bench.base import Base
from recency_bench.intervals import Gains
from recency_bench.replay import NEVER, Asker, Delays, Feed, replay_window
from recency_bench.served import ReplayClock, served_stack
from recency_bench.stretch import Cases, Stretch, window_ends
from recency_bench.teaching import Depth, Exporter, ItemLearner, Made
from recency_export.online_settings import LearnerConfig
from recency_export.settings import BootstrapConfig
from recency_inference.local import TritonConfig
from recency_server.config import GatewayConfig
from recency_store.sqlite import open_sqlite

_DONE = "gains.npz"


@dataclass(frozen=True, slots=True)
class Arm:
    """name       as tables have it
    learner    whether the item learner runs
    releases   which kind of release is made after each window, None for none
    delays     how late the channels are
    """

    name: str
    learner: bool = False
    releases: Depth | None = None
    delays: Delays = field(default_factory=Delays)

    @property
    def slug(self) -> str:
        """A folder's name."""
        return "".join(c if c.isalnum() else "-" for c in self.name.lower()).strip("-")


FROZEN_BEHAVIOUR = Arm("model and behaviour frozen", delays=Delays(behaviour=NEVER))
FROZEN = Arm("behaviour live, model frozen")
LEARNER = Arm("item learner, no release", learner=True)
ITEM_RELEASES = Arm("item learner, item releases", learner=True, releases="item")
FULL_RELEASES = Arm("item learner, full releases", learner=True, releases="full")
PREQUENTIAL = (FROZEN_BEHAVIOUR, FROZEN, LEARNER, ITEM_RELEASES, FULL_RELEASES)


@dataclass(frozen=True, slots=True)
class Stack:
    """How the stacks of a bench run: the deployment's own configuration."""

    triton: TritonConfig
    gateway: GatewayConfig
    learner: LearnerConfig
    export: BootstrapConfig


@dataclass(frozen=True, slots=True)
class Replayed:
    """What one arm of one seed gave: the gain of each case, how many answers were degraded, and the releases made."""

    gains: Gains
    degraded: int
    made: tuple[Made, ...] = ()


async def replay_arm(
    arm: Arm,
    stretch: Stretch,
    cases: Cases,
    base: Base,
    folder: Path,
    stack: Stack,
    window: int,
    advance: Callable[[int], None],
) -> Replayed:
    """Replays the stretch in an arm of its own. What was replayed to the end before is read from `folder`."""
    found = _read(folder, cases)
    if found is not None:
        return found
    shutil.rmtree(folder, ignore_errors=True)
    base.copy_store(folder)
    clock = ReplayClock(stretch.cut_micros)
    with closing(open_sqlite(folder / "store.db")) as store:
        async with (
            served_stack(stack.triton, stack.gateway, store, folder, base.releases, clock) as served,
            grpc.aio.insecure_channel(served.gateway) as channel,
        ):
            asker = Asker(channel, clock)
            feed = Feed(stretch, store, asker.upsert, arm.delays)
            export = dataclasses.replace(stack.export, workspace=folder / "export")
            exporter = Exporter(store, folder, arm.releases, export) if arm.releases else None
            with ExitStack() as closing_learner:
                learner = ItemLearner(store, served.triton, folder, stack.learner) if arm.learner else None
                if learner is not None:
                    closing_learner.callback(learner.close)
                replayed = await _windows(stretch, cases, asker, feed, learner, exporter, window, advance)
    _write(folder, cases, replayed)
    return replayed


async def _windows(
    stretch: Stretch,
    cases: Cases,
    asker: Asker,
    feed: Feed,
    learner: ItemLearner | None,
    exporter: Exporter | None,
    window: int,
    advance: Callable[[int], None],
) -> Replayed:
    async def before_case(place: int) -> None:
        if learner is not None:
            await learner.after_events(feed, asker)

    gains: list[Gains] = []
    for number, end in enumerate(window_ends(len(stretch.stream), window)):
        first, last = sum(map(len, gains)), int(np.searchsorted(cases.place, end))
        gains.append(await replay_window(asker, feed, stretch, cases, first, last, before_case))
        feed.all_before(end)
        advance(last)
        if learner is not None:
            await learner.learn(feed, asker)
        # What is released after the last window would answer nobody.
        if exporter is not None and end < len(stretch.stream):
            async with learner.at_work() if learner is not None else nullcontext():
                await exporter.release(number, asker)
            if learner is not None:
                await learner.learn(feed, asker)
    return Replayed(np.concatenate(gains), asker.degraded, tuple(exporter.made) if exporter is not None else ())


def _read(folder: Path, cases: Cases) -> Replayed | None:
    """What an earlier run left; None where it asked for other cases, or did not get to the end."""
    path = folder / _DONE
    if not path.is_file():
        return None
    with np.load(path) as saved:
        if not np.array_equal(saved["place"], cases.place):
            return None
        made = tuple(Made(**one) for one in json.loads(str(saved["made"])))
        return Replayed(saved["gains"], int(saved["degraded"]), made)


def _write(folder: Path, cases: Cases, replayed: Replayed) -> None:
    made = json.dumps([dataclasses.asdict(one) for one in replayed.made])
    np.savez(folder / _DONE, place=cases.place, gains=replayed.gains, degraded=replayed.degraded, made=made)

"""One arm of a replay: a stack of its own that starts from the base, and what is learned in it while time goes on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import grpc.aio
import numpy as np

from recency_bench.base import Base
from recency_bench.intervals import Gains
from recency_bench.replay import NEVER, Asker, Delays, Feed, replay_window
from recency_bench.served import ReplayClock, served_stack
from recency_bench.stretch import Cases, Stretch, window_ends
from recency_inference.local import TritonConfig
from recency_server.config import GatewayConfig
from recency_store.sqlite import open_sqlite

Depth = Literal["none", "item", "full"]


@dataclass(frozen=True, slots=True)
class Arm:
    """name       as tables have it
    learner    whether the item learner runs
    releases   which kind of release is made after each window
    delays     how late the channels are
    """

    name: str
    learner: bool = False
    releases: Depth = "none"
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


@dataclass(frozen=True, slots=True)
class Replayed:
    """What one arm of one seed gave: the gain of each case, and how many answers were degraded."""

    gains: Gains
    degraded: int


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
    done = folder / "gains.npz"
    if done.is_file():
        with np.load(done) as saved:
            if np.array_equal(saved["place"], cases.place):
                return Replayed(saved["gains"], int(saved["degraded"]))
    shutil.rmtree(folder, ignore_errors=True)
    base.copy_store(folder)
    clock = ReplayClock(stretch.cut_micros)
    gains: list[Gains] = []
    with closing(open_sqlite(folder / "store.db")) as store:
        async with (
            served_stack(stack.triton, stack.gateway, store, folder, base.releases, clock) as served,
            grpc.aio.insecure_channel(served.gateway) as channel,
        ):
            asker = Asker(channel, clock)
            feed = Feed(stretch, store, asker.upsert, arm.delays)
            for end in window_ends(len(stretch.stream), window):
                first = sum(map(len, gains))
                last = int(np.searchsorted(cases.place, end))
                gains.append(await replay_window(asker, feed, stretch, cases, first, last, _nothing))
                feed.all_before(end)
                advance(last)
    replayed = Replayed(np.concatenate(gains), asker.degraded)
    np.savez(done, place=cases.place, gains=replayed.gains, degraded=replayed.degraded)
    return replayed


async def _nothing(place: int) -> None:
    pass

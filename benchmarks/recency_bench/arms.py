"""One arm of a replay: a stack of its own that starts where all arms start, and what is learned in it while time goes on."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import grpc.aio
import numpy as np

from recency_bench.intervals import Gains
from recency_bench.replay import NEVER, Asker, Delays, Feed, replay_window
from recency_bench.served import ReplayClock, served_stack
from recency_bench.start import Start
from recency_bench.stretch import Cases, Stretch, window_ends
from recency_bench.teaching import Depth, Made, Stack, Teacher, Teaching
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
class Replayed:
    """What one arm of one seed gave: the gain of each case, how many answers were degraded, and the releases made."""

    gains: Gains
    degraded: int
    made: tuple[Made, ...] = ()


async def replay_arm(
    arm: Arm,
    stretch: Stretch,
    cases: Cases,
    start: Start,
    folder: Path,
    stack: Stack,
    window: int,
    advance: Callable[[int], None],
) -> Replayed:
    """Replays the stretch in an arm of its own. What was replayed to the end before is read from `folder`."""
    found = read_replayed(folder, cases)
    if found is not None:
        return found
    shutil.rmtree(folder, ignore_errors=True)
    start.copy_to(folder)
    clock = ReplayClock(stretch.cut_micros)
    with closing(open_sqlite(folder / "store.db")) as store:
        async with (
            served_stack(stack.triton, stack.gateway, store, folder, folder / "releases", clock) as served,
            grpc.aio.insecure_channel(served.gateway) as channel,
        ):
            asker = Asker(channel, clock)
            feed = Feed(stretch, store, asker.upsert, arm.delays)
            with closing(
                Teaching(arm.learner, arm.releases, store, served.triton, folder, stack, feed, asker)
            ) as teacher:
                gains = await replay_windows(stretch, cases, asker, feed, teacher, window, advance)
                replayed = Replayed(gains, asker.degraded, tuple(teacher.made))
    write_replayed(folder, cases, replayed)
    return replayed


async def replay_windows(
    stretch: Stretch,
    cases: Cases,
    asker: Asker,
    feed: Feed,
    teacher: Teacher,
    window: int,
    advance: Callable[[int], None],
) -> Gains:
    """The gain of each case, window after window; between two the teacher may make a release."""
    gains: list[Gains] = []
    ends = window_ends(len(stretch.stream), window)
    for number, end in enumerate(ends):
        first, last = sum(map(len, gains)), int(np.searchsorted(cases.place, end))
        gains.append(await replay_window(asker, feed, stretch, cases, first, last, teacher.before_case))
        await feed.through(end - 1, asker.clock)
        advance(last)
        # What is released after the last window would answer nobody.
        if number + 1 < len(ends):
            await teacher.after_window(number, end)
    return np.concatenate(gains)


def read_replayed(folder: Path, cases: Cases) -> Replayed | None:
    """What an earlier run left; None where it did not ask for these cases, or did not get to
    the end."""
    path = folder / _DONE
    if not path.is_file():
        return None
    with np.load(path) as saved:
        if not np.isin(cases.place, saved["place"]).all():
            return None
        made = tuple(Made(**one) for one in json.loads(str(saved["made"])))
        rows = np.searchsorted(saved["place"], cases.place)
        return Replayed(saved["gains"][rows], int(saved["degraded"]), made)


def write_replayed(folder: Path, cases: Cases, replayed: Replayed) -> None:
    """Keeps it for the next run."""
    made = json.dumps([dataclasses.asdict(one) for one in replayed.made])
    np.savez(folder / _DONE, place=cases.place, gains=replayed.gains, degraded=replayed.degraded, made=made)

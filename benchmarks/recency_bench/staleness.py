"""`recency bench quality --staleness`: what being late costs, channel by channel.

Behaviour, catalogue, item learner and releases are held back one at a time, the others live, and the stretch after the cut
is replayed as in the prequential bench. Everything live is the arm with the item learner and a full release after each
window; its releases are made once and serve in every arm.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recency_bench.arms import FULL_RELEASES, Replayed, replay_arm
from recency_bench.held_back import Late, live_of, replay_late
from recency_bench.intervals import Figure, difference, figure
from recency_bench.prequential import GROUPS, Plan, all_of, groups_of
from recency_bench.replay import MICROS, Delays
from recency_bench.start import make_start
from recency_bench.stretch import Cases, Stretch, cases_of
from recency_bench.teaching import Stack
from recency_export.progress import Progress
from recency_store.records import ReleaseState

DELAYS = (("1 s", 1.0), ("1 min", 60.0), ("10 min", 600.0), ("1 h", 3_600.0), ("1 day", 86_400.0))
WINDOWS = (1, 3, 10)
LIVE = "live"


@dataclass(frozen=True, slots=True)
class Point:
    """One channel held back by `seconds` (for releases: so many windows, as long as those last on average). `figures` are
    NDCG@10 by group of cases, `less` the difference to everything live."""

    channel: str
    delay: str
    seconds: float
    figures: dict[str, Figure]
    less: dict[str, Figure]
    degraded: int


@dataclass(frozen=True, slots=True)
class StalenessResult:
    """Everything live, and all points."""

    live: dict[str, Figure]
    points: list[Point]
    cases: int
    users: int
    every: int
    window_seconds: float

    def to_dict(self) -> dict[str, Any]:
        """For `--json` and for the plot."""
        return asdict(self)

    @staticmethod
    def from_dict(raw: dict[str, Any]) -> StalenessResult:
        """Reads what `to_dict` gave."""
        points = [
            Point(**{**point, "figures": _figures(point["figures"]), "less": _figures(point["less"])})
            for point in raw["points"]
        ]
        return StalenessResult(**{**raw, "live": _figures(raw["live"]), "points": points})


@dataclass(frozen=True, slots=True)
class Held:
    """A channel, how late it is, and the same as a replay takes it."""

    channel: str
    delay: str
    seconds: float
    late: Late

    @property
    def slug(self) -> str:
        """A folder's name."""
        return f"{self.channel}-{self.delay}".replace(" ", "-")


def held_back(window_seconds: float) -> Iterator[Held]:
    """All points but the live one."""
    for label, seconds in DELAYS:
        yield Held("behaviour", label, seconds, Late(Delays(behaviour=seconds)))
        yield Held("catalogue", label, seconds, Late(Delays(catalogue=seconds)))
        yield Held("item learner", label, seconds, Late(Delays(learner=seconds)))
    for windows in WINDOWS:
        label = f"{windows} window{'s' if windows > 1 else ''}"
        yield Held("releases", label, windows * window_seconds, Late(windows=windows))


async def staleness(stretch: Stretch, work: Path, plan: Plan, *, stack: Stack, report: Progress) -> StalenessResult:
    """Replays every point with the first seed. What `work` holds of an earlier run, also of a prequential one, is not done
    again."""
    cases = cases_of(stretch, plan.every)
    folder = work / "seed-0"
    stack = dataclasses.replace(stack, export=dataclasses.replace(stack.export, seed=0))
    start = await asyncio.to_thread(make_start, stretch, folder / "start", stack.export, report)
    live_folder = folder / FULL_RELEASES.slug
    live = await _told(
        report,
        "everything live",
        len(cases),
        lambda advance: replay_arm(FULL_RELEASES, stretch, cases, start, live_folder, stack, plan.window, advance),
    )
    left = live_of(live_folder, [(m.window, m.release) for m in live.made if m.state == ReleaseState.ACTIVE])
    room = asyncio.Semaphore(plan.at_once)
    points = list(held_back(window_seconds(stretch, plan.window)))

    async def one(held: Held) -> Replayed:
        where = folder / "late" / held.slug
        async with room:
            return await _told(
                report,
                f"{held.channel}, {held.delay} late",
                len(cases),
                lambda advance: replay_late(held.late, stretch, cases, start, left, where, stack, plan.window, advance),
            )

    return result_of(stretch, cases, plan, live, points, await all_of([one(held) for held in points]))


async def _told(
    report: Progress, name: str, total: int, replay: Callable[[Callable[[int], None]], Awaitable[Replayed]]
) -> Replayed:
    """Replays, and reports where it is."""
    report.started(name)
    started = time.monotonic()
    replayed = await replay(lambda done: report.advanced(name, done, total))
    report.done(name, time.monotonic() - started, False)
    return replayed


def window_seconds(stretch: Stretch, window: int) -> float:
    """How long a window of so many events lasts on average."""
    seconds = (stretch.stream[-1].time_micros - stretch.cut_micros) / MICROS
    return seconds * window / len(stretch.stream)


def result_of(
    stretch: Stretch, cases: Cases, plan: Plan, live: Replayed, held: Sequence[Held], replayed: Sequence[Replayed]
) -> StalenessResult:
    """The curve from the gains of each point."""
    groups = groups_of(cases)
    points = [
        Point(
            channel=one.channel,
            delay=one.delay,
            seconds=one.seconds,
            figures={name: figure([mine.gains], cases.user, chosen) for name, chosen in groups.items()},
            less={name: difference([mine.gains], [live.gains], cases.user, chosen) for name, chosen in groups.items()},
            degraded=mine.degraded,
        )
        for one, mine in zip(held, replayed, strict=True)
    ]
    return StalenessResult(
        live={name: figure([live.gains], cases.user, groups[name]) for name in GROUPS},
        points=points,
        cases=len(cases),
        users=len(np.unique(cases.user)),
        every=plan.every,
        window_seconds=window_seconds(stretch, plan.window),
    )


def _figures(raw: dict[str, Any]) -> dict[str, Figure]:
    return {name: Figure(**one) for name, one in raw.items()}

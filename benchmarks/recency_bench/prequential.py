"""`recency bench quality --prequential`: test-then-train in time order, through the served pipeline.

A release is trained on the first 70 % of the events; then the rest is replayed in time order, each arm against a gateway and
a Triton of its own. Just before each event its user is asked for, at the event's time, with everything earlier known; the
figure is NDCG@10 of the event's item in that slate, over the whole catalogue, seen items left out as served. Then the event
is appended, and the arm learns from it what it learns.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recency_bench.arms import FROZEN, PREQUENTIAL, Arm, Replayed, replay_arm
from recency_bench.intervals import Figure, Gains, difference, figure
from recency_bench.references import popularity_gains
from recency_bench.start import Start, make_start
from recency_bench.stretch import Cases, Stretch, cases_of
from recency_bench.teaching import Made, Stack
from recency_export.progress import Progress

POPULARITY = "popularity, 7 days"
GROUPS = ("all", "new users", "items never seen in training")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is replayed.

    seeds    trainings, each with a seed of its own and all arms
    every    each so many-th event is asked for; all are appended
    window   events between two releases
    at_once  arms that run side by side
    """

    seeds: int = 3
    every: int = 1
    window: int = 3_000
    at_once: int = 2


@dataclass(frozen=True, slots=True)
class ArmRow:
    """One arm: its figure by group of cases, and how much more that is than with the model frozen."""

    arm: str
    figures: Mapping[str, Figure]
    more: Mapping[str, Figure]
    degraded: int
    # The releases that were made, seed by seed.
    made: list[tuple[Made, ...]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PrequentialResult:
    """All arms of one run."""

    rows: list[ArmRow]
    plan: Plan
    cases: int
    users: int
    seconds_to_train: list[float]

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


async def prequential(
    stretch: Stretch,
    work: Path,
    plan: Plan,
    *,
    stack: Stack,
    report: Progress,
    arms: Sequence[Arm] = PREQUENTIAL,
) -> PrequentialResult:
    """Runs every arm with every seed. What `work` holds of an earlier run is not done again."""
    cases = cases_of(stretch, plan.every)
    replayed: dict[str, list[Replayed]] = {arm.name: [] for arm in arms}
    trained: list[float] = []
    for seed in range(plan.seeds):
        folder = work / f"seed-{seed}"
        mine = dataclasses.replace(stack.export, seed=seed)
        start = await asyncio.to_thread(make_start, stretch, folder / "start", mine, report)
        its_stack = dataclasses.replace(stack, export=mine)
        trained.append(start.seconds_to_train)
        outcomes = await _side_by_side(stretch, cases, start, folder, plan, its_stack, arms, report)
        for arm, outcome in zip(arms, outcomes, strict=True):
            replayed[arm.name].append(outcome)
    gains = {name: [one.gains for one in outcomes] for name, outcomes in replayed.items()}
    degraded = {name: sum(one.degraded for one in outcomes) for name, outcomes in replayed.items()}
    gains[POPULARITY] = [popularity_gains(stretch, cases)] * plan.seeds
    rows = [
        dataclasses.replace(row, made=[one.made for one in replayed.get(row.arm, ()) if one.made])
        for row in rows_of(gains, degraded, cases)
    ]
    return PrequentialResult(
        rows=rows,
        plan=plan,
        cases=len(cases),
        users=len(np.unique(cases.user)),
        seconds_to_train=trained,
    )


async def _side_by_side(
    stretch: Stretch,
    cases: Cases,
    start: Start,
    folder: Path,
    plan: Plan,
    stack: Stack,
    arms: Sequence[Arm],
    report: Progress,
) -> list[Replayed]:
    room = asyncio.Semaphore(plan.at_once)

    async def one(arm: Arm) -> Replayed:
        async with room:
            name = f"{folder.name}: {arm.name}"
            report.started(name)
            started = time.monotonic()
            advance = _advance(report, name, len(cases))
            outcome = await replay_arm(arm, stretch, cases, start, folder / arm.slug, stack, plan.window, advance)
            report.done(name, time.monotonic() - started, False)
            return outcome

    return await all_of([one(arm) for arm in arms])


async def all_of(replays: Sequence[Coroutine[Any, Any, Replayed]]) -> list[Replayed]:
    """What all replays give. One that fails stops no other: what the others come to is kept for the next run."""
    outcomes = await asyncio.gather(*replays, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]


def _advance(report: Progress, name: str, total: int) -> Callable[[int], None]:
    return lambda done: report.advanced(name, done, total)


def groups_of(cases: Cases) -> dict[str, npt.NDArray[np.bool_]]:
    """Which cases each group of the tables holds."""
    return dict(zip(GROUPS, (np.ones(len(cases), dtype=np.bool_), cases.new_user, cases.new_item), strict=True))


def rows_of(gains: Mapping[str, Sequence[Gains]], degraded: Mapping[str, int], cases: Cases) -> list[ArmRow]:
    """The table's rows from each arm's gains, an array a seed."""
    groups = groups_of(cases)
    frozen = gains.get(FROZEN.name)
    return [
        ArmRow(
            arm=name,
            figures={group: figure(arrays, cases.user, chosen) for group, chosen in groups.items()},
            more={
                group: difference(arrays, frozen, cases.user, chosen)
                for group, chosen in groups.items()
                if frozen is not None and name != FROZEN.name
            },
            degraded=degraded.get(name, 0),
        )
        for name, arrays in gains.items()
    ]

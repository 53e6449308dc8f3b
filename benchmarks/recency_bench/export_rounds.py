"""From the last event of a day to an answer of a release that has learned it, on a running stack.

A round sends one more day of MovieLens through Feedback, then has a release made as its own process makes it, and asks the
gateway until an answer comes from that release and says that it reflects the day's newest event.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import grpc.aio

from recency.v1 import event_pb2, recommendation_pb2
from recency.v1.recommendation_pb2_grpc import RecommendationServiceStub
from recency_export.movielens import load

MICROS = 1_000_000
_DAY_MICROS = 86_400 * MICROS
_FEEDBACK = 500
_LOOK_SECONDS = 0.02
_GIVE_UP_SECONDS = 60.0

# Makes a release of a depth; answers what `recency export run --json` prints.
MakeRelease = Callable[[str], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Round:
    """One day and one release: seconds from the last event's acknowledgement to the first answer that has learned it (None:
    it was rejected, or never served), and of that in each of the exporter's stages; `rest` is its process and the swap."""

    depth: str
    events: int
    seconds: float | None
    stages: dict[str, float]
    rest: float | None
    peak_bytes: int
    release: int
    reason: str


def last_days(movielens: Path, days: int) -> tuple[int, list[list[event_pb2.Event]]]:
    """The newest days of MovieLens, and how many events come before them."""
    events = load(movielens).events
    whole = [list(day) for _, day in groupby(events, lambda e: e.event_time.ToMicroseconds() // _DAY_MICROS)]
    newest = whole[-days:]
    return len(events) - sum(map(len, newest)), newest


async def rounds(
    target: str, days: Sequence[Sequence[event_pb2.Event]], shift_micros: int, make: MakeRelease
) -> list[Round]:
    """Sends day after day, and makes an item release and a full release in turn."""
    done: list[Round] = []
    async with grpc.aio.insecure_channel(target) as channel:
        stub: Any = RecommendationServiceStub(channel)  # type: ignore[no-untyped-call]
        for number, day in enumerate(days):
            done.append(await _round(stub, day, shift_micros, ("item", "full")[number % 2], make))
    return done


async def _round(stub: Any, day: Sequence[event_pb2.Event], shift_micros: int, depth: str, make: MakeRelease) -> Round:
    for event in day:
        event.event_time.FromMicroseconds(event.event_time.ToMicroseconds() + shift_micros)
    for start in range(0, len(day), _FEEDBACK):
        await stub.Feedback(event_pb2.FeedbackRequest(events=day[start : start + _FEEDBACK]))
    began = time.monotonic()
    made = await make(depth)
    stages: dict[str, float] = made.get("stages", {})
    seconds = None
    if made["state"] == "ACTIVE":
        seconds = await _learned(stub, made["release"], max(e.event_time.ToMicroseconds() for e in day), began)
    return Round(
        depth=depth,
        events=len(day),
        seconds=seconds,
        stages=stages,
        rest=None if seconds is None else seconds - sum(stages.values()),
        peak_bytes=made.get("peak_bytes", 0),
        release=made["release"] or 0,
        reason=made["reason"],
    )


async def _learned(stub: Any, release: int, newest_micros: int, began: float) -> float | None:
    until = time.monotonic() + _GIVE_UP_SECONDS
    while time.monotonic() < until:
        fresh = (await stub.Recommend(recommendation_pb2.RecommendRequest(page_size=1))).freshness
        trained, learned = fresh.trained_through_time.ToMicroseconds(), fresh.learned_through_time.ToMicroseconds()
        if fresh.release == release and max(trained, learned) >= newest_micros:
            return time.monotonic() - began
        await asyncio.sleep(_LOOK_SECONDS)
    return None

"""`recency bench quality`: leave-one-out through the served pipeline, beside the reference models on the same split.

For each seed a store, a release and a stack of their own are made from what may be known; then time is replayed: before
each test request every other user's events up to that moment are in the log, the gateway's clock shows that moment, and
the answer is what the real gateway and Triton give over gRPC. Ranks are over the whole catalogue (a target outside the
first ten counts nothing). One thing is more than life gives: the release is trained on all known events, later ones too,
as leave-one-out has it everywhere; and the request time is that of the logged event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import grpc
import grpc.aio
import numpy as np

from recency.v1 import recommendation_pb2
from recency.v1.recommendation_pb2_grpc import RecommendationServiceStub
from recency_bench.served import ReplayClock
from recency_bench.split import Split
from recency_export.evaluate import rank_metrics
from recency_store.manifest import Manifest
from recency_store.protocol import Store
from recency_store.records import LoggedEvent, ReleaseRecord, ReleaseState

TOP = 10
_APPEND_CHUNK = 5_000


@dataclass(frozen=True, slots=True)
class Row:
    """One model's figures: means over cases (and seeds), with the standard error of NDCG over cases."""

    model: str
    ndcg: float
    hit_rate: float
    mrr: float
    ndcg_standard_error: float
    cases: int
    seconds_to_train: float


@dataclass(frozen=True, slots=True)
class QualityResult:
    """All rows of one run."""

    rows: list[Row]
    degraded: int

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def fill(store: Store, split: Split, now_micros: int, *, events: bool) -> None:
    """Puts the split's catalogue, and its known events if asked, into a store."""
    for start in range(0, len(split.items), 1_000):
        store.upsert_items(split.items[start : start + 1_000], now_micros)
    if events:
        for start in range(0, len(split.known), _APPEND_CHUNK):
            store.append([e.event() for e in split.known[start : start + _APPEND_CHUNK]])


def register(store: Store, folder: Path, manifest: Manifest, now_micros: int) -> None:
    """Makes a release folder the active release of a store."""
    record = ReleaseRecord(
        release=manifest.release,
        state=ReleaseState.CANDIDATE,
        reason="",
        url=str(folder),
        parent=manifest.parent,
        create_micros=now_micros,
        manifest_json=manifest.to_json(),
    )
    store.put_release(record)
    store.set_release_state(manifest.release, ReleaseState.ACTIVE)


async def replay(
    target: str, store: Store, split: Split, clock: ReplayClock, advance: Callable[[int], None]
) -> tuple[list[list[str]], int]:
    """Asks for every test user at the time of the test event; answers the slates and how many were degraded.

    Events enter the log in time order, just before they are due.
    """
    slates: list[list[str]] = []
    degraded = 0
    position = 0
    async with grpc.aio.insecure_channel(target) as channel:
        stub: Any = RecommendationServiceStub(channel)  # type: ignore[no-untyped-call]
        for number, case in enumerate(split.test):
            position = await asyncio.to_thread(append_until, store, split.known, position, case)
            clock.now_micros = case.time_micros
            request = recommendation_pb2.RecommendRequest(user_id=case.user_id, page_size=TOP)
            slate = await stub.Recommend(request, timeout=30)
            degraded += slate.degraded
            slates.append([r.item_id for r in slate.recommendations])
            advance(number + 1)
    return slates, degraded


def append_until(store: Store, known: list[LoggedEvent], position: int, case: LoggedEvent) -> int:
    """Appends the known events from `position` on that came before a case; answers the position after them."""
    end = position
    while end < len(known) and (known[end].time_micros, known[end].sequence) < (case.time_micros, case.sequence):
        end += 1
    for start in range(position, end, _APPEND_CHUNK):
        store.append([e.event() for e in known[start : min(end, start + _APPEND_CHUNK)]])
    return end


def row(model: str, ranks_of_seeds: list[np.ndarray], seconds_to_train: float) -> Row:
    """Figures from 1-based ranks, one array a seed."""
    metrics = [rank_metrics(ranks, TOP) for ranks in ranks_of_seeds]
    gains = [np.where(ranks <= TOP, 1 / np.log2(ranks + 1.0), 0.0) for ranks in ranks_of_seeds]
    return Row(
        model=model,
        ndcg=mean(m.ndcg for m in metrics),
        hit_rate=mean(m.hit_rate for m in metrics),
        mrr=mean(m.mrr for m in metrics),
        ndcg_standard_error=mean(float(g.std() / np.sqrt(max(1, len(g)))) for g in gains),
        cases=metrics[0].cases,
        seconds_to_train=seconds_to_train,
    )

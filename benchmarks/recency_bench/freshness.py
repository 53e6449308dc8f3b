"""`recency bench freshness`: how long until what just happened shows, on a running stack.

Each figure runs from before the write is sent to after the first answer that reflects it has come, with no token and
without help: behaviour (Feedback → an answer made from it), item (Upsert → a slate that holds it), hide and delete
(→ a slate without it), learned (Feedback → an answer that rests on what the item learner made of it; left out where
none learns). References in the same run: a durable write of one event to the store's own kind of file on the
same disk, and a plain Recommend, so that the rest is what freshness itself costs.

Users are `bench-…`; their events are VIEWs, which no model trains on; the items are deleted again.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from recency.v1 import catalog_pb2, event_pb2, item_pb2, recommendation_pb2
from recency.v1.catalog_pb2_grpc import CatalogServiceStub
from recency.v1.recommendation_pb2_grpc import RecommendationServiceStub
from recency_bench.summary import Latencies, Summary
from recency_store.sqlite import open_sqlite

_GIVE_UP_SECONDS = 10.0
_TITLES = (
    "The Lighthouse Keeper's Robot",
    "Midnight Train to Samarkand",
    "A Beekeeper in Space",
    "The Glass Orchestra",
)


@dataclass(frozen=True, slots=True)
class FreshnessResult:
    """One run. `rows` maps a figure's name to its latencies; `never` counts rounds that gave up, by figure."""

    rounds: int
    rows: dict[str, Summary]
    never: dict[str, int]
    release: int
    release_age_seconds: float
    trained_through_age_seconds: float

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


async def freshness(
    target: str,
    *,
    rounds: int = 100,
    scratch: Path | None = None,
    advance: Callable[[int], None] = lambda done: None,
) -> FreshnessResult:
    """Runs `rounds` of each figure one after the other against the gateway at `target`.

    `scratch` is a folder on the store's disk for the write reference; `advance` is told the rounds done.
    """
    async with grpc.aio.insecure_channel(target) as channel:
        probe = _Probe(channel)
        await probe.prepare()
        measured = {name: Latencies() for name in _FIGURES}
        never = dict.fromkeys(_FIGURES, 0)
        for done in range(rounds):
            for name, seconds in (await probe.round(done)).items():
                if seconds is None:
                    never[name] += 1
                else:
                    measured[name].record(seconds)
            advance(done + 1)
        last = await probe.recommend(user_id="")
        if not probe.learns:
            measured.pop(_LEARNED)
            never.pop(_LEARNED)
        rows = {name: latencies.summary() for name, latencies in measured.items()}
    rows["store: durable write"] = await asyncio.to_thread(_durable_writes, rounds, scratch)
    return FreshnessResult(
        rounds=rounds,
        rows=rows,
        never={name: count for name, count in never.items() if count},
        release=last.freshness.release,
        release_age_seconds=last.freshness.release_age.ToTimedelta().total_seconds(),
        trained_through_age_seconds=last.freshness.trained_through_age.ToTimedelta().total_seconds(),
    )


_LEARNED = "event → learned"
_FIGURES = ("behaviour → effect", "item → effect", "hide → effect", "delete → effect", _LEARNED, "plain Recommend")


class _Probe:
    """The calls of one run."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._recommendations: Any = RecommendationServiceStub(channel)  # type: ignore[no-untyped-call]
        self._catalog: Any = CatalogServiceStub(channel)  # type: ignore[no-untyped-call]
        self._known: list[str] = []
        # Whether an item learner is at work: no round waits for one that is not.
        self.learns = True

    async def prepare(self) -> None:
        """Learns some item ids to view, and warms the way."""
        page = await self._catalog.ListItems(catalog_pb2.ListItemsRequest(page_size=500))
        self._known = [item.item_id for item in page.items]
        if not self._known:
            raise LookupError("the catalogue is empty; import items first (`recency import items FILE`)")
        for _ in range(5):
            await self.recommend(user_id="bench-warm")
            await self.recommend(user_id="bench-warm", query="a film about bees", query_weight=1.0)

    async def recommend(self, **fields: Any) -> recommendation_pb2.RecommendResponse:
        """One Recommend."""
        response: recommendation_pb2.RecommendResponse = await self._recommendations.Recommend(
            recommendation_pb2.RecommendRequest(**fields)
        )
        return response

    async def round(self, number: int) -> dict[str, float | None]:
        """Every figure once, in seconds; None where the effect did not come."""
        user = f"bench-{uuid.uuid4().hex[:12]}"
        started = time.perf_counter()
        await self.recommend(user_id=user)
        plain = time.perf_counter() - started
        behaviour = await self._behaviour(user, self._known[number % len(self._known)])
        learned = await self._learned(user, self._known[number % len(self._known)]) if self.learns else None
        if number == 0:
            self.learns = learned is not None
        item_id = f"bench-item-{uuid.uuid4().hex[:12]}"
        title = f"{_TITLES[number % len(_TITLES)]} {number}"
        text = f"{title}: a gentle story about a person, a machine and the weather of island {number}."

        async def shown() -> bool:
            slate = await self.recommend(user_id=user, query=text, query_weight=1.0, page_size=20)
            return any(r.item_id == item_id for r in slate.recommendations)

        async def gone() -> bool:
            return not await shown()

        item = item_pb2.Item(item_id=item_id, title=title, text=text)
        upsert = catalog_pb2.UpsertItemsRequest(items=[item])
        came = await _until(lambda: self._catalog.UpsertItems(upsert), shown)
        hide = catalog_pb2.HideItemsRequest(item_ids=[item_id], reason="bench freshness")
        hidden = await _until(lambda: self._catalog.HideItems(hide), gone)
        await self._catalog.UnhideItems(catalog_pb2.UnhideItemsRequest(item_ids=[item_id], reason="bench freshness"))
        delete = catalog_pb2.DeleteItemsRequest(item_ids=[item_id])
        deleted = await _until(lambda: self._catalog.DeleteItems(delete), gone)
        return {
            "plain Recommend": plain,
            "behaviour → effect": behaviour,
            _LEARNED: learned,
            "item → effect": came,
            "hide → effect": hidden,
            "delete → effect": deleted,
        }

    async def _behaviour(self, user: str, item_id: str) -> float | None:
        event = event_pb2.Event(
            event_id=uuid.uuid4().hex, user_id=user, item_id=item_id, type=event_pb2.EVENT_TYPE_VIEW
        )

        async def reflected() -> bool:
            return (await self.recommend(user_id=user)).freshness.events_used == 1

        feedback = event_pb2.FeedbackRequest(events=[event])
        return await _until(lambda: self._recommendations.Feedback(feedback), reflected)

    async def _learned(self, user: str, item_id: str) -> float | None:
        """An event → the item learner has read it, and this gateway what came of it."""
        event = event_pb2.Event(
            event_id=uuid.uuid4().hex, user_id=user, item_id=item_id, type=event_pb2.EVENT_TYPE_VIEW
        )
        event.event_time.GetCurrentTime()
        at = event.event_time.ToMicroseconds()

        async def reflected() -> bool:
            return (await self.recommend(user_id=user)).freshness.learned_through_time.ToMicroseconds() >= at

        feedback = event_pb2.FeedbackRequest(events=[event])
        return await _until(lambda: self._recommendations.Feedback(feedback), reflected)


async def _until(write: Callable[[], Awaitable[Any]], reflected: Callable[[], Awaitable[bool]]) -> float | None:
    started = time.perf_counter()
    await write()
    while time.perf_counter() - started < _GIVE_UP_SECONDS:
        if await reflected():
            return time.perf_counter() - started
    return None


def _durable_writes(rounds: int, scratch: Path | None) -> Summary:
    latencies = Latencies()
    with tempfile.TemporaryDirectory(dir=scratch, prefix="bench-store-") as folder:
        store = open_sqlite(Path(folder) / "store.db")
        for number in range(rounds):
            event = event_pb2.Event(
                event_id=str(number), user_id="bench", item_id="bench", type=event_pb2.EVENT_TYPE_VIEW
            )
            event.event_time.GetCurrentTime()
            started = time.perf_counter()
            store.append([event])
            latencies.record(time.perf_counter() - started)
        store.close()
    return latencies.summary()

"""`recency bench quality --ways`: the same leave-one-out cases asked in other ways, beside the plain request.

Each case is asked at its time in every way, one after the other, of one served stack. What differs:

    new user         an anonymous session that says its newest 0, 1, 3 or 5 events; what the user has seen is excluded by id
    cold item        the target is excluded, and a copy of it (another id, the same text) was added a moment ago
    filter           a filter that lets 1 % of the catalogue through, drawn at random for each case, the target among them
    plain, cut       500 plain items, cut to what that filter lets through: what filtering afterwards would show
    diversity        0.1 … 1; its intra-list distance says what is bought with the loss
    exploration      0.1

Legend of shapes: C cases, K items of a slate, D vector width.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import numpy.typing as npt

from recency.v1 import catalog_pb2, event_pb2, item_pb2, recommendation_pb2
from recency.v1.catalog_pb2_grpc import CatalogServiceStub
from recency.v1.recommendation_pb2_grpc import RecommendationServiceStub
from recency_bench.intervals import Figure, difference, figure
from recency_bench.quality import TOP, append_until
from recency_bench.served import ReplayClock
from recency_bench.split import Split
from recency_export.evaluate import ranks_in_slates
from recency_export.shared_tables import item_ids_of, read_tables
from recency_store.protocol import Store
from recency_store.records import LoggedEvent

PLAIN, CUT = "plain", "plain, cut to the filter afterwards"
FILTER, COLD = "filter (1 %)", "cold item"
_NEW = {f"new user, {count} events": count for count in (0, 1, 3, 5)}
_DIVERSE = {f"diversity {value:g}": value for value in (0.1, 0.3, 0.5, 0.7, 1.0)}
_EXPLORE = {"exploration 0.1": 0.1}
WAYS = (PLAIN, *_NEW, COLD, FILTER, CUT, *_DIVERSE, *_EXPLORE)
_COPY = "bench-copy"
_FILTERED_SHARE = 0.01
# A filter that names more is longer than a request may have.
_MOST_FILTERED = 100
_LONGEST_PAGE = 500

Request = recommendation_pb2.RecommendRequest


@dataclass(frozen=True, slots=True)
class WayRow:
    """One way's figures: NDCG@10 with its interval, the paired difference to the plain request, the mean distance between
    two items of a slate (1 - cosine), and how many of ten places were filled."""

    way: str
    ndcg: Figure
    gain: Figure
    distance: float
    filled: float


async def ask_in_ways(
    target: str, store: Store, split: Split, clock: ReplayClock, release: Path, advance: Callable[[int], None]
) -> list[WayRow]:
    """Every test case in every way, through the gateway at `target`, in time order."""
    rng = np.random.default_rng(0)
    slates: dict[str, list[list[str]]] = {way: [] for way in WAYS}
    position, wanted = 0, []
    async with grpc.aio.insecure_channel(target) as channel:
        stub: Any = RecommendationServiceStub(channel)  # type: ignore[no-untyped-call]
        catalog: Any = CatalogServiceStub(channel)  # type: ignore[no-untyped-call]
        histories = _Histories(split.known)
        items = {new.item.item_id: new.item for new in split.items}

        async def ask(request: Request) -> list[str]:
            answer = await stub.Recommend(request, timeout=30)
            if answer.degraded:
                raise RuntimeError(f"a degraded answer, of which no figure can be made: {answer.degraded_reason}")
            return [found.item_id for found in answer.recommendations]

        for number, case in enumerate(split.test):
            position = await asyncio.to_thread(append_until, store, split.known, position, case)
            clock.now_micros = case.time_micros
            among = _drawn(split, case, rng)
            for way, request in _requests(case, histories.until(case), among).items():
                slates[way].append(await ask(request))
            long = await ask(Request(user_id=case.user_id, page_size=min(_LONGEST_PAGE, len(items))))
            slates[CUT].append([item_id for item_id in long if item_id in among][:TOP])
            async with _copied(catalog, items[case.item_id]) as copy:
                seen = Request(user_id=case.user_id, page_size=TOP, exclude_item_ids=[case.item_id])
                slates[COLD].append([case.item_id if one == copy else one for one in await ask(seen)])
            wanted.append(case.item_id)
            advance(number + 1)
    return _rows(slates, wanted, [case.user_id for case in split.test], _Vectors(release))


def _requests(case: LoggedEvent, history: Sequence[LoggedEvent], among: set[str]) -> dict[str, Request]:
    """The ways that take one request each."""
    requests = {PLAIN: Request(user_id=case.user_id, page_size=TOP)}
    seen = sorted({event.item_id for event in history})
    for way, count in _NEW.items():
        newest = history[-count:] if count else []
        requests[way] = Request(page_size=TOP, exclude_item_ids=seen, recent_events=[_recent(one) for one in newest])
    some = " OR ".join(f'item_id = "{item_id}"' for item_id in sorted(among))
    requests[FILTER] = Request(user_id=case.user_id, page_size=TOP, filter=some)
    for way, diversity in _DIVERSE.items():
        requests[way] = Request(user_id=case.user_id, page_size=TOP, diversity=diversity)
    for way, exploration in _EXPLORE.items():
        requests[way] = Request(user_id=case.user_id, page_size=TOP, exploration=exploration)
    return requests


def _recent(event: LoggedEvent) -> event_pb2.Event:
    """The event as an anonymous session tells it: of nobody."""
    recent = event.event()
    for name in ("event_id", "user_id"):
        recent.ClearField(name)
    return recent


def _drawn(split: Split, case: LoggedEvent, rng: np.random.Generator) -> set[str]:
    """The target and as many others as make a hundredth of the catalogue."""
    ids = split.item_ids()
    size = min(max(TOP, round(_FILTERED_SHARE * len(ids))), _MOST_FILTERED, len(ids))
    others = rng.choice(len(ids), size=size, replace=False)
    return {case.item_id, *(ids[one] for one in others[1:])}


@asynccontextmanager
async def _copied(catalog: Any, item: item_pb2.Item) -> AsyncIterator[str]:
    """A copy of an item that is in the catalogue while entered; its id."""
    copy = item_pb2.Item()
    copy.CopyFrom(item)
    copy.item_id = f"{_COPY}-{item.item_id}"
    await catalog.UpsertItems(catalog_pb2.UpsertItemsRequest(items=[copy]))
    try:
        yield copy.item_id
    finally:
        await catalog.DeleteItems(catalog_pb2.DeleteItemsRequest(item_ids=[copy.item_id]))


class _Histories:
    """Each user's known events, in time order."""

    def __init__(self, known: Sequence[LoggedEvent]) -> None:
        self._of: dict[str, list[LoggedEvent]] = {}
        for event in known:
            self._of.setdefault(event.user_id, []).append(event)

    def until(self, case: LoggedEvent) -> list[LoggedEvent]:
        """Those of the case's user that came before it."""
        now = (case.time_micros, case.sequence)
        return [event for event in self._of.get(case.user_id, ()) if (event.time_micros, event.sequence) < now]


class _Vectors:
    """The release's item vectors, of length one."""

    def __init__(self, release: Path) -> None:
        vectors_ND = np.array(read_tables(release)["items"], dtype=np.float64)
        self._unit_ND = vectors_ND / np.maximum(np.linalg.norm(vectors_ND, axis=1, keepdims=True), 1e-12)
        self._row_of = {item_id: row for row, item_id in enumerate(item_ids_of(release))}

    def distance(self, slate: Sequence[str]) -> float:
        """Mean 1 - cosine over the pairs of a slate; nan where there is no pair."""
        rows = [self._row_of[item_id] for item_id in slate if item_id in self._row_of]
        if len(rows) < 2:
            return float("nan")
        unit_KD = self._unit_ND[rows]
        pairs = len(rows) * (len(rows) - 1)
        return float(1.0 - ((unit_KD @ unit_KD.T).sum() - len(rows)) / pairs)


def _rows(
    slates: Mapping[str, Sequence[Sequence[str]]], wanted: Sequence[str], user_ids: Sequence[str], vectors: _Vectors
) -> list[WayRow]:
    user_C = np.unique(np.array(user_ids), return_inverse=True)[1].astype(np.int64)
    everyone = np.ones(len(wanted), dtype=bool)
    plain = _gains(slates[PLAIN], wanted)
    return [
        WayRow(
            way=way,
            ndcg=figure([gains], user_C, everyone),
            gain=difference([gains], [plain], user_C, everyone),
            distance=float(np.nanmean([vectors.distance(slate) for slate in slates[way]])),
            filled=float(np.mean([len(slate) for slate in slates[way]])),
        )
        for way, gains in ((way, _gains(slates[way], wanted)) for way in WAYS)
    ]


def _gains(slates: Sequence[Sequence[str]], wanted: Sequence[str]) -> npt.NDArray[np.float32]:
    ranks_C = ranks_in_slates(slates, wanted)
    return np.where(ranks_C <= TOP, 1.0 / np.log2(ranks_C + 1.0), 0.0).astype(np.float32)

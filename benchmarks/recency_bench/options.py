"""`recency bench options`: what the options of a request cost, each kind of request in turn, on a running stack.

Kinds: plain; every option that a request can have at once but `explain` and `query`; those two alone. One request is in
flight at a time, by users of the store, and each round asks every kind once for the same user, so that what else the
machine does meets all of them. What a request cannot have at once with the others is left out: `candidate_item_ids` (it
takes retrieval's place) and `page_token` (it repeats an earlier request).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import grpc
import grpc.aio

from recency.v1 import catalog_pb2, event_pb2, item_pb2, recommendation_pb2
from recency.v1.catalog_pb2_grpc import CatalogServiceStub
from recency.v1.recommendation_pb2_grpc import RecommendationServiceStub
from recency_bench.summary import Latencies, Summary

PLAIN, EVERY, EXPLAIN, QUERY = "plain", "every option", "explain", "query"
_WARM_ROUNDS = 5
_PAGE = 10
# As many items as ListItems gives at once: enough to find categories by.
_LOOKED_AT = 500


@dataclass(frozen=True, slots=True)
class OptionsResult:
    """Latencies by kind, each kind's p50 over the plain one's, and how many answers were degraded."""

    rounds: int
    rows: dict[str, Summary]
    p50_ratio: dict[str, float]
    degraded: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


async def options(
    target: str, user_ids: Sequence[str], *, rounds: int, advance: Callable[[int], None] = lambda done: None
) -> OptionsResult:
    """Asks every kind `rounds` times at the gateway at `target`; LookupError where the catalogue is empty."""
    async with grpc.aio.insecure_channel(target) as channel:
        catalog: Any = CatalogServiceStub(channel)  # type: ignore[no-untyped-call]
        stub: Any = RecommendationServiceStub(channel)  # type: ignore[no-untyped-call]
        page = await catalog.ListItems(catalog_pb2.ListItemsRequest(page_size=_LOOKED_AT))
        if not page.items:
            raise LookupError("the catalogue is empty; import items first (`recency import items FILE`)")
        kinds = requests_of(page.items)
        measured = {kind: Latencies() for kind in kinds}
        degraded: Counter[str] = Counter()
        for number in range(-_WARM_ROUNDS, rounds):
            user_id = user_ids[number % len(user_ids)]
            for kind, request in kinds.items():
                request.user_id = user_id
                started = time.perf_counter()
                answer = await stub.Recommend(request)
                seconds = time.perf_counter() - started
                if number >= 0:
                    measured[kind].record(seconds)
                    degraded[kind] += answer.degraded
            advance(number + 1)
    rows = {kind: latencies.summary() for kind, latencies in measured.items()}
    return OptionsResult(
        rounds=rounds,
        rows=rows,
        p50_ratio={kind: row.p50_ms / rows[PLAIN].p50_ms for kind, row in rows.items()},
        degraded=dict(degraded),
    )


def requests_of(items: Sequence[item_pb2.Item]) -> dict[str, recommendation_pb2.RecommendRequest]:
    """A request of each kind for a catalogue with these items: what it filters and promotes is there."""
    categories = [name for name, _ in Counter(name for item in items for name in item.categories).most_common()]
    ids = [item.item_id for item in items]
    every = recommendation_pb2.RecommendRequest(
        page_size=_PAGE,
        surface="bench",
        labels={"bench": "options"},
        recent_events=[event_pb2.Event(item_id=ids[0], type=event_pb2.EVENT_TYPE_VIEW)],
        seed_item_ids=ids[1:3],
        negative_item_ids=ids[3:4],
        exclude_item_ids=ids[4:8],
        include_seen=False,
        filter=f'categories:"{categories[0]}" OR title:*' if categories else "title:*",
        diversity=0.3,
        exploration=0.1,
        trace=True,
        view=recommendation_pb2.RECOMMEND_VIEW_ITEMS,
    )
    every.context["page"] = "bench"
    every.max_staleness.FromSeconds(10**9)
    if categories:
        every.promotions.add(name="bench", filter=f'categories:"{categories[-1]}"', share=0.2)
    return {
        PLAIN: recommendation_pb2.RecommendRequest(page_size=_PAGE),
        EVERY: every,
        EXPLAIN: recommendation_pb2.RecommendRequest(page_size=_PAGE, explain=True),
        QUERY: recommendation_pb2.RecommendRequest(
            page_size=_PAGE, query="a quiet film about the sea", query_weight=0.5
        ),
    }

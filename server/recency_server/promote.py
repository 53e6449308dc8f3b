"""Promotions: a share of a slate for items that the caller promotes, each the best of them for this user."""

from __future__ import annotations

from collections.abc import Sequence

from recency.v1 import recommendation_pb2
from recency_server.promotion import Promotion
from recency_server.query import Placed


def promote(
    placed: Sequence[Placed], promoted: Sequence[tuple[Promotion, Sequence[Placed]]], page_size: int
) -> tuple[Placed, ...]:
    """The slate with each promotion's best items in its places, spread evenly from the top on; the rest of the slate keeps
    its order. A promoted item that was in the slate anyway counts for its promotion, and none comes twice. Pure."""
    chosen: dict[int, Placed] = {}
    taken: set[str] = set()
    for promotion, items in promoted:
        count = promotion.places(page_size)
        fresh = [item for item in items if item.item_id not in taken][:count]
        for number, item in enumerate(fresh):
            place = int((number + 0.5) * page_size / len(fresh))
            while place in chosen:
                place = (place + 1) % page_size
            chosen[place] = item._replace(source=recommendation_pb2.SOURCE_PROMOTION, promotion=promotion.name)
            taken.add(item.item_id)
    others = (item for item in placed if item.item_id not in taken)
    slate = [chosen.get(place) or next(others, None) for place in range(page_size)]
    return tuple(item for item in slate if item is not None)

"""Places that the ranking does not give: to what a rule pins, to promotions, to new items. The rest of the slate keeps its
order around them. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from recency.v1 import recommendation_pb2
from recency_server.promotion import Promotion
from recency_server.query import Placed

# Place (from 0) → what stands there.
Given = dict[int, Placed]


def promote(
    promoted: Sequence[tuple[Promotion, Sequence[Placed]]], page_size: int, given: Mapping[int, Placed]
) -> Given:
    """The places of what has one already, and of each promotion's best items beside it. None comes twice."""
    chosen = dict(given)
    for promotion, items in promoted:
        taken = {placed.item_id for placed in chosen.values()}
        best = [item for item in items if item.item_id not in taken][: promotion.places(page_size)]
        named = [i._replace(source=recommendation_pb2.SOURCE_PROMOTION, promotion=promotion.name) for i in best]
        chosen.update(spread(named, page_size, chosen))
    return chosen


def spread(items: Sequence[Placed], page_size: int, occupied: Collection[int]) -> Given:
    """Items over the places of a slate that nobody has, evenly from the top on; as many as there is place for."""
    chosen: Given = {}
    items = items[: max(0, page_size - len(occupied))]
    for number, item in enumerate(items):
        place = int((number + 0.5) * page_size / len(items))
        while place in chosen or place in occupied:
            place = (place + 1) % page_size
        chosen[place] = item
    return chosen


def filled(given: Mapping[int, Placed], others: Iterable[Placed], page_size: int) -> tuple[Placed, ...]:
    """The slate: the others in their order around the places that are given. Where they do not fill it, what has a place
    further down moves up."""
    taken = {placed.item_id for placed in given.values()}
    rest = (item for item in others if item.item_id not in taken)
    slate = [given.get(place) or next(rest, None) for place in range(page_size)]
    return tuple(item for item in slate if item is not None)

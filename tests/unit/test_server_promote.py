"""Promotions get their share of a slate, and no more."""

from __future__ import annotations

from recency.v1 import recommendation_pb2
from recency_server.promote import promote
from recency_server.promotion import Promotion
from recency_server.query import Placed


def _placed(*item_ids: str) -> list[Placed]:
    return [Placed(item_id, 1.0, 0.5, recommendation_pb2.SOURCE_USER) for item_id in item_ids]


def _ids(slate: tuple[Placed, ...]) -> str:
    return "".join(place.item_id.upper() if place.promotion else place.item_id for place in slate)


def test_a_promotion_fills_its_share_spread_over_the_slate():
    slate = promote(_placed(*"abcdefghij"), [(Promotion("p", "", 0.2), _placed(*"xyz"))], 10)
    assert _ids(slate) == "abXcdefYgh"
    assert sum(place.promotion == "p" for place in slate) == 2
    assert {place.source for place in slate if place.promotion} == {recommendation_pb2.SOURCE_PROMOTION}


def test_what_is_promoted_and_recommended_comes_once():
    slate = promote(_placed(*"abcd"), [(Promotion("p", "", 0.5), _placed("a", "b", "c"))], 4)
    assert sorted(_ids(slate).lower()) == list("abcd")
    assert sum(bool(place.promotion) for place in slate) == 2


def test_two_promotions_share_and_neither_takes_the_others_items():
    promotions = [(Promotion("p", "", 0.5), _placed("x", "y")), (Promotion("q", "", 0.5), _placed("x", "z", "w"))]
    slate = promote(_placed(*"abcd"), promotions, 4)
    assert sorted((place.item_id, place.promotion) for place in slate) == [
        ("w", "q"),
        ("x", "p"),
        ("y", "p"),
        ("z", "q"),
    ]


def test_a_share_that_is_less_than_a_place_is_none_and_a_promotion_without_items_leaves_the_slate_as_it_is():
    assert _ids(promote(_placed(*"abcd"), [(Promotion("p", "", 0.2), _placed("x"))], 4)) == "abcd"
    assert _ids(promote(_placed(*"abcd"), [(Promotion("p", "", 1.0), [])], 4)) == "abcd"
    assert Promotion("p", "", 0.3).places(10) == 3

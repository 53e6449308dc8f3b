"""Places that are given: promotions get their share and no more, the rest keeps its order around them."""

from __future__ import annotations

from recency.v1 import recommendation_pb2
from recency_server.fresh import places_for, without_last
from recency_server.promote import filled, promote, spread
from recency_server.promotion import Promotion
from recency_server.query import Placed


def _placed(*item_ids: str) -> list[Placed]:
    return [Placed(item_id, 1.0, 0.5, recommendation_pb2.SOURCE_USER) for item_id in item_ids]


def _slate(placed, promoted, page_size, given=None):
    return filled(promote(promoted, page_size, given or {}), placed, page_size)


def _ids(slate: tuple[Placed, ...]) -> str:
    return "".join(place.item_id.upper() if place.promotion else place.item_id for place in slate)


def test_a_promotion_fills_its_share_spread_over_the_slate():
    slate = _slate(_placed(*"abcdefghij"), [(Promotion("p", "", 0.2), _placed(*"xyz"))], 10)
    assert _ids(slate) == "abXcdefYgh"
    assert sum(place.promotion == "p" for place in slate) == 2
    assert {place.source for place in slate if place.promotion} == {recommendation_pb2.SOURCE_PROMOTION}


def test_what_is_promoted_and_recommended_comes_once():
    slate = _slate(_placed(*"abcd"), [(Promotion("p", "", 0.5), _placed("a", "b", "c"))], 4)
    assert sorted(_ids(slate).lower()) == list("abcd")
    assert sum(bool(place.promotion) for place in slate) == 2


def test_two_promotions_share_and_neither_takes_the_others_items():
    promotions = [(Promotion("p", "", 0.5), _placed("x", "y")), (Promotion("q", "", 0.5), _placed("x", "z", "w"))]
    slate = _slate(_placed(*"abcd"), promotions, 4)
    assert sorted((place.item_id, place.promotion) for place in slate) == [
        ("w", "q"),
        ("x", "p"),
        ("y", "p"),
        ("z", "q"),
    ]


def test_a_share_that_is_less_than_a_place_is_none_and_a_promotion_without_items_leaves_the_slate_as_it_is():
    assert _ids(_slate(_placed(*"abcd"), [(Promotion("p", "", 0.2), _placed("x"))], 4)) == "abcd"
    assert _ids(_slate(_placed(*"abcd"), [(Promotion("p", "", 1.0), [])], 4)) == "abcd"
    assert Promotion("p", "", 0.3).places(10) == 3


def test_promotions_go_around_what_is_pinned():
    pinned = {0: _placed("p")[0]._replace(promotion="pin")}
    slate = _slate(_placed(*"abcd"), [(Promotion("q", "", 1.0), _placed(*"pxyz"))], 4, pinned)
    assert _ids(slate) == "PXYZ"
    assert [place.promotion for place in slate] == ["pin", "q", "q", "q"]


def test_items_are_spread_over_the_places_that_nobody_has():
    assert sorted(spread(_placed(*"xy"), 4, {1})) == [2, 3]
    assert sorted(spread(_placed(*"xyz"), 3, {0, 1})) == [2]
    assert spread(_placed("x"), 2, {0, 1}) == {}


def test_a_part_of_a_place_is_one_now_and_then():
    assert [places_for(0.25, 10, chance) for chance in (0.0, 0.49, 0.5, 1.0)] == [3, 3, 2, 2]
    assert places_for(0.3, 10, 0.0) == 3
    assert places_for(0.0, 10, 0.0) == 0


def test_the_last_go_first_but_for_those_to_keep():
    assert _ids(without_last(_placed(*"abcd"), 2, "c".__eq__)) == "ac"
    assert _ids(without_last(_placed(*"ab"), 0, "".__eq__)) == "ab"

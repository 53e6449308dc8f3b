"""Slate → RecommendResponse."""

from __future__ import annotations

from recency.v1 import item_pb2, recommendation_pb2
from recency_server.answer import answer
from recency_server.query import Freshness, Placed, Slate

NOW = 1_700_000_000_123_456


def test_a_slate_goes_out_whole_and_in_order() -> None:
    response = answer(
        Slate(
            recommendation_id="r-1",
            placed=(
                Placed("a", 2.5, 0.25, recommendation_pb2.SOURCE_USER, item=item_pb2.Item(item_id="a", title="A")),
                Placed("b", 1.5, None, recommendation_pb2.SOURCE_TREND),
            ),
            freshness=Freshness(
                release=3,
                release_micros=NOW - 2_500_000,
                trained_through_micros=NOW - 60_000_000,
                behaviour_micros=NOW,
                catalog_micros=NOW + 5,
                events_used=7,
            ),
            answered_micros=NOW,
            degraded=("scorer: late", "query: away"),
            missing_item_ids=("gone",),
        )
    )
    first, second = response.recommendations
    assert (first.item_id, first.score, first.probability, first.item.title) == ("a", 2.5, 0.25, "A")
    assert second.source == recommendation_pb2.SOURCE_TREND
    assert not second.HasField("probability")
    assert not second.HasField("item")
    assert response.degraded
    assert response.degraded_reason == "scorer: late; query: away"
    assert list(response.missing_item_ids) == ["gone"]
    freshness = response.freshness
    assert (freshness.release, freshness.events_used) == (3, 7)
    assert freshness.release_time.ToMicroseconds() == NOW - 2_500_000
    assert freshness.release_age.ToMicroseconds() == 2_500_000
    assert freshness.trained_through_age.ToSeconds() == 60
    # An age of nothing is an age, and no clock makes one negative.
    assert freshness.HasField("behaviour_age")
    assert freshness.behaviour_age.ToMicroseconds() == freshness.catalog_age.ToMicroseconds() == 0


def test_what_has_no_time_has_no_age() -> None:
    response = answer(Slate("r", (), Freshness(), NOW))
    assert response.HasField("freshness")
    assert not response.degraded
    for field in ("release", "trained_through", "behaviour", "catalog"):
        assert not response.freshness.HasField(f"{field}_time")
        assert not response.freshness.HasField(f"{field}_age")

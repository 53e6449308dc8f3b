"""Python values become requests, responses become Python values; what the package exports is frozen."""

from __future__ import annotations

import dataclasses
import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

import recency
from recency import calls, messages
from recency.events import event_id_at
from recency.types import Event, EventType, Item, Promotion
from recency.v1 import event_pb2, item_pb2, recommendation_pb2, release_pb2

NOON = datetime(2024, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)

EXPORTED = """
Activation AsyncRecency AsyncSession Consent DeadlineExceeded DeleteResult Erased Event EventType FailedPrecondition
FeedbackResult FieldViolation FilteredCandidates Freshness HideResult InvalidArgument Item KnownUser MergeResult
NotFound Overloaded Promotion Reason ReasonKind Recency RecencyError RecommendView Recommendation Refresh Release
ReleaseArm ReleaseShadow ReleaseState ReleaseUse ServedSlate ServerError Session Slate Source Trace Unavailable
Unimplemented UpsertResult User UserStored event
"""


def test_what_is_exported_is_frozen():
    assert sorted(recency.__all__) == sorted(EXPORTED.split())
    assert all(hasattr(recency, name) for name in recency.__all__)


def test_both_clients_have_the_same_methods():
    def public(kind: type) -> set[str]:
        return {name for name in vars(kind) if not name.startswith("_")}

    assert public(recency.Recency) == public(recency.AsyncRecency)


def test_every_field_of_a_recommend_request_is_an_option():
    fields = {f.name for f in recommendation_pb2.RecommendRequest.DESCRIPTOR.fields}
    assert set(calls.RecommendOptions.__annotations__) | {"user_id"} == fields


def test_every_field_of_an_event_and_an_item_can_be_sent_or_read():
    for ours, theirs in ((Event, event_pb2.Event), (Item, item_pb2.Item), (recency.Release, release_pb2.Release)):
        assert {f.name for f in dataclasses.fields(ours)} == {f.name for f in theirs.DESCRIPTOR.fields}


def test_every_option_reaches_the_request():
    event = Event(event_id="e", user_id="u", type=EventType.CLICK, item_id="i", event_time=NOON)
    options: calls.RecommendOptions = {
        "page_size": 5,
        "page_token": "p",
        "session_id": "s",
        "surface": "home",
        "labels": {"a": "b"},
        "context": {"device": "tv"},
        "recent_events": [event],
        "query": "robots",
        "query_weight": 0.0,
        "seed_item_ids": ["s1"],
        "negative_item_ids": ["n1"],
        "candidate_item_ids": ["c1"],
        "filter": "x = 1",
        "exclude_item_ids": ["x1"],
        "include_seen": False,
        "promotions": [Promotion("p", "f", 0.5)],
        "diversity": 0.1,
        "exploration": 0.2,
        "explain": True,
        "trace": True,
        "consistency_token": ["t1", "t2"],
        "strict_consistency": True,
        "max_staleness": timedelta(minutes=1),
        "view": "items",
        "validate_only": True,
    }
    assert set(options) == set(calls.RecommendOptions.__annotations__)
    request = calls.recommend("u", options).request
    assert {f.name for f, _ in request.ListFields()} == {f.name for f in request.DESCRIPTOR.fields}
    assert (request.include_seen, request.query_weight, request.max_staleness.seconds) == (False, 0.0, 60)
    assert list(request.consistency_token) == ["t1", "t2"]
    assert request.view == recommendation_pb2.RECOMMEND_VIEW_ITEMS
    assert request.recent_events[0].event_time.ToMicroseconds() == round(NOON.timestamp() * 1e6)


def test_an_option_left_out_is_not_sent():
    assert calls.recommend("u", {}).request == recommendation_pb2.RecommendRequest(user_id="u")
    one = calls.recommend("u", {"consistency_token": "t"}).request
    assert list(one.consistency_token) == ["t"]
    assert not calls.recommend("u", {"consistency_token": ""}).request.consistency_token


def test_an_unknown_option_or_name_is_refused():
    with pytest.raises(TypeError, match="no option page_sise"):
        calls.recommend("u", {"page_sise": 1})  # type: ignore[typeddict-unknown-key]
    with pytest.raises(ValueError, match="'everything' is no RecommendView; one of IDS, ITEMS"):
        calls.recommend("u", {"view": "everything"})


def test_a_time_without_zone_is_refused():
    with pytest.raises(ValueError, match="no time zone"):
        messages.timestamp_of(datetime(2024, 1, 1))


@given(st.datetimes(timezones=st.just(timezone(timedelta(hours=5, minutes=30))), min_value=datetime(1, 1, 2)))
def test_times_come_back_to_the_microsecond(time):
    message = item_pb2.Item(create_time=messages.timestamp_of(time))
    assert messages.time_from(message, "create_time") == time
    assert 0 <= message.create_time.nanos < 1_000_000_000


def test_an_item_comes_back_as_it_went():
    item = Item(
        item_id="i",
        title="T",
        text="x",
        categories=("a", "b"),
        attributes={"year": 1995.0, "cast": ["x"], "live": True},
        vectors={"image/v1": (0.5, 1.0)},
        available_from=NOON,
        available_until=NOON + timedelta(days=1),
        maturity=3,
        provider="p",
    )
    assert messages.item_from(messages.item_to_message(item)) == item


def test_an_empty_response_has_none_where_nothing_is_dated():
    slate = messages.slate_from(recommendation_pb2.RecommendResponse())
    assert slate.item_ids == ()
    assert slate.freshness.behaviour_time is None
    assert slate.freshness.release_age is None
    assert slate.trace is None


def test_a_full_response_is_read_whole():
    response = recommendation_pb2.RecommendResponse(
        recommendation_id="r", degraded=True, degraded_reason="triton: away"
    )
    place = response.recommendations.add(item_id="i", score=1.5, probability=0.25, source=4)
    place.reasons.add(kind=1, text="because", event_id="e", contribution=0.5)
    place.item.title = "T"
    response.recommendations.add(item_id="j", source=99)
    response.freshness.behaviour_time.FromDatetime(NOON)
    response.freshness.behaviour_age.FromMilliseconds(1500)
    response.trace.stages.add(stage="score").duration.FromMilliseconds(3)
    response.trace.filtered.add(cause="seen", count=2, item_ids=["a"])
    slate = messages.slate_from(response)
    first, second = slate.recommendations
    assert (first.probability, first.propensity, first.source, first.item.title) == (
        0.25,
        None,
        recency.Source.TREND,
        "T",
    )
    assert (first.reasons[0].kind.name, first.reasons[0].contribution) == ("BEHAVIOUR", 0.5)
    assert second.source is recency.Source.UNSPECIFIED
    assert slate.freshness.behaviour_time == NOON
    assert slate.freshness.behaviour_age == timedelta(seconds=1.5)
    assert slate.trace.stages == (("score", timedelta(milliseconds=3)),)
    assert slate.trace.filtered[0].cause == "seen"
    assert (slate.degraded, slate.degraded_reason) == (True, "triton: away")


def test_an_event_is_made_now_with_an_id_of_its_own():
    made = recency.event("u", "i", "purchase", value=9.5, clock=lambda: 1_700_000_000_123_456_789)
    assert made.type is EventType.PURCHASE
    assert made.event_time == datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)
    assert made.value == 9.5
    assert uuid.UUID(made.event_id).version == 7
    assert recency.event("u").event_id != recency.event("u").event_id
    assert recency.event("u", event_id="mine", event_time=NOON).event_id == "mine"


@given(st.integers(0, 2**48 - 1), st.integers(0, 2**48 - 1), st.integers(0, 2**74 - 1), st.integers(0, 2**74 - 1))
def test_event_ids_are_in_the_order_of_time(one, other, random, another):
    first, second = event_id_at(one, random), event_id_at(other, another)
    assert uuid.UUID(first).version == 7
    assert uuid.UUID(first).variant == uuid.RFC_4122
    if one != other:
        assert (first < second) == (one < other)
    elif random != another:
        assert first != second

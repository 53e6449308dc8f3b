"""Slate → RecommendResponse."""

from __future__ import annotations

from google.protobuf import duration_pb2, timestamp_pb2

from recency.v1 import recommendation_pb2
from recency_server.query import Freshness, Slate
from recency_server.told import Trace


def answer(slate: Slate) -> recommendation_pb2.RecommendResponse:
    """The slate as it goes over the wire."""
    response = recommendation_pb2.RecommendResponse(recommendation_id=slate.recommendation_id)
    add = response.recommendations.add
    for placed in slate.placed:
        one = add(item_id=placed.item_id, score=placed.score, source=placed.source)
        if placed.probability is not None:
            one.probability = placed.probability
        if placed.propensity is not None:
            one.propensity = placed.propensity
        if placed.promotion:
            one.promotion = placed.promotion
        if placed.item is not None:
            one.item.CopyFrom(placed.item)
        for kind, text, event_id, item_id, contribution in placed.reasons:
            one.reasons.add(kind=kind, text=text, event_id=event_id, item_id=item_id, contribution=contribution)
    _fill(response.freshness, slate.freshness, slate.answered_micros)
    if slate.degraded:
        response.degraded = True
        response.degraded_reason = "; ".join(slate.degraded)
    response.next_page_token = slate.next_page_token
    if slate.missing_item_ids:
        response.missing_item_ids.extend(slate.missing_item_ids)
    if slate.trace is not None:
        _tell(response.trace, slate.trace)
    return response


def _tell(target: recommendation_pb2.Trace, trace: Trace) -> None:
    for stage, seconds in trace.stages:
        target.stages.add(stage=stage).duration.FromNanoseconds(round(seconds * 1e9))
    target.candidates_by_source.update(trace.candidates_by_source)
    for cause, number, item_ids in trace.left_out:
        target.filtered.add(cause=cause, count=number, item_ids=item_ids)
    target.used_event_ids.extend(trace.used_event_ids)
    target.unused_event_ids.extend(trace.unused_event_ids)


def _fill(target: recommendation_pb2.Freshness, freshness: Freshness, now_micros: int) -> None:
    """Each time with its age when the answer was made; what has no time has no age."""
    target.SetInParent()
    target.release = freshness.release
    target.events_used = freshness.events_used
    if freshness.release_micros is not None:
        _date(target.release_time, target.release_age, freshness.release_micros, now_micros)
    if freshness.trained_through_micros is not None:
        _date(target.trained_through_time, target.trained_through_age, freshness.trained_through_micros, now_micros)
    if freshness.learned_through_micros is not None:
        _date(target.learned_through_time, target.learned_through_age, freshness.learned_through_micros, now_micros)
    if freshness.behaviour_micros is not None:
        _date(target.behaviour_time, target.behaviour_age, freshness.behaviour_micros, now_micros)
    if freshness.catalog_micros is not None:
        _date(target.catalog_time, target.catalog_age, freshness.catalog_micros, now_micros)


def _date(time: timestamp_pb2.Timestamp, age: duration_pb2.Duration, micros: int, now_micros: int) -> None:
    """By hand, since FromMicroseconds costs several times as much. An age is never below 0: clocks differ."""
    time.seconds, rest = divmod(micros, 1_000_000)
    time.nanos = rest * 1_000
    passed = max(0, now_micros - micros)
    age.seconds, rest = divmod(passed, 1_000_000)
    age.nanos = rest * 1_000
    # An age of 0 is an age: the message must be there even where all of it is zero.
    age.SetInParent()
    time.SetInParent()

"""Python values ↔ messages. Pure: no channel, no clock."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from google.protobuf import duration_pb2, struct_pb2, timestamp_pb2
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from recency.release_types import Release, ReleaseArm, ReleaseShadow, ReleaseState, ReleaseUse
from recency.types import (
    Event,
    EventType,
    FilteredCandidates,
    Freshness,
    Item,
    Reason,
    ReasonKind,
    Recommendation,
    Slate,
    Source,
    Trace,
)
from recency.v1 import event_pb2, item_pb2, recommendation_pb2, release_pb2

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_Number = TypeVar("_Number", bound=enum.IntEnum)


# --- into messages -------------------------------------------------------------------------------------------------
def event_to_message(event: Event) -> event_pb2.Event:
    """An event as it is sent."""
    message = event_pb2.Event(
        event_id=event.event_id,
        user_id=event.user_id,
        item_id=event.item_id,
        type=number_of(EventType, event.type),
        custom_type=event.custom_type,
        value=event.value,
        quantity=event.quantity,
        currency=event.currency,
        recommendation_id=event.recommendation_id,
        session_id=event.session_id,
        position=event.position,
        query=event.query,
        shown_item_ids=event.shown_item_ids,
        retracts_event_id=event.retracts_event_id,
        context=struct_of(event.context),
    )
    if event.event_time is not None:
        message.event_time.CopyFrom(timestamp_of(event.event_time))
    return message


def item_to_message(item: Item) -> item_pb2.Item:
    """An item as it is sent; what is the server's to fill is left out."""
    message = item_pb2.Item(
        item_id=item.item_id,
        title=item.title,
        text=item.text,
        categories=item.categories,
        attributes=struct_of(item.attributes),
        maturity=item.maturity,
        provider=item.provider,
    )
    for space, values in item.vectors.items():
        message.vectors[space].values.extend(values)
    if item.available_from is not None:
        message.available_from.CopyFrom(timestamp_of(item.available_from))
    if item.available_until is not None:
        message.available_until.CopyFrom(timestamp_of(item.available_until))
    return message


def number_of(kind: type[_Number], value: _Number | int | str) -> Any:
    """An enum's number by member, number or name (`CLICK`, in any case); ValueError names the choices."""
    if isinstance(value, str):
        try:
            return kind[value.upper()].value
        except KeyError:
            names = ", ".join(member.name for member in kind if member)
            raise ValueError(f"{value!r} is no {kind.__name__}; one of {names}") from None
    return int(value)


def timestamp_of(time: datetime) -> timestamp_pb2.Timestamp:
    """A time; ValueError for one without a time zone, which would be another time on another machine."""
    if time.tzinfo is None:
        raise ValueError(f"{time!r} has no time zone; use datetime.now(UTC), or replace(tzinfo=…)")
    micros = (time - _EPOCH) // timedelta(microseconds=1)
    return timestamp_pb2.Timestamp(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1_000)


def duration_of(duration: timedelta) -> duration_pb2.Duration:
    """A duration."""
    message = duration_pb2.Duration()
    message.FromTimedelta(duration)
    return message


def struct_of(values: Mapping[str, Any]) -> struct_pb2.Struct | None:
    """Strings, numbers, booleans, None, lists and mappings of them; None where there are none."""
    if not values:
        return None
    struct = struct_pb2.Struct()
    struct.update(values)
    return struct


# --- out of messages -----------------------------------------------------------------------------------------------
def slate_from(response: recommendation_pb2.RecommendResponse) -> Slate:
    """A slate as it was answered."""
    return Slate(
        recommendation_id=response.recommendation_id,
        recommendations=tuple(_recommendation_from(r) for r in response.recommendations),
        freshness=_freshness_from(response.freshness),
        degraded=response.degraded,
        degraded_reason=response.degraded_reason,
        missing_item_ids=tuple(response.missing_item_ids),
        next_page_token=response.next_page_token,
        trace=_trace_from(response.trace) if response.HasField("trace") else None,
    )


def _recommendation_from(place: recommendation_pb2.Recommendation) -> Recommendation:
    return Recommendation(
        item_id=place.item_id,
        score=place.score,
        probability=place.probability if place.HasField("probability") else None,
        propensity=place.propensity if place.HasField("propensity") else None,
        source=member_of(Source, place.source),
        promotion=place.promotion,
        reasons=tuple(
            Reason(member_of(ReasonKind, r.kind), r.text, r.event_id, r.item_id, r.contribution) for r in place.reasons
        ),
        item=item_from(place.item) if place.HasField("item") else None,
    )


def _freshness_from(message: recommendation_pb2.Freshness) -> Freshness:
    return Freshness(
        release=message.release,
        release_time=time_from(message, "release_time"),
        trained_through_time=time_from(message, "trained_through_time"),
        learned_through_time=time_from(message, "learned_through_time"),
        behaviour_time=time_from(message, "behaviour_time"),
        catalog_time=time_from(message, "catalog_time"),
        release_age=_age_from(message, "release_age"),
        trained_through_age=_age_from(message, "trained_through_age"),
        learned_through_age=_age_from(message, "learned_through_age"),
        behaviour_age=_age_from(message, "behaviour_age"),
        catalog_age=_age_from(message, "catalog_age"),
        events_used=message.events_used,
    )


def _trace_from(message: recommendation_pb2.Trace) -> Trace:
    return Trace(
        stages=tuple((s.stage, s.duration.ToTimedelta()) for s in message.stages),
        candidates_by_source=dict(message.candidates_by_source),
        filtered=tuple(FilteredCandidates(f.cause, f.count, tuple(f.item_ids)) for f in message.filtered),
        used_event_ids=tuple(message.used_event_ids),
        unused_event_ids=tuple(message.unused_event_ids),
    )


def event_from(message: event_pb2.Event) -> Event:
    """An event as it is stored."""
    return Event(
        event_id=message.event_id,
        user_id=message.user_id,
        type=member_of(EventType, message.type),
        item_id=message.item_id,
        custom_type=message.custom_type,
        event_time=time_from(message, "event_time"),
        value=message.value if message.HasField("value") else None,
        quantity=message.quantity if message.HasField("quantity") else None,
        currency=message.currency,
        recommendation_id=message.recommendation_id,
        session_id=message.session_id,
        position=message.position if message.HasField("position") else None,
        query=message.query,
        shown_item_ids=tuple(message.shown_item_ids),
        retracts_event_id=message.retracts_event_id,
        context=MessageToDict(message.context),
    )


def item_from(message: item_pb2.Item) -> Item:
    """An item as it is stored."""
    return Item(
        item_id=message.item_id,
        title=message.title,
        text=message.text,
        categories=tuple(message.categories),
        attributes=MessageToDict(message.attributes),
        vectors={space: tuple(vector.values) for space, vector in message.vectors.items()},
        available_from=time_from(message, "available_from"),
        available_until=time_from(message, "available_until"),
        maturity=message.maturity,
        provider=message.provider,
        create_time=time_from(message, "create_time"),
        update_time=time_from(message, "update_time"),
        hidden=message.hidden,
        hidden_reason=message.hidden_reason,
    )


def release_from(message: release_pb2.Release) -> Release:
    """A release as it is now."""
    return Release(
        release=message.release,
        state=member_of(ReleaseState, message.state),
        reason=message.reason,
        parent=message.parent,
        create_time=time_from(message, "create_time"),
        trained_through_time=time_from(message, "trained_through_time"),
        item_count=message.item_count,
        model_versions=dict(message.model_versions),
        metrics=dict(message.metrics),
        checksums=dict(message.checksums),
        canary_fraction=message.canary_fraction,
        kind=message.kind,
        run=message.run,
        use=_use_from(message.use) if message.HasField("use") else None,
    )


def _use_from(use: release_pb2.ReleaseUse) -> ReleaseUse:
    arm, shadow = use.arm, use.shadow
    return ReleaseUse(
        gateway=use.gateway,
        role=use.role,
        refused_reason=use.refused_reason,
        held=use.held,
        arm=ReleaseArm(
            answers=arm.answers,
            degraded=arm.degraded,
            errors=arm.errors,
            clicks=arm.clicks,
            reward=arm.reward,
            reward_low=arm.reward_low,
            reward_high=arm.reward_high,
            latency_median=arm.latency_median.ToTimedelta(),
            latency_p90=arm.latency_p90.ToTimedelta(),
        )
        if use.HasField("arm")
        else None,
        shadow=ReleaseShadow(
            scored=shadow.scored,
            dropped=shadow.dropped,
            errors=shadow.errors,
            overlap_at_10=shadow.overlap_at_10,
            rank_correlation=shadow.rank_correlation,
            latency_mean=shadow.latency_mean.ToTimedelta(),
        )
        if use.HasField("shadow")
        else None,
    )


def member_of(kind: type[_Number], number: int) -> _Number:
    """An enum's member; UNSPECIFIED for a number that a newer server knows and this client does not."""
    try:
        return kind(number)
    except ValueError:
        return kind(0)


def time_from(message: Message, field: str) -> datetime | None:
    """A time in UTC, where it is set."""
    if not message.HasField(field):
        return None
    time: timestamp_pb2.Timestamp = getattr(message, field)
    return _EPOCH + timedelta(seconds=time.seconds, microseconds=time.nanos // 1_000)


def _age_from(message: Message, field: str) -> timedelta | None:
    if not message.HasField(field):
        return None
    age: duration_pb2.Duration = getattr(message, field)
    return age.ToTimedelta()

"""Validation under any message at all: it raises nothing but its own errors, and what passes is within the limits."""

from __future__ import annotations

import math
from typing import Any

import pytest
from google.protobuf import descriptor, message_factory, struct_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recency.v1 import event_pb2, item_pb2, recommendation_pb2
from recency_server import limits
from recency_server.errors import InvalidRequest, NotBuilt
from recency_server.query import Query
from recency_server.validate_event import event_problems
from recency_server.validate_item import item_problems
from recency_server.validate_recommend import read_recommend

NOW = 1_700_000_000_000_000
F = descriptor.FieldDescriptor
TEXTS = st.one_of(
    st.sampled_from(
        ["", "a", "item-1", " ", "\n", "\x00", "a\x7f", "é" * 128, "é" * 129, "x" * 256, "x" * 257, "x" * 5_000]
    ),
    st.text(max_size=8),
)
INTS = st.one_of(st.sampled_from([0, 1, -1, 10, 500, 501, 2**31 - 1, -(2**31)]), st.integers(-1000, 1000))
LONGS = st.one_of(INTS, st.sampled_from([2**63 - 1, -(2**63), 253_402_300_799, 253_402_300_800, NOW // 1_000_000]))
FLOATS = st.one_of(st.sampled_from([0.0, 0.5, 1.0, -0.1, 1.1, math.nan, math.inf, -math.inf]), st.floats(0, 1))
SCALARS = {
    F.CPPTYPE_STRING: TEXTS,
    F.CPPTYPE_INT32: INTS,
    F.CPPTYPE_ENUM: st.one_of(st.integers(0, 5), st.sampled_from([16, 17, 99, -1])),
    F.CPPTYPE_INT64: LONGS,
    F.CPPTYPE_DOUBLE: FLOATS,
    F.CPPTYPE_FLOAT: FLOATS,
    F.CPPTYPE_BOOL: st.booleans(),
}


@st.composite
def messages(draw: st.DrawFn, kind: Any, depth: int = 3) -> Any:
    """A message of a kind with any of its fields set to anything that protobuf can carry."""
    message = message_factory.GetMessageClass(kind)()
    fields = (
        draw(st.lists(st.sampled_from(list(kind.fields)), max_size=6, unique_by=lambda f: f.number))
        if kind.fields
        else []
    )
    for field in fields:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            _fill_map(draw, message, field, depth)
        elif field.label == F.LABEL_REPEATED:
            for _ in range(draw(st.integers(0, 3))):
                if field.message_type is None:
                    getattr(message, field.name).append(draw(SCALARS[field.cpp_type]))
                elif depth:
                    getattr(message, field.name).append(draw(messages(field.message_type, depth - 1)))
        elif field.message_type is not None:
            if depth:
                getattr(message, field.name).CopyFrom(draw(messages(field.message_type, depth - 1)))
        else:
            setattr(message, field.name, draw(SCALARS[field.cpp_type]))
    return message


def _fill_map(draw: st.DrawFn, message: Any, field: Any, depth: int) -> None:
    value = field.message_type.fields_by_name["value"]
    for key in draw(st.lists(TEXTS, max_size=3, unique=True)):
        if value.message_type is None:
            getattr(message, field.name)[key] = draw(SCALARS[value.cpp_type])
        elif depth:
            getattr(message, field.name)[key].CopyFrom(draw(messages(value.message_type, depth - 1)))


SETTINGS = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _query_or_none(request: recommendation_pb2.RecommendRequest) -> Query | None:
    """What validation makes of a request, None where it refuses it as it should."""
    try:
        return read_recommend(request, NOW)
    except InvalidRequest as error:
        # As many as are named, and no reason that repeats a long text.
        if not 1 <= len(error.violations) <= limits.VIOLATIONS + 1 or len(str(error)) > 600 * len(error.violations):
            raise AssertionError(str(error)) from error
    except NotBuilt:
        pass
    return None


def _is_id(value: str) -> bool:
    return 1 <= len(value.encode()) <= limits.ID_BYTES and not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in value)


@SETTINGS
@given(messages(recommendation_pb2.RecommendRequest.DESCRIPTOR))
def test_any_recommend_request_is_read_within_the_limits_or_refused(
    request: recommendation_pb2.RecommendRequest,
) -> None:
    query = _query_or_none(request)
    if query is None:
        return
    assert isinstance(query, Query)
    assert not query.user_id or _is_id(query.user_id)
    assert 1 <= query.page_size <= limits.MAX_PAGE_SIZE
    assert 0.0 <= query.text_weight <= 1.0
    assert len(query.text.encode()) <= limits.QUERY_BYTES
    assert all(_is_id(item_id) for item_id in (*(query.candidate_item_ids or ()), *query.exclude_item_ids))
    assert all(0 <= i.time_micros <= NOW + limits.EVENT_FUTURE_MICROS and _is_id(i.item_id) for i in query.recent)
    assert query.must_reflect >= 0
    assert query.max_staleness_micros is None or query.max_staleness_micros >= 0


@SETTINGS
@given(messages(event_pb2.Event.DESCRIPTOR))
def test_any_event_that_passes_is_within_the_limits(event: event_pb2.Event) -> None:
    if event_problems(event, NOW):
        return
    assert _is_id(event.event_id)
    assert _is_id(event.user_id)
    assert event.type in event_pb2.EventType.values()
    assert event.type != event_pb2.EVENT_TYPE_UNSPECIFIED
    assert not event.HasField("value") or math.isfinite(event.value)
    assert not event.HasField("quantity") or 1 <= event.quantity <= limits.MAX_QUANTITY
    assert not event.retracts_event_id or event.retracts_event_id != event.event_id
    assert 0 <= event.event_time.ToMicroseconds() <= NOW + limits.EVENT_FUTURE_MICROS
    assert all(_is_id(item_id) for item_id in event.shown_item_ids)


@SETTINGS
@given(messages(item_pb2.Item.DESCRIPTOR))
def test_any_item_that_passes_is_within_the_limits(item: item_pb2.Item) -> None:
    spaces = {name: len(vector.values) for name, vector in item.vectors.items()}
    if item_problems(item, spaces):
        return
    assert _is_id(item.item_id)
    assert all(math.isfinite(value) for vector in item.vectors.values() for value in vector.values)
    assert 0 <= item.maturity <= limits.MAX_MATURITY
    assert len(item.title.encode()) <= limits.TITLE_BYTES
    assert all(_is_finite(value) for value in item.attributes.fields.values())


def _is_finite(value: struct_pb2.Value) -> bool:
    if value.HasField("list_value"):
        return all(_is_finite(v) for v in value.list_value.values)
    return not value.HasField("number_value") or math.isfinite(value.number_value)


@pytest.mark.parametrize("kind", [recommendation_pb2.RecommendRequest, event_pb2.Event, item_pb2.Item])
def test_a_field_without_a_check_would_be_refused(kind: Any) -> None:
    # A message whose field the tables do not know is what a later proto brings; a copy with a made-up name stands for it.
    from recency_server import validate_event, validate_item, validate_recommend

    known = {
        recommendation_pb2.RecommendRequest: set(validate_recommend._READERS),
        event_pb2.Event: {*validate_event._CHECKS, "event_time", "shown_item_ids"},
        item_pb2.Item: {*validate_item._CHECKS, *validate_item.OUTPUT_ONLY, "categories", "maturity", "vectors"},
    }[kind]
    assert {field.name for field in kind.DESCRIPTOR.fields} == known

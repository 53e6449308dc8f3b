"""Which events may be stored."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import timestamp_pb2

from recency.v1 import event_pb2
from recency_server.validate_event import event_problems

NOW = 1_700_000_000_000_000
DAY = 24 * 3600
CUSTOM = {"listened": 23}
GOOD: dict[str, Any] = {"event_id": "e", "user_id": "u", "item_id": "i", "type": 3}


def wrong(**fields: Any) -> list[str]:
    return [p.field for p in event_problems(event_pb2.Event(**{**GOOD, **fields}), NOW, CUSTOM)]


def at(seconds: int, nanos: int = 0) -> timestamp_pb2.Timestamp:
    return timestamp_pb2.Timestamp(seconds=seconds, nanos=nanos)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"event_id": "é" * 128},
        {"type": 9, "value": 4.5},
        {"type": 16, "custom_type": "listened"},
        {"type": 13, "item_id": "", "query": "space"},
        {"type": 1},
        {"type": 1, "item_id": "", "shown_item_ids": ["a", "b"]},
        {"type": 1, "item_id": "", "recommendation_id": "r"},
        {"type": 6, "value": 9.99, "currency": "EUR", "quantity": 3, "position": 0},
        {"event_time": at(0)},
        {"event_time": at(NOW // 1_000_000 + DAY)},
        {"context": {"device": {"kind": "tv"}, "none": None}},
    ],
)
def test_a_good_event_passes(fields: dict[str, Any]) -> None:
    assert wrong(**fields) == []


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("event_id", {"event_id": ""}),
        ("event_id", {"event_id": "x" * 257}),
        ("user_id", {"user_id": ""}),
        ("user_id", {"user_id": "a\tb"}),
        ("item_id", {"item_id": ""}),
        ("item_id", {"item_id": "é" * 129}),
        ("type", {"type": 0}),
        ("type", {"type": 99}),
        ("custom_type", {"type": 16}),
        ("custom_type", {"custom_type": "x"}),
        ("custom_type", {"type": 16, "custom_type": "é" * 32 + "x"}),
        ("event_time", {"event_time": at(-1)}),
        ("event_time", {"event_time": at(253_402_300_799)}),
        ("event_time", {"event_time": at(2**62)}),
        ("event_time", {"event_time": at(NOW // 1_000_000 + DAY, 1_000)}),
        ("event_time", {"event_time": at(1, -1)}),
        ("value", {"value": float("nan")}),
        ("value", {"value": float("-inf")}),
        ("value", {"type": 9}),
        ("quantity", {"quantity": 0}),
        ("quantity", {"quantity": 1_000_001}),
        ("currency", {"currency": "EURO"}),
        ("currency", {"currency": "E1R"}),
        ("recommendation_id", {"recommendation_id": "x" * 65}),
        ("session_id", {"session_id": "x" * 257}),
        ("position", {"position": -1}),
        ("position", {"position": 10_000}),
        ("query", {"query": "x" * 4_097}),
        ("shown_item_ids", {"type": 1, "item_id": "", "shown_item_ids": ["i"] * 501}),
        ("shown_item_ids[1]", {"type": 1, "item_id": "", "shown_item_ids": ["i", ""]}),
        ("shown_item_ids", {"shown_item_ids": ["i"]}),
        ("item_id", {"type": 1, "shown_item_ids": ["i"]}),
        ("item_id", {"type": 1, "item_id": ""}),
        ("item_id", {"type": 13}),
        ("context", {"context": {"x" * 257: 1}}),
        ("retracts_event_id", {"retracts_event_id": "x" * 257}),
        ("retracts_event_id", {"retracts_event_id": "e"}),
        ("custom_type", {"type": 16, "custom_type": "unheard"}),
        ("type", {"type": 20, "item_id": "i"}),
    ],
)
def test_a_wrong_field_is_named(field: str, fields: dict[str, Any]) -> None:
    assert wrong(**fields) == [field]


def test_an_event_that_is_only_read_needs_no_ids_of_event_and_user() -> None:
    event = event_pb2.Event(item_id="i", type=event_pb2.EVENT_TYPE_CLICK)
    assert event_problems(event, NOW, stored=False) == []
    assert [p.field for p in event_problems(event, NOW)] == ["event_id", "user_id"]


def test_a_custom_type_that_is_not_configured_is_refused_with_those_that_are() -> None:
    event = event_pb2.Event(**{**GOOD, "type": 16, "custom_type": "unheard"})
    [none] = event_problems(event, NOW)
    assert "events.custom" in none.reason
    [other] = event_problems(event, NOW, {"listened": 23, "bookmarked": 22})
    assert other.reason.endswith("bookmarked, listened")
    assert "unheard" not in none.reason + other.reason

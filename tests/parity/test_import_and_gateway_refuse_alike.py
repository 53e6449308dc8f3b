"""One event, sent to the gateway and as a row of a file: both take it or both refuse it."""

from typing import Any

import pytest

from recency.v1 import event_pb2, item_pb2
from recency_export.cells import FUTURE_MICROS
from recency_export.columns import event_of, item_of
from recency_export.rows import Row
from recency_features.events import custom_types
from recency_server.validate_event import event_problems
from recency_server.validate_item import item_problems

NOW = 1_760_000_000_000_000
GOOD = {"event_id": "e", "user_id": "u", "item_id": "i", "time": NOW, "type": "CLICK"}
CUSTOM = custom_types({"wish": 1.5})
SPACES = {"image/v1": 2}
EVENTS: list[dict[str, Any]] = [
    {},
    {"user_id": "u" * 256},
    {"user_id": "u" * 257},
    {"user_id": "é" * 128},
    {"user_id": "é" * 129},
    {"item_id": "a\x07b"},
    {"type": "RATING", "value": 4.5},
    {"type": "RATING"},
    {"type": "SEARCH", "query": "x"},
    {"type": "CUSTOM", "custom_type": "wish"},
    {"type": "CUSTOM", "custom_type": "wished"},
    {"retracts_event_id": "e0"},
    {"retracts_event_id": "e"},
    {"retracts_event_id": "r" * 257},
    {"type": "CUSTOM"},
    {"custom_type": "wish"},
    {"quantity": 0},
    {"quantity": 1_000_000},
    {"quantity": 1_000_001},
    {"position": -1},
    {"position": 9_999},
    {"currency": "EUR"},
    {"currency": "EURO"},
    {"recommendation_id": "r" * 65},
    {"query": "q" * 4_097},
    {"time": NOW + FUTURE_MICROS},
    {"time": NOW + FUTURE_MICROS + 1},
]
ITEMS: list[dict[str, Any]] = [
    {},
    {"title": "t" * 1_025},
    {"text": "t" * 65_537},
    {"categories": ["c" * 129]},
    {"categories": ["c"] * 65},
    {"maturity": 101},
    {"maturity": -1},
    {"maturity": 100},
    {"maturity": 0},
    {"item_id": "i" * 257},
    {"provider": "p" * 257},
    {"vectors": {"image/v1": [0.5, 1.0]}},
    {"vectors": {"image/v1": [0.5]}},
    {"vectors": {"image/v2": [0.5, 1.0]}},
    {"vectors": {"image/v1": [0.5, float("nan")]}},
    {"vectors": {"image/v1": [0.5, 1e300]}},
    {"vectors": {"image/v1": [0.0, 0.0]}},
]


def sent(fields: dict[str, Any]) -> event_pb2.Event:
    event = event_pb2.Event(**{name: value for name, value in fields.items() if name not in ("time", "type")})
    event.type = event_pb2.EventType.Value(f"EVENT_TYPE_{fields['type']}")  # type: ignore[assignment]
    event.event_time.FromMicroseconds(fields["time"])
    return event


@pytest.mark.parametrize("change", EVENTS, ids=lambda change: ",".join(change) or "good")
def test_an_event_is_taken_by_both_or_by_neither(change: dict[str, Any]) -> None:
    _, imported = event_of(Row(1, {**GOOD, **change}, typed=True), NOW + FUTURE_MICROS, CUSTOM)
    assert bool(imported) == bool(event_problems(sent({**GOOD, **change}), NOW, CUSTOM))


@pytest.mark.parametrize("change", ITEMS, ids=lambda change: ",".join(change) or "good")
def test_an_item_is_taken_by_both_or_by_neither(change: dict[str, Any]) -> None:
    fields = {"item_id": "i", **change}
    _, imported = item_of(Row(1, fields, typed=True), (), SPACES)
    vectors = {name: item_pb2.Vector(values=values) for name, values in fields.pop("vectors", {}).items()}
    assert bool(imported) == bool(item_problems(item_pb2.Item(**fields, vectors=vectors), SPACES))

"""Which items may be stored."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import timestamp_pb2

from recency.v1 import item_pb2
from recency_server.validate_item import item_problems, items_problems

SPACES = {"image/v1": 2, "audio/v1": 1}


def wrong(**fields: Any) -> list[str]:
    return [p.field for p in item_problems(item_pb2.Item(**{"item_id": "i", **fields}), SPACES)]


def vector(*values: float) -> item_pb2.Vector:
    return item_pb2.Vector(values=values)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"title": "x" * 1_024, "text": "line\nline", "categories": ["a"] * 64},
        {"attributes": {"year": 1999, "tags": ["a", 1, True], "live": False, "name": "n"}},
        {"vectors": {"image/v1": vector(1.0, -3e38), "audio/v1": vector(0.5)}},
        {"available_until": timestamp_pb2.Timestamp(seconds=253_402_300_799)},
        # What GetItem fills in may be sent back.
        {"create_time": timestamp_pb2.Timestamp(seconds=1), "hidden": True, "hidden_reason": "r"},
    ],
)
def test_a_good_item_passes(fields: dict[str, Any]) -> None:
    assert wrong(**fields) == []


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("item_id", {"item_id": ""}),
        ("item_id", {"item_id": "x" * 257}),
        ("title", {"title": "x" * 1_025}),
        ("text", {"text": "x" * 65_537}),
        ("text", {"text": "x" * 10_000_000}),
        ("categories", {"categories": ["a"] * 65}),
        ("categories[1]", {"categories": ["a", ""]}),
        ("attributes", {"attributes": {"a": {"b": 1}}}),
        ("attributes", {"attributes": {"a": [[1]]}}),
        ("attributes", {"attributes": {"a": None}}),
        ("attributes", {"attributes": {"a": [float("inf")]}}),
        ("attributes", {"attributes": {"": 1}}),
        ("vectors", {"vectors": {"image/v2": vector(1.0, 2.0)}}),
        ("vectors", {"vectors": {"x" * 1_000_000: vector(1.0, 2.0)}}),
        ("vectors[image/v1]", {"vectors": {"image/v1": vector(1.0), "audio/v1": vector(1.0)}}),
        ("vectors[image/v1]", {"vectors": {"image/v1": vector()}}),
        ("vectors[image/v1]", {"vectors": {"image/v1": vector(1.0, float("nan"))}}),
        ("vectors[image/v1]", {"vectors": {"image/v1": vector(1e300, 1.0)}}),
        ("vectors[image/v1]", {"vectors": {"image/v1": vector(0.0, 0.0)}}),
        ("available_from", {"available_from": timestamp_pb2.Timestamp(seconds=-1)}),
        ("available_until", {"available_until": timestamp_pb2.Timestamp(seconds=1, nanos=-1)}),
        (
            "available_until",
            {
                "available_from": timestamp_pb2.Timestamp(seconds=5),
                "available_until": timestamp_pb2.Timestamp(seconds=5),
            },
        ),
        ("maturity", {"maturity": -1}),
        ("maturity", {"maturity": 101}),
        ("provider", {"provider": "x" * 257}),
    ],
)
def test_a_wrong_field_is_named(field: str, fields: dict[str, Any]) -> None:
    assert wrong(**fields) == [field]


def test_an_id_may_come_once_in_a_request() -> None:
    items = [item_pb2.Item(item_id="a"), item_pb2.Item(item_id="b"), item_pb2.Item(item_id="a")]
    (problem,) = items_problems(items)
    assert problem.field == "items[2].item_id"
    assert "items[0]" in problem.reason


@pytest.mark.parametrize("number", [0, 1_001])
def test_a_request_holds_one_to_a_thousand_items(number: int) -> None:
    assert [p.field for p in items_problems([item_pb2.Item(item_id=str(i)) for i in range(number)])] == ["items"]

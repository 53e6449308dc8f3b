"""Promise 6: bad input gets a field-level INVALID_ARGUMENT and changes nothing."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2, timestamp_pb2

from recency.v1 import catalog_pb2, event_pb2, item_pb2, recommendation_pb2, release_pb2, user_pb2

CLICK = {"event_id": "e", "user_id": "u", "item_id": "i", "type": 3}
TEN_MEGABYTES = "x" * 10_000_000
YEAR_9999 = timestamp_pb2.Timestamp(seconds=253_402_300_799)

BAD: list[tuple[str, str, Any, str]] = [
    *(
        ("recommendations", "Recommend", recommendation_pb2.RecommendRequest(**fields), field)
        for field, fields in (
            ("page_size", {"page_size": -1}),
            ("page_size", {"page_size": 2**31 - 1}),
            ("query", {"query": TEN_MEGABYTES}),
            ("query_weight", {"query_weight": float("nan")}),
            ("view", {"view": 77}),
            ("candidate_item_ids[0]", {"candidate_item_ids": [""]}),
            ("consistency_token[0]", {"consistency_token": ["forged"]}),
            ("max_staleness", {"max_staleness": duration_pb2.Duration(seconds=-1)}),
            ("recent_events[0].event_time", {"recent_events": [{**CLICK, "event_time": YEAR_9999}]}),
        )
    ),
    *(
        ("recommendations", "Feedback", event_pb2.FeedbackRequest(events=[{**CLICK, **fields}]), f"events[0].{field}")
        for field, fields in (
            ("event_id", {"event_id": ""}),
            ("user_id", {"user_id": ""}),
            ("item_id", {"item_id": ""}),
            ("item_id", {"item_id": TEN_MEGABYTES}),
            ("type", {"type": 99}),
            ("value", {"value": float("inf")}),
            ("event_time", {"event_time": YEAR_9999}),
            ("event_time", {"event_time": timestamp_pb2.Timestamp(seconds=-62_135_596_800)}),
        )
    ),
    ("recommendations", "Feedback", event_pb2.FeedbackRequest(), "events"),
    ("recommendations", "Feedback", event_pb2.FeedbackRequest(events=[CLICK] * 10_001), "events"),
    *(
        (
            "catalog",
            "UpsertItems",
            catalog_pb2.UpsertItemsRequest(items=[{"item_id": "ok"}, fields]),
            f"items[1].{field}",
        )
        for field, fields in (
            ("item_id", {"item_id": ""}),
            ("item_id", {"item_id": "ok"}),
            ("text", {"item_id": "i", "text": TEN_MEGABYTES}),
            ("attributes", {"item_id": "i", "attributes": {"a": float("nan")}}),
            ("vectors", {"item_id": "i", "vectors": {"image/v1": item_pb2.Vector(values=[1.0])}}),
            ("available_from", {"item_id": "i", "available_from": timestamp_pb2.Timestamp(seconds=-1)}),
        )
    ),
    ("catalog", "UpsertItems", catalog_pb2.UpsertItemsRequest(), "items"),
    ("catalog", "DeleteItems", catalog_pb2.DeleteItemsRequest(), "item_ids"),
    ("catalog", "DeleteItems", catalog_pb2.DeleteItemsRequest(item_ids=["a"] * 1_001), "item_ids"),
    ("catalog", "HideItems", catalog_pb2.HideItemsRequest(item_ids=["a"]), "reason"),
    ("catalog", "UnhideItems", catalog_pb2.UnhideItemsRequest(item_ids=[""], reason="r"), "item_ids[0]"),
    ("catalog", "GetItem", catalog_pb2.GetItemRequest(), "item_id"),
    ("catalog", "ListItems", catalog_pb2.ListItemsRequest(page_size=-1), "page_size"),
    ("catalog", "ListItems", catalog_pb2.ListItemsRequest(page_token="forged"), "page_token"),
    ("users", "GetUser", user_pb2.GetUserRequest(), "user_id"),
    ("users", "GetUser", user_pb2.GetUserRequest(user_id="u", history_size=1_001), "history_size"),
    ("releases", "ListReleases", release_pb2.ListReleasesRequest(page_size=1_001), "page_size"),
    ("releases", "GetRelease", release_pb2.GetReleaseRequest(release=-1), "release"),
]


@pytest.mark.promise(6)
async def test_bad_input_is_refused_by_field_and_nothing_is_stored(gateway: Any, refused: Any) -> None:
    for service, method, request, field in BAD:
        answer = await refused(getattr(getattr(gateway, service), method)(request))
        assert (answer.code, answer.fields) == (grpc.StatusCode.INVALID_ARGUMENT, [field]), f"{method} {field}"
        assert len(answer.message) < 1_000, "the message repeats what was sent"
    assert gateway.store.last_sequence() == 0
    assert gateway.store.count_items() == 0


async def test_a_message_over_the_largest_is_refused_before_it_is_read(gateway: Any, refused: Any) -> None:
    answer = await refused(gateway.recommend(query="x" * (33 * 1024 * 1024)))
    assert answer.code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_bytes_that_are_no_message_are_refused(gateway: Any, refused: Any) -> None:
    call = gateway.channel.unary_unary("/recency.v1.RecommendationService/Recommend")
    answer = await refused(call(b"\xff\xff\xff"))
    assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
    assert (await gateway.recommend(page_size=1)).recommendation_id


async def test_every_event_of_a_refused_request_is_named(gateway: Any, refused: Any, click: Any) -> None:
    bad = [click("", type=99), click("e", item_id="")]
    answer = await refused(gateway.feedback(*bad))
    assert set(answer.fields) == {"events[0].event_id", "events[0].type", "events[1].item_id"}

"""RecommendRequest → Query, field by field."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import duration_pb2, struct_pb2, timestamp_pb2

from recency.v1 import recommendation_pb2
from recency_features.history import Interaction
from recency_server.consistency import encode_token
from recency_server.errors import InvalidRequest
from recency_server.query import Query
from recency_server.validate_recommend import read_recommend

NOW = 1_700_000_000_000_000


def read(**fields: Any) -> Query:
    return read_recommend(recommendation_pb2.RecommendRequest(**fields), NOW)


def refused(**fields: Any) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as caught:
        read(**fields)
    return {v.field: v.description for v in caught.value.violations}


def test_an_empty_request_is_an_anonymous_session_with_the_defaults() -> None:
    assert read() == Query()


def test_every_implemented_field_reaches_the_query() -> None:
    event = {"item_id": "i", "type": 3, "event_time": timestamp_pb2.Timestamp(seconds=5)}
    query = read(
        user_id="u", session_id="s", surface="home", labels={"test": "b"}, context={"device": "tv"}, page_size=7,
        recent_events=[{"item_id": "now", "type": 3, "event_id": "e"}, event], query=" space opera ", query_weight=0.25,
        candidate_item_ids=["a", "b", "a"], exclude_item_ids=["x"], include_seen=True,
        consistency_token=[encode_token(4), encode_token(9)], strict_consistency=True,
        max_staleness=duration_pb2.Duration(seconds=3), view=2, validate_only=True,
        explain=True, trace=True,
    )  # fmt: skip
    assert query == Query(
        user_id="u",
        page_size=7,
        recent=(Interaction("i", 3, 5_000_000), Interaction("now", 3, NOW)),
        recent_ids=("", "e"),
        text="space opera",
        text_weight=0.25,
        candidate_item_ids=("a", "b"),
        exclude_item_ids=("x",),
        include_seen=True,
        must_reflect=9,
        strict=True,
        max_staleness_micros=3_000_000,
        with_items=True,
        explain=True,
        trace=True,
        labels={"test": "b", "session_id": "s", "surface": "home"},
        context_json='{"device": "tv"}',
    )


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("user_id", {"user_id": "x" * 257}),
        ("user_id", {"user_id": "a\nb"}),
        ("session_id", {"session_id": "x" * 257}),
        ("surface", {"surface": "x" * 129}),
        ("labels", {"labels": {str(i): "" for i in range(33)}}),
        ("labels", {"labels": {"x" * 129: ""}}),
        ("labels[a]", {"labels": {"a": "x" * 129}}),
        ("labels[surface]", {"labels": {"surface": "home"}}),
        ("context", {"context": {str(i): 1 for i in range(65)}}),
        ("context", {"context": {"a": "x" * 17_000}}),
        ("context", {"context": {"a": float("nan")}}),
        ("context", {"context": {"a": [[[[[[[[[[1]]]]]]]]]]}}),
        ("page_size", {"page_size": -1}),
        ("page_size", {"page_size": 501}),
        ("recent_events", {"recent_events": [{"item_id": "i", "type": 3}] * 501}),
        ("recent_events[1].item_id", {"recent_events": [{"item_id": "i", "type": 3}, {"type": 3}]}),
        ("recent_events[0].user_id", {"user_id": "u", "recent_events": [{"item_id": "i", "type": 3, "user_id": "v"}]}),
        ("query", {"query": "x" * 4_097}),
        ("query", {"query": "x" * 10_000_000}),
        ("query", {"query": "two\x00words"}),
        ("query", {"query": "\x1b[2J"}),
        ("query_weight", {"query_weight": float("nan")}),
        ("query_weight", {"query_weight": 1.5}),
        ("candidate_item_ids", {"candidate_item_ids": ["i"] * 2_001}),
        ("candidate_item_ids[1]", {"candidate_item_ids": ["i", ""]}),
        ("exclude_item_ids", {"exclude_item_ids": ["i"] * 2_001}),
        ("exclude_item_ids[0]", {"exclude_item_ids": ["\x00"]}),
        ("consistency_token", {"consistency_token": [encode_token(1)] * 101}),
        ("consistency_token[1]", {"consistency_token": [encode_token(1), "garbled"]}),
        ("max_staleness", {"max_staleness": duration_pb2.Duration(seconds=-1)}),
        ("max_staleness", {"max_staleness": duration_pb2.Duration(nanos=2_000_000_000)}),
        ("view", {"view": 9}),
        ("negative_item_ids[1]", {"seed_item_ids": ["a"], "negative_item_ids": ["b", "a"]}),
        ("labels[page_of]", {"labels": {"page_of": "r-1"}}),
        ("diversity", {"diversity": 2.0}),
        ("exploration", {"exploration": float("inf")}),
    ],
)
def test_a_field_out_of_its_limits_is_named(field: str, fields: dict[str, Any]) -> None:
    assert list(refused(**fields)) == [field]


def test_all_wrong_fields_are_named_at_once() -> None:
    assert set(refused(page_size=-1, view=9, user_id="\x00", trace=True)) == {"page_size", "view", "user_id"}


def test_a_hundred_violations_are_listed_up_to_a_bound() -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(exclude_item_ids=[""] * 100)
    assert len(caught.value.violations) == 21
    assert "80 more" in caught.value.violations[-1].description


def test_a_context_of_seven_levels_is_taken() -> None:
    context = struct_pb2.Struct()
    context.update({"a": [[[[[[1]]]]]]})
    assert read(context=context).context_json == '{"a": [[[[[[1.0]]]]]]}'


def test_a_query_of_several_lines_is_words() -> None:
    assert read(query="\ttwo\r\nlines\n").text == "two\r\nlines"


def test_a_filter_is_kept_as_it_was_sent_so_that_characters_are_counted_alike() -> None:
    assert read(filter="  title:wars ").filter == "  title:wars "
    assert read(filter=" \n").filter == ""

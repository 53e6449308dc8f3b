"""Every field of RecommendRequest and every RPC either does what it says, or answers UNIMPLEMENTED and what to do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2, message_factory

from recency.v1 import catalog_pb2, recommendation_pb2, release_pb2, user_pb2

Behaviour = Callable[[Any, Any, Any], Awaitable[None]]
BEHAVIOURS: dict[str, Behaviour] = {}


def field(name: str) -> Callable[[Behaviour], Behaviour]:
    """Marks the behavioural test of a field."""

    def mark(test: Behaviour) -> Behaviour:
        BEHAVIOURS[name] = test
        return test

    return mark


def ids(answer: Any) -> list[str]:
    return [placed.item_id for placed in answer.recommendations]


async def slate_of(gateway: Any, answer: Any) -> Any:
    """The slate as logged: it is written a moment after the answer."""
    import asyncio

    for _ in range(200):
        slate = gateway.store.get_slate(answer.recommendation_id)
        if slate is not None:
            return slate
        await asyncio.sleep(0.02)
    raise AssertionError("the slate was not logged")


@field("user_id")
async def _user_id(gateway: Any, click: Any, refused: Any) -> None:
    await gateway.feedback(click("e", "i-1", user_id="u"))
    assert "i-1" not in ids(await gateway.recommend(user_id="u", include_seen=False))
    assert "i-1" in ids(await gateway.recommend(user_id="v", include_seen=False))


@field("session_id")
async def _session_id(gateway: Any, click: Any, refused: Any) -> None:
    slate = await slate_of(gateway, await gateway.recommend(session_id="s"))
    assert slate.labels == {"session_id": "s"}


@field("surface")
async def _surface(gateway: Any, click: Any, refused: Any) -> None:
    assert (await slate_of(gateway, await gateway.recommend(surface="home"))).labels == {"surface": "home"}


@field("labels")
async def _labels(gateway: Any, click: Any, refused: Any) -> None:
    assert (await slate_of(gateway, await gateway.recommend(labels={"test": "b"}))).labels == {"test": "b"}


@field("context")
async def _context(gateway: Any, click: Any, refused: Any) -> None:
    slate = await slate_of(gateway, await gateway.recommend(context={"device": "tv"}))
    assert slate.context_json == '{"device": "tv"}'


@field("page_size")
async def _page_size(gateway: Any, click: Any, refused: Any) -> None:
    assert [len(ids(await gateway.recommend(page_size=n))) for n in (0, 1, 12)] == [10, 1, 12]


@field("recent_events")
async def _recent_events(gateway: Any, click: Any, refused: Any) -> None:
    answer = await gateway.recommend(recent_events=[{"item_id": "i-3", "type": 3}], include_seen=False, page_size=20)
    assert "i-3" not in ids(answer)
    assert gateway.store.read_log(0, 10) == []


@field("query")
async def _query(gateway: Any, click: Any, refused: Any) -> None:
    # Without a release nothing can read it, and the answer says so.
    assert (await gateway.recommend(query="space opera")).degraded


@field("query_weight")
async def _query_weight(gateway: Any, click: Any, refused: Any) -> None:
    assert ids(await gateway.recommend(query="space opera", query_weight=1.0))


@field("candidate_item_ids")
async def _candidates(gateway: Any, click: Any, refused: Any) -> None:
    answer = await gateway.recommend(candidate_item_ids=["i-2", "i-5", "no"])
    assert sorted(ids(answer)) == ["i-2", "i-5"]
    assert list(answer.missing_item_ids) == ["no"]


@field("exclude_item_ids")
async def _exclude(gateway: Any, click: Any, refused: Any) -> None:
    assert not {"i-1", "i-2"} & set(ids(await gateway.recommend(exclude_item_ids=["i-1", "i-2"], page_size=20)))


@field("include_seen")
async def _include_seen(gateway: Any, click: Any, refused: Any) -> None:
    await gateway.feedback(click("e", "i-1"))
    assert "i-1" in ids(await gateway.recommend(user_id="u", include_seen=True, page_size=20))
    assert "i-1" not in ids(await gateway.recommend(user_id="u", include_seen=False, page_size=20))


@field("consistency_token")
async def _consistency_token(gateway: Any, click: Any, refused: Any) -> None:
    token = (await gateway.upsert({"item_id": "new"})).consistency_token
    answer = await gateway.recommend(candidate_item_ids=["new"], consistency_token=[token])
    assert ids(answer) == ["new"]


@field("strict_consistency")
async def _strict(gateway: Any, click: Any, refused: Any) -> None:
    stale = {"max_staleness": duration_pb2.Duration(seconds=1)}
    answer = await refused(gateway.recommend(strict_consistency=True, **stale))
    assert answer.code is grpc.StatusCode.FAILED_PRECONDITION


@field("max_staleness")
async def _max_staleness(gateway: Any, click: Any, refused: Any) -> None:
    answer = await gateway.recommend(max_staleness=duration_pb2.Duration(seconds=1))
    assert "stale" in answer.degraded_reason
    assert "stale" not in (await gateway.recommend()).degraded_reason


@field("view")
async def _view(gateway: Any, click: Any, refused: Any) -> None:
    answer = await gateway.recommend(view=recommendation_pb2.RECOMMEND_VIEW_ITEMS)
    assert all(placed.item.title == f"Title of {placed.item_id}" for placed in answer.recommendations)
    for view in (recommendation_pb2.RECOMMEND_VIEW_IDS, recommendation_pb2.RECOMMEND_VIEW_UNSPECIFIED):
        answer = await gateway.recommend(view=view)
        assert not any(placed.HasField("item") for placed in answer.recommendations)


@field("validate_only")
async def _validate_only(gateway: Any, click: Any, refused: Any) -> None:
    assert await gateway.recommend(validate_only=True) == recommendation_pb2.RecommendResponse()
    answer = await refused(gateway.recommend(validate_only=True, page_size=-1))
    assert answer.code is grpc.StatusCode.INVALID_ARGUMENT


@field("page_token")
async def _page_token(gateway: Any, click: Any, refused: Any) -> None:
    first = await gateway.recommend(page_size=4)
    second = await gateway.recommend(page_size=4, page_token=first.next_page_token)
    assert len(ids(second)) == 4
    assert not set(ids(first)) & set(ids(second))
    answer = await refused(gateway.recommend(page_size=4, page_token="forged"))
    assert answer.code is grpc.StatusCode.INVALID_ARGUMENT


@field("seed_item_ids")
async def _seeds(gateway: Any, click: Any, refused: Any) -> None:
    # Without a release nothing can follow them; they are left out all the same, and the answer says so.
    answer = await gateway.recommend(seed_item_ids=["i-1", "no"], page_size=20)
    assert "seeds: " in answer.degraded_reason
    assert list(answer.missing_item_ids) == ["no"]
    assert "i-1" not in ids(answer)


@field("negative_item_ids")
async def _negatives(gateway: Any, click: Any, refused: Any) -> None:
    assert "i-1" not in ids(await gateway.recommend(negative_item_ids=["i-1"], page_size=20))


@field("filter")
async def _filter(gateway: Any, click: Any, refused: Any) -> None:
    assert sorted(ids(await gateway.recommend(filter='title:"of i-1"', page_size=20))) == [
        "i-1",
        *(f"i-1{n}" for n in range(5)),
    ]
    answer = await refused(gateway.recommend(filter="pages > 3"))
    assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "at character 0" in answer.message


@field("promotions")
async def _promotions(gateway: Any, click: Any, refused: Any) -> None:
    answer = await gateway.recommend(promotions=[{"name": "p", "filter": "item_id = i-7", "share": 0.1}])
    assert [(place.item_id, place.promotion) for place in answer.recommendations if place.promotion] == [("i-7", "p")]


@field("diversity")
async def _diversity(gateway: Any, click: Any, refused: Any) -> None:
    assert "diversity" in (await gateway.recommend(diversity=0.5)).degraded_reason
    assert "diversity" not in (await gateway.recommend(diversity=0.0)).degraded_reason


@field("exploration")
async def _exploration(gateway: Any, click: Any, refused: Any) -> None:
    answer = await gateway.recommend(exploration=0.5)
    assert "exploration" in answer.degraded_reason
    assert not any(place.HasField("propensity") for place in answer.recommendations)


@field("explain")
async def _explain(gateway: Any, click: Any, refused: Any) -> None:
    # Without a release it is what trends, and it says that no more can be told.
    await gateway.feedback(click("e", "i-1", user_id="somebody"))
    english = await gateway.recommend(explain=True, page_size=20)
    chinese = await gateway.recommend(explain=True, page_size=20, context={"locale": "zh-CN"})
    assert {place.item_id: place.reasons[0].text for place in english.recommendations}["i-1"] == "Is trending now"
    assert {place.item_id: place.reasons[0].text for place in chinese.recommendations}["i-1"] == "近期热门"
    assert "explain: " in english.degraded_reason
    assert not any(place.reasons for place in (await gateway.recommend()).recommendations)


@field("trace")
async def _trace(gateway: Any, click: Any, refused: Any) -> None:
    assert not (await gateway.recommend()).HasField("trace")
    await gateway.feedback(click("e", "i-1"))
    trace = (await gateway.recommend(user_id="u", trace=True, exclude_item_ids=["i-2"], include_seen=False)).trace
    filtered = {one.cause: list(one.item_ids) for one in trace.filtered}
    assert (filtered["seen"], filtered["excluded"]) == (["i-1"], ["i-2"])
    assert list(trace.unused_event_ids) == ["e"]
    assert all(stage.duration.ToNanoseconds() >= 0 for stage in trace.stages)


def test_every_field_has_a_behaviour() -> None:
    assert {f.name for f in recommendation_pb2.RecommendRequest.DESCRIPTOR.fields} == BEHAVIOURS.keys()


@pytest.mark.parametrize("name", sorted(BEHAVIOURS))
async def test_a_field_does_what_it_says(name: str, gateway: Any, click: Any, refused: Any) -> None:
    await gateway.upsert(*({"item_id": f"i-{n}", "title": f"Title of i-{n}"} for n in range(15)))
    await BEHAVIOURS[name](gateway, click, refused)


LATER_METHODS: set[str] = set()
# Goes on until its caller has enough.
ENDLESS = "WatchReleases"


async def test_every_method_answers_as_itself_or_unimplemented(gateway: Any) -> None:
    files = (recommendation_pb2, catalog_pb2, user_pb2, release_pb2)
    unimplemented = set()
    for service in (service for file in files for service in file.DESCRIPTOR.services_by_name.values()):
        for method in service.methods:
            request = message_factory.GetMessageClass(method.input_type)()
            path = f"/{service.full_name}/{method.name}"
            code, details = await _code_of(gateway.channel, path, method, request)
            if code is grpc.StatusCode.UNIMPLEMENTED:
                unimplemented.add(method.name)
                assert details.startswith(f"{method.name} is not implemented yet; ")
            else:
                assert code in (
                    grpc.StatusCode.OK,
                    grpc.StatusCode.INVALID_ARGUMENT,
                    grpc.StatusCode.NOT_FOUND,
                    # Nothing served before that RollbackRelease could go back to.
                    grpc.StatusCode.FAILED_PRECONDITION,
                    *([grpc.StatusCode.DEADLINE_EXCEEDED] if method.name == ENDLESS else []),
                ), f"{path}: {details}"
    assert unimplemented == LATER_METHODS


async def _code_of(channel: Any, path: str, method: Any, request: Any) -> tuple[grpc.StatusCode, str]:
    kind = ("stream" if method.client_streaming else "unary") + ("_stream" if method.server_streaming else "_unary")
    call = getattr(channel, kind)(path, request_serializer=type(request).SerializeToString)
    timeout = 0.1 if method.name == ENDLESS else None
    started = call(iter([request])) if method.client_streaming else call(request, timeout=timeout)
    return await started.code(), await started.details()

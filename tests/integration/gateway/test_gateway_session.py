"""Interactive sessions over a real store: behaviour in, the newest slate out."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from recency.v1 import recommendation_pb2

Said = recommendation_pb2.StreamRecommendRequest
ITEMS = [f"i-{n}" for n in range(30)]


@pytest.fixture(autouse=True)
async def catalogue(gateway: Any) -> None:
    await gateway.upsert(*({"item_id": item_id} for item_id in ITEMS))


def ids(refresh: Any) -> list[str]:
    return [placed.item_id for placed in refresh.response.recommendations]


async def test_each_message_refreshes_the_slate_and_events_are_stored(gateway: Any, click: Any) -> None:
    call = gateway.recommendations.StreamRecommend()
    await call.write(Said(request={"user_id": "u", "page_size": 5, "include_seen": False}))
    first = await call.read()
    assert (first.messages_reflected, len(ids(first))) == (1, 5)
    await call.write(Said(events=[{"event_id": "e", "item_id": ids(first)[0], "type": 3}]))
    second = await call.read()
    assert second.messages_reflected == 2
    assert ids(second)[:4] == ids(first)[1:]
    assert [(e.event_id, e.user_id) for e in gateway.store.read_log(0, 9)] == [("e", "u")]
    # Another request, and an event again with it, which counts once.
    await call.write(Said(request={"user_id": "u", "page_size": 2}, events=[click("e", ids(first)[0])]))
    third = await call.read()
    assert len(ids(third)) == 2
    assert len(gateway.store.read_log(0, 9)) == 1
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_out_of_date_slates_are_dropped_and_the_last_reflects_everything(gateway: Any, click: Any) -> None:
    call = gateway.recommendations.StreamRecommend()
    await call.write(Said(request={"user_id": "u", "page_size": 30, "include_seen": False}))
    for number, item_id in enumerate(ITEMS[:20]):
        await call.write(Said(events=[click(f"e-{number}", item_id)]))
    await call.done_writing()
    refreshes = [refresh async for refresh in call]
    reflected = [refresh.messages_reflected for refresh in refreshes]
    assert reflected == sorted(set(reflected))
    assert reflected[-1] == 21
    for refresh in refreshes:
        # What a slate says that it reflects, it does.
        assert not set(ITEMS[: refresh.messages_reflected - 1]) & set(ids(refresh))
    assert len(gateway.store.read_log(0, 99)) == 20


@pytest.mark.promise(6)
@pytest.mark.parametrize(
    ("said", "fields"),
    [
        ([{}], ["request"]),
        ([{"events": [{"event_id": "x", "item_id": "i-1", "type": 3}]}], ["request"]),
        ([{"request": {"user_id": "u", "page_size": 501, "filter": "("}}], ["request.page_size", "request.filter"]),
        ([{"request": {"filter": "pages > 3"}}], ["request.filter"]),
        ([{"request": {"validate_only": True}}], ["request.validate_only"]),
        ([{"request": {}}, {"events": [{"event_id": "x", "item_id": "i-1", "type": 3}]}], ["events"]),
        (
            [
                {"request": {"user_id": "u"}},
                {
                    "events": [
                        {"event_id": "x", "item_id": "i-1", "type": 3},
                        {"event_id": "y", "type": 3},
                        {"event_id": "z", "item_id": "i-1", "type": 16, "custom_type": "c"},
                    ]
                },
            ],
            ["events[1].item_id", "events[2].custom_type"],
        ),
        (
            [
                {"request": {"user_id": "u"}},
                {"events": [{"event_id": "x", "user_id": "v", "item_id": "i-1", "type": 3}]},
            ],
            ["events[0].user_id"],
        ),
    ],
)
async def test_a_wrong_message_names_its_fields_and_changes_nothing(
    gateway: Any, refused: Any, said: list[dict[str, Any]], fields: list[str]
) -> None:
    before = gateway.store.last_sequence()
    call = gateway.recommendations.StreamRecommend(iter([Said(**one) for one in said]))

    async def read_all() -> None:
        async for _ in call:
            pass

    answer = await refused(read_all())
    assert (answer.code, answer.fields) == (grpc.StatusCode.INVALID_ARGUMENT, fields)
    assert gateway.store.last_sequence() == before


async def test_an_anonymous_session_brings_its_events_in_the_request(gateway: Any) -> None:
    call = gateway.recommendations.StreamRecommend()
    seen: list[dict[str, Any]] = []
    for number in range(3):
        request = {"session_id": "s", "page_size": 3, "include_seen": False, "recent_events": seen}
        await call.write(Said(request=request))
        refresh = await call.read()
        assert refresh.messages_reflected == number + 1
        assert not {event["item_id"] for event in seen} & set(ids(refresh))
        seen.append({"item_id": ids(refresh)[0], "type": 3})
    assert gateway.store.read_log(0, 9) == []
    call.cancel()


async def test_pages_of_an_anonymous_session_never_repeat_and_follow_what_it_did(gateway: Any) -> None:
    shown: list[str] = []
    seen: list[dict[str, Any]] = []
    token = ""
    for _ in range(4):
        answer = await gateway.recommend(
            session_id="s", page_size=6, page_token=token, recent_events=seen, include_seen=False
        )
        page = [placed.item_id for placed in answer.recommendations]
        assert len(page) == 6
        assert not set(page) & {*shown, *(event["item_id"] for event in seen)}
        shown += page
        token = answer.next_page_token
        # Something further down the list, that the next page would have shown.
        further = next(item_id for item_id in ITEMS if item_id not in shown)
        seen = [*seen, {"item_id": further, "type": 3}]


async def test_a_closing_gateway_answers_what_was_said_and_ends_the_session(
    run_gateway: Any, refused: Any, click: Any
) -> None:
    async with run_gateway(drain_seconds=60.0) as gateway:
        call = gateway.recommendations.StreamRecommend()
        await call.write(Said(request={"user_id": "u"}))
        assert (await call.read()).messages_reflected == 1
        gateway.stop.set()
        ended = await refused(call.read())
        assert ended.code is grpc.StatusCode.UNAVAILABLE
        assert "closing" in ended.message
        await asyncio.wait_for(asyncio.shield(gateway.task), 10)


async def outcome(gateway: Any) -> grpc.StatusCode:
    """Of a session of one message."""
    call = gateway.recommendations.StreamRecommend(iter([Said(request={})]))
    try:
        async for _ in call:
            pass
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def test_a_session_takes_a_place_and_gives_it_back_when_its_caller_goes(run_gateway: Any, refused: Any) -> None:
    async with run_gateway(stream_calls=1) as gateway:
        first = gateway.recommendations.StreamRecommend()
        await first.write(Said(request={}))
        await first.read()
        second = gateway.recommendations.StreamRecommend(iter([Said(request={})]))
        assert (await refused(second.read())).code is grpc.StatusCode.RESOURCE_EXHAUSTED
        first.cancel()
        for _ in range(100):
            if await outcome(gateway) is grpc.StatusCode.OK:
                break
            await asyncio.sleep(0.02)
        else:
            pytest.fail("the place was not given back")


async def test_a_session_ends_at_its_deadline(gateway: Any, refused: Any) -> None:
    call = gateway.recommendations.StreamRecommend(timeout=0.3)
    await call.write(Said(request={}))
    await call.read()
    assert (await refused(call.read())).code is grpc.StatusCode.DEADLINE_EXCEEDED

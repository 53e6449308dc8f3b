"""Feedback and StreamFeedback over a real store."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from recency.v1 import event_pb2


@pytest.mark.promise(1)
async def test_the_same_event_counts_once(gateway: Any, click: Any) -> None:
    first = await gateway.feedback(click("a"), click("b"), click("a"))
    assert (first.accepted, first.duplicates) == (2, 1)
    again = await gateway.feedback(click("a"), click("c"))
    assert (again.accepted, again.duplicates) == (1, 1)
    assert [e.event_id for e in gateway.store.read_log(0, 10)] == ["a", "b", "c"]


@pytest.mark.promise(6)
async def test_a_bad_event_rejects_itself_and_not_its_neighbours(gateway: Any, click: Any) -> None:
    answer = await gateway.feedback(click("a"), click("b", type=99), click("c"), click("d", retracts_event_id="d"))
    assert answer.accepted == 2
    assert [(r.index, r.field) for r in answer.rejected] == [(1, "events[1].type"), (3, "events[3].retracts_event_id")]
    assert all(r.reason for r in answer.rejected)
    assert [e.event_id for e in gateway.store.read_log(0, 10)] == ["a", "c"]


async def test_a_user_takes_back_their_own_events_alone(gateway: Any, click: Any, refused: Any) -> None:
    await gateway.feedback(click("theirs", user_id="v"), click("mine"))
    answer = await gateway.feedback(
        click("a", retracts_event_id="mine"),
        click("b", retracts_event_id="theirs"),
        click("c", retracts_event_id="not here yet"),
        click("w", user_id="w"),
        click("d", retracts_event_id="w"),
    )
    assert answer.accepted == 3
    assert [r.field for r in answer.rejected] == ["events[1].retracts_event_id", "events[4].retracts_event_id"]
    alone = await refused(gateway.feedback(click("b", retracts_event_id="theirs")))
    assert (alone.code, alone.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["events[0].retracts_event_id"])


async def test_an_event_without_a_time_happened_when_it_came(gateway: Any, click: Any) -> None:
    await gateway.feedback(click("a"))
    (event,) = gateway.store.read_log(0, 10)
    assert event.time_micros == gateway.clock.micros
    assert event.event().event_time.ToMicroseconds() == gateway.clock.micros


async def test_an_event_is_stored_as_it_was_sent(gateway: Any, click: Any) -> None:
    sent = event_pb2.Event(
        **click("a", type=6, value=9.5, quantity=2, currency="EUR", session_id="s", position=3, query="q"),
        recommendation_id="r", context={"device": "tv"},
    )  # fmt: skip
    sent.event_time.FromMicroseconds(1_600_000_000_000_001)
    await gateway.feedback(sent)
    assert gateway.store.read_log(0, 10)[0].event() == sent


async def test_an_impression_of_the_slate_as_served_lists_its_items(gateway: Any, click: Any) -> None:
    await gateway.upsert(*({"item_id": f"i-{n}"} for n in range(5)))
    slate = await gateway.recommend(user_id="u", page_size=3)
    shown = [placed.item_id for placed in slate.recommendations]
    assert len(shown) == 3
    impression = {"type": 1, "item_id": "", "recommendation_id": slate.recommendation_id}
    await gateway.feedback(
        click("mine", **impression),
        click("other", user_id="v", **impression),
        click("unknown", **{**impression, "recommendation_id": "r"}),
    )
    events = {e.event_id: list(e.event().shown_item_ids) for e in gateway.store.read_log(0, 100)}
    assert events == {"mine": shown, "other": [], "unknown": []}


@pytest.mark.promise(2)
async def test_a_recommend_with_the_token_reflects_the_feedback(gateway: Any, click: Any) -> None:
    await gateway.upsert(*({"item_id": f"i-{n}"} for n in range(5)))
    for n in range(5):
        token = (await gateway.feedback(click(f"e-{n}", item_id=f"i-{n}"))).consistency_token
        answer = await gateway.recommend(
            user_id="u", include_seen=False, consistency_token=[token], strict_consistency=True
        )
        assert f"i-{n}" not in [placed.item_id for placed in answer.recommendations]


async def test_a_stream_acknowledges_its_chunks_in_order_and_goes_on_past_bad_ones(gateway: Any, click: Any) -> None:
    chunks = [[click(f"{c}-{n}") for n in range(100)] for c in range(5)]
    chunks[2] = [click("bad", type=99)]
    call = gateway.recommendations.StreamFeedback(event_pb2.StreamFeedbackRequest(events=chunk) for chunk in chunks)
    answers = [answer async for answer in call]
    assert [answer.accepted for answer in answers] == [100, 100, 0, 100, 100]
    assert answers[2].rejected[0].field == "events[0].type"
    assert len(gateway.store.read_log(0, 1_000)) == 400
    assert answers[-1].consistency_token != answers[0].consistency_token


async def test_a_stream_ends_at_an_empty_chunk_with_what_came_before_stored(
    gateway: Any, click: Any, refused: Any
) -> None:
    chunks = [event_pb2.StreamFeedbackRequest(events=[click("a")]), event_pb2.StreamFeedbackRequest()]
    call = gateway.recommendations.StreamFeedback(iter(chunks))
    assert (await call.read()).accepted == 1
    answer = await refused(call.read())
    assert (answer.code, answer.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["events"])
    assert len(gateway.store.read_log(0, 10)) == 1


async def test_many_callers_at_once_are_all_acknowledged_and_stored_once(gateway: Any, click: Any) -> None:
    answers = await asyncio.gather(*(gateway.feedback(click(f"e-{n % 150}", user_id=f"u-{n % 7}")) for n in range(300)))
    assert sum(a.accepted for a in answers) == 150
    assert sum(a.duplicates for a in answers) == 150
    assert len({e.event_id for e in gateway.store.read_log(0, 1_000)}) == 150

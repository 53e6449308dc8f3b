"""What is taken back, and visitors who turn out to be users: with effect on the very next answer of every gateway."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from recency.v1 import user_pb2

ADD, REMOVE, HIDE, DISLIKE = 4, 5, 14, 8


async def shown(gateway: Any, user: str = "u", **fields: Any) -> set[str]:
    answer = await gateway.recommend(user_id=user, page_size=20, **{"include_seen": False, **fields})
    return {placed.item_id for placed in answer.recommendations}


@pytest.fixture
async def there(gateway: Any, run_gateway: Any) -> Any:
    """A second gateway over the same store."""
    await gateway.upsert(*({"item_id": f"i-{n}"} for n in range(6)))
    async with run_gateway() as other:
        yield other


@pytest.mark.promise(2)
async def test_a_retraction_undoes_its_event_in_the_next_answer_of_both(gateway: Any, there: Any, click: Any) -> None:
    await gateway.feedback(click("a", "i-1"), click("b", "i-2"))
    assert await shown(there) == await shown(gateway) == {"i-0", "i-3", "i-4", "i-5"}
    await there.feedback(click("c", "i-1", retracts_event_id="a"))
    assert await shown(gateway) == await shown(there) == {"i-0", "i-1", "i-3", "i-4", "i-5"}


async def test_a_retraction_may_come_before_its_event(gateway: Any, there: Any, click: Any) -> None:
    await shown(gateway)
    await there.feedback(click("c", "i-1", retracts_event_id="a"))
    await gateway.feedback(click("a", "i-1"))
    assert "i-1" in await shown(gateway) & await shown(there)


async def test_a_removal_undoes_the_cart(gateway: Any, there: Any, click: Any) -> None:
    await gateway.feedback(click("a", "i-1", type=ADD), click("b", "i-2", type=ADD))
    assert not {"i-1", "i-2"} & await shown(there)
    await there.feedback(click("c", "i-1", type=REMOVE))
    for one in (gateway, there):
        assert {"i-1", "i-2"} & await shown(one) == {"i-1"}
    # An anonymous session's own list knows it too.
    cart = [{"item_id": "i-1", "type": ADD}, {"item_id": "i-2", "type": ADD}, {"item_id": "i-1", "type": REMOVE}]
    assert {"i-1", "i-2"} & await shown(gateway, "", recent_events=cart) == {"i-1"}
    assert {"i-1", "i-2"} & await shown(gateway, "u", recent_events=[{"item_id": "i-2", "type": REMOVE}]) == {
        "i-1",
        "i-2",
    }


async def test_recent_events_take_back_what_they_hold_and_nothing_else(gateway: Any, there: Any, refused: Any) -> None:
    recent = [
        {"event_id": "a", "item_id": "i-1", "type": 3},
        {"event_id": "b", "item_id": "i-1", "type": 3, "retracts_event_id": "a"},
    ]
    assert "i-1" in await shown(gateway, "", recent_events=recent)
    answer = await refused(gateway.recommend(recent_events=recent[1:]))
    assert answer.fields == ["recent_events[0].retracts_event_id"]


async def test_trends_count_what_stands(gateway: Any, there: Any, click: Any) -> None:
    async def first(one: Any) -> str:
        return (await one.recommend(page_size=1)).recommendations[0].item_id

    await gateway.feedback(*(click(f"a{n}", "i-1", f"u{n}") for n in range(3)), click("b", "i-2", "v"))
    assert await first(gateway) == await first(there) == "i-1"
    await there.feedback(*(click(f"c{n}", "i-1", f"u{n}", retracts_event_id=f"a{n}") for n in range(3)))
    # The order of trends is made at most once a second, but anew with every change of the catalogue.
    await gateway.upsert({"item_id": "i-6"})
    assert await first(gateway) == await first(there) == "i-2"


async def test_what_a_user_hid_or_disliked_is_not_shown_to_them_again_until_they_take_it_back(
    gateway: Any, there: Any, click: Any
) -> None:
    await gateway.feedback(click("a", "i-1", type=HIDE), click("b", "i-2", type=DISLIKE))
    for one in (gateway, there):
        assert not {"i-1", "i-2"} & await shown(one, include_seen=True)
        assert {"i-1", "i-2"} <= await shown(one, "v", include_seen=True)
    await gateway.feedback(click("c", "i-1", type=HIDE, retracts_event_id="a"))
    assert {"i-1", "i-2"} & await shown(there, include_seen=True) == {"i-1"}


@pytest.mark.promise(2)
async def test_a_visitor_who_logs_in_is_the_user_on_both(gateway: Any, there: Any, click: Any) -> None:
    await gateway.feedback(click("a", "i-1", "visitor"), click("b", "i-2", "user"))
    for one in (gateway, there):
        assert "i-1" in await shown(one, "user")
    request = user_pb2.MergeUsersRequest(source_user_id="visitor", target_user_id="user")
    merged = await there.users.MergeUsers(request)
    assert merged.moved_events == 1
    for one in (gateway, there):
        assert not {"i-1", "i-2"} & await shown(one, "user", consistency_token=[merged.consistency_token])
        assert "i-1" in await shown(one, "visitor")
    history = (await gateway.users.GetUser(user_pb2.GetUserRequest(user_id="user"))).history
    assert {(event.event_id, event.user_id) for event in history} == {("a", "user"), ("b", "user")}
    # What the visitor was shown meanwhile may move; of events none is left to.
    assert (await gateway.users.MergeUsers(request)).moved_events == 0
    # The user now takes back what the visitor did.
    await gateway.feedback(click("c", "i-1", "user", retracts_event_id="a"))
    assert "i-1" in await shown(there, "user")


async def test_a_merge_names_two_users(gateway: Any, refused: Any) -> None:
    for fields, wrong in (
        ({}, ["source_user_id", "target_user_id"]),
        ({"source_user_id": "a", "target_user_id": "a"}, ["target_user_id"]),
        ({"source_user_id": "a\x07", "target_user_id": "a"}, ["source_user_id"]),
    ):
        answer = await refused(gateway.users.MergeUsers(user_pb2.MergeUsersRequest(**fields)))
        assert (answer.code, answer.fields) == (grpc.StatusCode.INVALID_ARGUMENT, wrong)

"""What a caller of UserService sees, at a gateway without a model: storing, limits, consent, export, erasure."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf import field_mask_pb2

from recency.v1 import user_pb2


async def _store(gateway: Any, *paths: str, **user: Any) -> user_pb2.UpsertUserResponse:
    mask = field_mask_pb2.FieldMask(paths=paths)
    return await gateway.users.UpsertUser(user_pb2.UpsertUserRequest(user=user, update_mask=mask))


async def _get(gateway: Any, user_id: str = "u") -> user_pb2.GetUserResponse:
    return await gateway.users.GetUser(user_pb2.GetUserRequest(user_id=user_id))


async def _erase(gateway: Any, user_id: str = "u") -> user_pb2.DeleteUserResponse:
    return await gateway.users.DeleteUser(user_pb2.DeleteUserRequest(user_id=user_id))


async def _exported(gateway: Any, user_id: str = "u") -> list[user_pb2.ExportUserResponse]:
    return [part async for part in gateway.users.ExportUser(user_pb2.ExportUserRequest(user_id=user_id))]


def _ids(answer: Any) -> list[str]:
    return [placed.item_id for placed in answer.recommendations]


@pytest.fixture
async def there(gateway: Any, run_gateway: Any) -> Any:
    """A second gateway over the same store."""
    async with run_gateway() as other:
        yield other


async def test_a_user_is_stored_shown_and_changed_by_mask(gateway: Any) -> None:
    await _store(gateway, user_id="u", attributes={"age": 24}, maturity_limit=12, consent={"training": False})
    await _store(gateway, "maturity_limit", user_id="u", maturity_limit=6, attributes={"age": 99})
    user = (await _get(gateway)).user
    assert (dict(user.attributes), user.maturity_limit, user.consent.training) == ({"age": 24}, 6, False)
    assert user.create_time.ToMicroseconds() == user.update_time.ToMicroseconds() == gateway.clock.micros


async def test_a_wrong_user_changes_nothing(gateway: Any, refused: Any) -> None:
    await _store(gateway, user_id="u", maturity_limit=12)
    for paths, user, field in (
        (["age"], {}, "update_mask.paths[0]"),
        ([], {"maturity_limit": 101}, "user.maturity_limit"),
        (["attributes.last"], {"attributes": {"last": "x" * 17_000}}, "user.attributes"),
    ):
        answer = await refused(_store(gateway, *paths, user_id="u", **user))
        assert (answer.code, answer.fields) == (grpc.StatusCode.INVALID_ARGUMENT, [field])
    # Each attribute is right, and all of them together are too much.
    await _store(gateway, user_id="v", attributes={"first": "x" * 9_000})
    answer = await refused(_store(gateway, "attributes.last", user_id="v", attributes={"last": "x" * 9_000}))
    assert (answer.code, answer.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["user.attributes"])
    assert (await _get(gateway)).user.maturity_limit == 12


async def test_two_who_change_one_user_at_once_lose_nothing(gateway: Any) -> None:
    names = [f"a{n}" for n in range(8)]
    done = await asyncio.gather(
        *(_store(gateway, f"attributes.{name}", user_id="u", attributes={name: 1}) for name in names),
        return_exceptions=True,
    )
    stored = {name for name, one in zip(names, done, strict=True) if not isinstance(one, BaseException)}
    assert set((await _get(gateway)).user.attributes) == stored
    assert stored


async def test_a_maturity_limit_holds_at_once_on_every_gateway(gateway: Any, there: Any) -> None:
    await gateway.upsert(*({"item_id": f"i-{n}", "maturity": n} for n in range(15)))
    await there.recommend(user_id="u")
    for limit in (7, 0, 12):
        await _store(gateway, user_id="u", maturity_limit=limit)
        for door in (there, gateway):
            for asked in ({}, {"candidate_item_ids": ["i-3", "i-9", "i-14"]}, {"filter": "maturity >= 5"}):
                shown = _ids(await door.recommend(user_id="u", page_size=20, **asked))
                assert all(int(item_id[2:]) <= limit for item_id in shown), (limit, asked)
        assert len(_ids(await there.recommend(user_id="u", page_size=20))) == limit + 1
    promotions = [{"name": "p", "filter": "item_id = i-14", "share": 0.5}]
    assert "i-14" not in _ids(await there.recommend(user_id="u", promotions=promotions))
    first = await there.recommend(user_id="u", page_size=10)
    second = await there.recommend(user_id="u", page_size=10, page_token=first.next_page_token)
    assert sorted(_ids(first) + _ids(second)) == sorted(f"i-{n}" for n in range(13))
    assert len(_ids(await there.recommend(user_id="somebody else", page_size=20))) == 15


async def test_events_of_who_refuses_personalization_are_stored_and_not_used(gateway: Any, click: Any) -> None:
    await gateway.upsert(*({"item_id": f"i-{n}"} for n in range(12)))
    await gateway.feedback(click("e", "i-1"))
    assert "i-1" not in _ids(await gateway.recommend(user_id="u", include_seen=False, page_size=20))
    await _store(gateway, user_id="u", consent={"personalization": False})
    await gateway.feedback(click("e2", "i-2"))
    recent = [{"item_id": "i-3", "type": 3}]
    answer = await gateway.recommend(user_id="u", include_seen=False, page_size=20, recent_events=recent)
    assert {"i-1", "i-2", "i-3"} <= set(_ids(answer))
    assert answer.freshness.events_used == 0
    assert not answer.freshness.HasField("behaviour_time")
    assert [event.event_id for event in (await _get(gateway)).history] == ["e", "e2"]
    await _store(gateway, "consent", user_id="u")
    assert not {"i-1", "i-2"} & set(_ids(await gateway.recommend(user_id="u", include_seen=False, page_size=20)))


async def test_an_export_is_the_user_and_every_event_and_slate(gateway: Any, click: Any, refused: Any) -> None:
    assert (await refused(_exported(gateway))).code is grpc.StatusCode.NOT_FOUND
    await gateway.feedback(*(click(f"e{n}", f"i-{n}") for n in range(1_200)))
    await _store(gateway, user_id="u", attributes={"age": 24})
    slate = await gateway.recommend(user_id="u", surface="home")
    first, *events, last = await _exported(gateway)
    assert first.user.attributes["age"] == 24
    assert [part.event.event_id for part in events] == [f"e{n}" for n in range(1_200)]
    assert (last.slate.recommendation_id, last.slate.labels["surface"]) == (slate.recommendation_id, "home")


async def test_an_erased_user_is_nowhere_on_any_gateway(gateway: Any, there: Any, click: Any, refused: Any) -> None:
    await gateway.upsert(*({"item_id": f"i-{n}"} for n in range(12)))
    await gateway.feedback(click("e", "i-1"), click("e2", "i-2", user_id="v"))
    await _store(gateway, user_id="u", attributes={"age": 24})
    slate = await there.recommend(user_id="u", include_seen=False, page_size=20)
    assert "i-1" not in _ids(slate)
    await asyncio.sleep(0.3)
    done = await _erase(gateway)
    assert done.erased_events == 1
    assert int(done.audit_id) > 0
    for door in (there, gateway):
        for call in (_get(door), _exported(door)):
            assert (await refused(call)).code is grpc.StatusCode.NOT_FOUND
    assert gateway.store.get_slate(slate.recommendation_id) is None
    assert await _erase(there) == done
    for door in (there, gateway):
        answer = await door.recommend(
            user_id="u", include_seen=False, page_size=20, consistency_token=[done.consistency_token]
        )
        assert "i-1" in _ids(answer)
        assert answer.freshness.events_used == 0
    [entry] = gateway.store.audit(10)
    assert (entry.action, str(entry.number)) == ("erase", done.audit_id)
    assert len((await _get(gateway, "v")).history) == 1


async def test_what_an_erased_user_did_before_is_rejected_and_what_they_do_after_counts(
    gateway: Any, click: Any, refused: Any
) -> None:
    await gateway.feedback(click("e"))
    await _erase(gateway)
    gateway.clock.micros += 1_000_000
    late = {"event_time": {"seconds": gateway.clock.micros // 1_000_000 - 60}}
    answer = await refused(gateway.feedback(click("late", **late)))
    assert (answer.code, answer.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["events[0].user_id"])
    done = await gateway.feedback(
        click("late", **late), {"event_id": ""}, click("new"), click("x", user_id="v", **late)
    )
    assert [(one.index, one.field) for one in done.rejected] == [(0, "events[0].user_id"), (1, "events[1].event_id")]
    assert done.accepted == 2
    assert [event.event_id for event in (await _get(gateway)).history] == ["new"]

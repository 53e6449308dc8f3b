"""CatalogService, UserService and ReleaseService over a real store."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from recency.v1 import catalog_pb2, item_pb2, release_pb2, user_pb2
from recency_store.records import ReleaseRecord, ReleaseState


async def get(gateway: Any, item_id: str) -> Any:
    return (await gateway.catalog.GetItem(catalog_pb2.GetItemRequest(item_id=item_id))).item


async def test_an_item_is_created_then_replaced_and_read_back(gateway: Any) -> None:
    made = await gateway.upsert({"item_id": "a", "title": "Alien", "categories": ["Sci-Fi"]}, {"item_id": "b"})
    assert (made.created, made.updated) == (2, 0)
    created = gateway.clock.micros
    gateway.clock.micros += 1_000_000
    item = await get(gateway, "a")
    item.title, item.hidden = "Aliens", True
    again = await gateway.upsert(item)
    assert (again.created, again.updated) == (0, 1)
    item = await get(gateway, "a")
    assert (item.title, list(item.categories), item.hidden) == ("Aliens", ["Sci-Fi"], False)
    assert item.create_time.ToMicroseconds() == created
    assert item.update_time.ToMicroseconds() == created + 1_000_000


async def test_items_are_listed_page_by_page(gateway: Any) -> None:
    await gateway.upsert(*({"item_id": f"i-{n:02}"} for n in range(25)))
    seen, token = [], ""
    while True:
        page = await gateway.catalog.ListItems(catalog_pb2.ListItemsRequest(page_size=10, page_token=token))
        seen.append([item.item_id for item in page.items])
        token = page.next_page_token
        if not token:
            break
    assert [len(ids) for ids in seen] == [10, 10, 5]
    assert [item_id for ids in seen for item_id in ids] == [f"i-{n:02}" for n in range(25)]


@pytest.mark.promise(3)
async def test_deleted_and_hidden_items_are_in_no_later_answer(gateway: Any) -> None:
    await gateway.upsert(*({"item_id": f"i-{n}"} for n in range(6)))
    gone = await gateway.catalog.DeleteItems(catalog_pb2.DeleteItemsRequest(item_ids=["i-0", "no", "i-0"]))
    assert (gone.deleted, list(gone.missing_item_ids)) == (1, ["no"])
    assert await shown(gateway) == {f"i-{n}" for n in range(1, 6)}
    hide = catalog_pb2.HideItemsRequest(item_ids=["i-1", "no"], reason="spam")
    assert list((await gateway.catalog.HideItems(hide)).missing_item_ids) == ["no"]
    assert await shown(gateway) == {f"i-{n}" for n in range(2, 6)}
    item = await get(gateway, "i-1")
    assert (item.hidden, item.hidden_reason) == (True, "spam")
    await gateway.catalog.UnhideItems(catalog_pb2.UnhideItemsRequest(item_ids=["i-1"], reason="was none"))
    assert await shown(gateway) == {f"i-{n}" for n in range(1, 6)}


async def shown(gateway: Any) -> set[str]:
    return {placed.item_id for placed in (await gateway.recommend(page_size=10)).recommendations}


async def test_what_is_not_there_is_not_found(gateway: Any, refused: Any) -> None:
    for call in (
        gateway.catalog.GetItem(catalog_pb2.GetItemRequest(item_id="no")),
        gateway.users.GetUser(user_pb2.GetUserRequest(user_id="no")),
        gateway.releases.GetRelease(release_pb2.GetReleaseRequest(release=7)),
        gateway.releases.GetRelease(release_pb2.GetReleaseRequest()),
    ):
        assert (await refused(call)).code is grpc.StatusCode.NOT_FOUND


async def test_one_bad_item_refuses_its_whole_request(gateway: Any, refused: Any) -> None:
    assert (await refused(gateway.upsert({"item_id": "a"}, {"item_id": ""}))).fields == ["items[1].item_id"]
    wrong = {"item_id": "b", "vectors": {"a": item_pb2.Vector()}}
    assert (await refused(gateway.upsert({"item_id": "a"}, wrong))).fields == ["items[1].vectors"]
    assert gateway.store.count_items() == 0


async def test_a_thousand_items_stream_in(gateway: Any) -> None:
    chunks = [
        catalog_pb2.StreamUpsertItemsRequest(items=[{"item_id": f"{c}-{n}", "title": "t"} for n in range(500)])
        for c in range(2)
    ]
    answers = [answer async for answer in gateway.catalog.StreamUpsertItems(iter(chunks))]
    assert [answer.created for answer in answers] == [500, 500]
    assert gateway.store.count_items() == 1_000


async def test_items_are_refused_while_the_active_release_cannot_encode_them(
    run_gateway: Any, store: Any, refused: Any
) -> None:
    store.put_release(ReleaseRecord(store.next_release(), ReleaseState.CANDIDATE, "", "/nowhere", 0, 1))
    store.set_release_state(1, ReleaseState.ACTIVE)
    before = store.last_sequence()
    async with run_gateway() as gateway:
        answer = await refused(gateway.upsert({"item_id": "a"}))
    assert answer.code is grpc.StatusCode.UNAVAILABLE
    assert "nothing was stored" in answer.message
    assert store.last_sequence() == before


async def test_a_user_has_attributes_and_the_newest_events(gateway: Any, click: Any) -> None:
    await gateway.feedback(*(click(f"e-{n}") for n in range(60)))
    answer = await gateway.users.GetUser(user_pb2.GetUserRequest(user_id="u"))
    assert answer.user.user_id == "u"
    assert [event.event_id for event in answer.history] == [f"e-{n}" for n in range(10, 60)]
    for size in (0, 3):
        answer = await gateway.users.GetUser(user_pb2.GetUserRequest(user_id="u", history_size=size))
        assert len(answer.history) == size


async def test_releases_are_listed_newest_first_and_one_is_shown(gateway: Any) -> None:
    for number in (1, 2, 3):
        assert gateway.store.next_release() == number
        gateway.store.put_release(ReleaseRecord(number, ReleaseState.CANDIDATE, "", "/nowhere", number - 1, number))
    gateway.store.set_release_state(2, ReleaseState.REJECTED, "worse than 1")
    page = await gateway.releases.ListReleases(release_pb2.ListReleasesRequest(page_size=2))
    assert [r.release for r in page.releases] == [3, 2]
    page = await gateway.releases.ListReleases(
        release_pb2.ListReleasesRequest(page_size=2, page_token=page.next_page_token)
    )
    assert ([r.release for r in page.releases], page.next_page_token) == ([1], "")
    answer = await gateway.releases.GetRelease(release_pb2.GetReleaseRequest(release=2))
    assert answer.release.state == release_pb2.RELEASE_STATE_REJECTED
    assert answer.release.reason == "worse than 1"
    assert answer.release.parent == 1

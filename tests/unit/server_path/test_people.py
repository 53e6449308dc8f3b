"""What the path makes of people: profiles that steer and fade, limits, consent, and those who were erased."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from recency.v1 import item_pb2, recommendation_pb2, user_pb2
from recency_inference.errors import Unavailable
from recency_server.follow import FollowConfig
from recency_server.people import PeopleConfig
from recency_server.query import Deadline, Query
from recency_server.recommend import recommend
from recency_server.steering import steer_by_text
from recency_store.errors import StoreUnavailable
from recency_store.memory import MemoryStore
from recency_store.records import NewItem

from .conftest import DIGEST, ITEMS, NOW, TEXT_DIM, ScriptedInference, new_event, until

PERSON = user_pb2.User(user_id="u")
PERSON.attributes["profile"] = "funny robots"
VECTOR = np.eye(TEXT_DIM, dtype=np.float32)[3]


def _put(store: MemoryStore, **fields: Any) -> None:
    user = user_pb2.User(user_id="u", **fields)
    user.attributes.CopyFrom(PERSON.attributes)
    store.put_user(user, NOW, text_vector=VECTOR.tobytes(), text_encoder=DIGEST)


async def _ask(parts: Any, **fields: Any) -> Any:
    return await recommend(Query(user_id="u", **fields), Deadline.after(5.0), parts)


def _steers(inference: ScriptedInference) -> list[np.ndarray]:
    return [inputs["steer"][0] for inputs in inference.of("recommender")]


@pytest.mark.parametrize(("events", "weight"), [(0, 0.1), (2, 0.06), (5, 0.0), (6, 0.0)])
def test_a_profile_weighs_less_with_every_event(events: int, weight: float) -> None:
    assert PeopleConfig().weight_after(events) == pytest.approx(weight)
    assert PeopleConfig(profile_weight=0.0).weight_after(events) == 0.0
    assert PeopleConfig(profile_events=0).weight_after(events) == 0.0


@pytest.mark.parametrize(
    "wrong", [{"maturity_limit": 101}, {"maturity_limit": -1}, {"profile_weight": 1.5}, {"profile_events": -1}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        PeopleConfig(**wrong)


async def test_a_stored_profile_steers_without_a_call_and_fades(
    store: MemoryStore, inference: ScriptedInference, live_release: Any, opened: Any
) -> None:
    _put(store)
    async with opened() as parts:
        inference.calls.clear()
        slate = await _ask(parts)
        release = parts.releases.live
        assert np.allclose(_steers(inference)[-1], steer_by_text(release, VECTOR, 0.1))
        assert not inference.of("text_encoder")
        assert {placed.source for placed in slate.placed} == {recommendation_pb2.SOURCE_USER}
        store.append([new_event("u", ITEMS[n], n) for n in range(2)])
        await _ask(parts)
        assert np.allclose(_steers(inference)[-1], steer_by_text(release, VECTOR, 0.06))
        store.append([new_event("u", ITEMS[n], n) for n in range(2, 6)])
        await _ask(parts)
        assert not _steers(inference)[-1].any()


async def test_a_profile_without_a_vector_is_read_when_it_is_needed_or_the_answer_says_so(
    store: MemoryStore, inference: ScriptedInference, live_release: Any, opened: Any
) -> None:
    store.put_user(PERSON, NOW)
    async with opened() as parts:
        inference.calls.clear()
        assert not (await _ask(parts)).degraded
        assert _steers(inference)[-1].any()
        store.put_user(user_pb2.User(user_id="u", attributes={"profile": "sad robots"}), NOW)
        inference.error = Unavailable("away")
        assert any(text.startswith("profile: ") for text in (await _ask(parts)).degraded)


async def test_who_refuses_personalization_gets_nothing_of_their_own(
    store: MemoryStore, inference: ScriptedInference, live_release: Any, opened: Any
) -> None:
    store.append([new_event("u", ITEMS[0], 1)])
    _put(store, consent={"personalization": False})
    async with opened() as parts:
        slate = await _ask(parts)
        [sent] = inference.of("recommender")[-1:]
        assert not sent["history_length"].any()
        assert not sent["steer"].any()
        assert slate.placed[0].item_id == ITEMS[0]
        assert (slate.freshness.events_used, slate.freshness.behaviour_micros) == (0, None)
        assert {placed.source for placed in slate.placed} == {recommendation_pb2.SOURCE_TREND}


async def test_a_limit_fills_the_slate_with_what_is_below_it(
    store: MemoryStore, live_release: Any, opened: Any
) -> None:
    store.upsert_items([NewItem(item_pb2.Item(item_id=i, title=i, maturity=n)) for n, i in enumerate(ITEMS[:100])], NOW)
    _put(store, maturity_limit=19)
    async with opened() as parts:
        for fields in ({}, {"candidate_item_ids": ITEMS}, {"exclude_item_ids": ITEMS[:5]}):
            slate = await _ask(parts, page_size=50, **fields)
            shown = {placed.item_id for placed in slate.placed}
            assert len(shown) == 50
            assert not shown & set(ITEMS[20:100])
        # The catalogue's newest state counts, on the very next answer.
        store.upsert_items([NewItem(item_pb2.Item(item_id=ITEMS[0], title="a", maturity=20))], NOW)
        assert ITEMS[0] not in {placed.item_id for placed in (await _ask(parts)).placed}


async def test_somebody_who_cannot_be_read_is_shown_what_anybody_may_see(
    store: MemoryStore, live_release: Any, opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.upsert_items([NewItem(item_pb2.Item(item_id=i, title=i, maturity=1)) for i in ITEMS[:10]], NOW)
    async with opened() as parts:

        def away(user_id: str) -> None:
            raise StoreUnavailable("away")

        monkeypatch.setattr(store, "get_user", away)
        slate = await _ask(parts)
        assert any(text.startswith("behaviour: ") for text in slate.degraded)
        assert not {placed.item_id for placed in slate.placed} & set(ITEMS[:10])


async def test_a_read_that_an_erasure_overtakes_is_done_again(
    store: MemoryStore, opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.append([new_event("u", ITEMS[0], 1)])
    async with opened() as parts:
        read, going_on = store.read_user, asyncio.Event()
        loop = asyncio.get_running_loop()
        held: list[str] = []

        def slow(user_id: str, limit: int, through_micros: int | None = None) -> Any:
            found = read(user_id, limit, through_micros)
            if not held:
                held.append(user_id)
                asyncio.run_coroutine_threadsafe(going_on.wait(), loop).result()
            return found

        monkeypatch.setattr(store, "read_user", slow)
        async with asyncio.TaskGroup() as tasks:
            loading = tasks.create_task(parts.users.load("u"))
            await until(lambda: bool(held))
            erasure = store.erase_user("u", NOW)
            assert not await parts.follower.catch_up(erasure.number, 5.0)
            going_on.set()
        assert loading.result().behaviour.interactions == []


async def test_trends_are_folded_anew_without_who_was_erased_or_refuses(store: MemoryStore, opened: Any) -> None:
    def count(parts: Any, item_id: str) -> float:
        row = np.array([parts.follower.trends.row_of.get(item_id, -1)])
        return float(parts.follower.trends.counts(row, NOW)[0, -1])

    store.append([new_event(user, ITEMS[n], n) for n, user in enumerate(("u", "v", "w"))])
    store.append([new_event(user, ITEMS[3], 9) for user in ("u", "v", "w")])
    async with opened() as parts:
        parts.follower._config = FollowConfig(poll_seconds=0.01, refold_seconds=0.01)
        assert count(parts, ITEMS[3]) == pytest.approx(3.0)
        store.erase_user("u", NOW)
        store.put_user(user_pb2.User(user_id="v", consent=user_pb2.Consent(training=False)), NOW)
        await until(lambda: count(parts, ITEMS[3]) == pytest.approx(1.0))
        assert [round(count(parts, item_id)) for item_id in ITEMS[:3]] == [0, 0, 1]
        last = store.append([new_event("v", ITEMS[3], 10), new_event("w", ITEMS[3], 11)])[-1]
        await parts.follower.catch_up(last.sequence, 5.0)
        assert count(parts, ITEMS[3]) == pytest.approx(2.0)
        store.put_user(user_pb2.User(user_id="v"), NOW)
        await until(lambda: count(parts, ITEMS[3]) == pytest.approx(4.0))


async def test_a_slate_that_a_person_had_a_say_in_is_logged_as_one_the_log_cannot_make_again(
    store: MemoryStore, live_release: Any, opened: Any
) -> None:
    store.upsert_items([NewItem(item_pb2.Item(item_id=ITEMS[9], title="a", maturity=50))], NOW)
    async with opened() as parts:
        assert not (await _ask(parts)).ruled
        for fields in (
            {"attributes": {"profile": "robots"}},
            {"maturity_limit": 9},
            {"consent": {"personalization": False}},
        ):
            store.put_user(user_pb2.User(user_id="u", **fields), NOW)
            assert (await _ask(parts)).ruled, fields

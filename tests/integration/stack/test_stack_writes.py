"""What an acknowledged write does to the answers that follow, on either gateway of a store and through kill -9."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from served_stack import CommandProcess, ServedStack

from recency import AsyncRecency, Item, Recency, RecencyError, event
from recency.errors import FailedPrecondition
from recency_server.consistency import decode_token, encode_token

CALLERS = 12


@pytest.mark.promise(2)
def test_feedback_is_in_the_next_answer_of_either_gateway(here: Recency, there: Recency, film_ids: list[str]) -> None:
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
    for number, film in enumerate(film_ids[:10]):
        writer = (here, there)[number % 2]
        at = start + timedelta(seconds=number)
        done = writer.feedback([event("writes-reader", film, event_time=at)])
        assert (done.accepted, done.duplicates, done.rejected) == (1, 0, ())
        for client in (there, here):
            slate = client.recommend(
                "writes-reader", page_size=50, consistency_token=done.consistency_token, strict_consistency=True
            )
            assert not slate.degraded, slate.degraded_reason
            assert slate.freshness.events_used == number + 1
            assert slate.freshness.behaviour_time == at
            assert not set(film_ids[: number + 1]) & set(slate.item_ids)


@pytest.mark.promise(2)
def test_catalogue_writes_are_in_the_next_answer_of_the_other_gateway(here: Recency, there: Recency) -> None:
    film = Item(item_id="writes-film", title="A lighthouse keeper's winter", text="Alone at sea, he learns to knit.")

    def shown(token: str) -> set[bool]:
        slates = [
            client.recommend(candidate_item_ids=[film.item_id], consistency_token=token, strict_consistency=True)
            for client in (there, here)
        ]
        assert not any(slate.degraded for slate in slates)
        return {film.item_id in slate.item_ids for slate in slates}

    try:
        assert shown(here.upsert_items([film]).consistency_token) == {True}
        assert shown(there.hide_items([film.item_id], "being looked at").consistency_token) == {False}
        assert shown(here.unhide_items([film.item_id], "it is fine").consistency_token) == {True}
    finally:
        token = there.delete_items([film.item_id]).consistency_token
    assert shown(token) == {False}
    assert here.recommend(candidate_item_ids=[film.item_id]).missing_item_ids == (film.item_id,)


@pytest.mark.promise(2)
def test_a_token_of_a_write_that_is_not_here_is_said_and_refused_when_strict(here: Recency) -> None:
    """As after an older store was restored, or on a replica that lags."""
    last = decode_token(here.feedback([event("writes-future", "1")]).consistency_token)
    assert last is not None
    token = encode_token(last + 1_000_000)
    slate = here.recommend("writes-future", consistency_token=token)
    assert slate.item_ids
    assert slate.degraded_reason.startswith("behind: ")
    with pytest.raises(FailedPrecondition):
        here.recommend("writes-future", consistency_token=token, strict_consistency=True)


@pytest.mark.promise(1)
async def test_histories_after_kill_nine_hold_every_acknowledged_event_once(
    stack: ServedStack, film_ids: list[str]
) -> None:
    """Callers click their ways through the catalogue while their gateway is killed; one that starts over the same store,
    and one that ran all along, know what each has done."""
    users = [f"writes-killed-{number}" for number in range(CALLERS)]
    acknowledged: dict[str, list[str]] = {user: [] for user in users}
    enough = asyncio.Event()

    async def click(client: AsyncRecency, user: str) -> None:
        for number, film in enumerate(film_ids):
            clicked = event(user, film, event_id=f"{user}/{number}")
            try:
                done = await client.feedback([clicked])
            except RecencyError:
                return
            assert done.accepted == 1
            acknowledged[user].append(clicked.event_id)
            if sum(map(len, acknowledged.values())) >= 20 * CALLERS:
                enough.set()

    with stack.gateway("killed") as gateway:
        async with AsyncRecency(gateway.address, timeout_seconds=5) as client, asyncio.TaskGroup() as tasks:
            for user in users:
                tasks.create_task(click(client, user))
            await enough.wait()
            gateway.kill()
    with stack.folder.opened() as store:
        stored = Counter(logged.event_id for logged in store.scan_log())
    assert all(stored[event_id] == 1 for event_ids in acknowledged.values() for event_id in event_ids)
    assert max(stored.values()) == 1
    assert all(len(event_ids) < len(film_ids) for event_ids in acknowledged.values()), "nobody was cut off"
    with stack.gateway("restarted") as gateway:
        await _check_histories(gateway, stored, users)
    await _check_histories(stack.there, stored, users)


async def _check_histories(gateway: CommandProcess, stored: Counter[str], users: list[str]) -> None:
    async with AsyncRecency(gateway.address) as client:
        for user in users:
            slate = await client.recommend(user, page_size=200)
            done = {event_id for event_id in stored if event_id.startswith(f"{user}/")}
            assert slate.freshness.events_used == min(50, len(done))


@pytest.mark.promise(3)
async def test_what_is_hidden_or_deleted_is_in_no_answer_that_starts_after_the_acknowledgement(
    stack: ServedStack, film_ids: list[str]
) -> None:
    hidden = film_ids[:8]
    fresh = [Item(item_id=f"writes-gone-{number}", title=f"A short film, part {number}") for number in range(8)]
    watched = [*hidden, *(item.item_id for item in fresh)]
    # When each item was gone: from its acknowledgement until it was asked to come back.
    gone: dict[str, tuple[float, float]] = {}
    answers: list[tuple[float, float, frozenset[str]]] = []
    asks: list[dict[str, object]] = [
        {"page_size": 500, "include_seen": True},
        {"candidate_item_ids": watched},
        {"page_size": 500, "query": "a short film", "include_seen": True},
        {"page_size": 500, "query": "part 3", "query_weight": 1.0, "candidate_item_ids": watched},
    ]
    over = asyncio.Event()

    async def hammer(client: AsyncRecency, options: dict[str, object], user: str) -> None:
        while not over.is_set():
            started = time.monotonic()
            slate = await client.recommend(user, **options)  # type: ignore[arg-type]
            answers.append((started, time.monotonic(), frozenset(slate.item_ids)))

    async with AsyncRecency(stack.here.address) as here, AsyncRecency(stack.there.address) as there:
        await here.upsert_items(fresh)
        async with asyncio.TaskGroup() as tasks:
            for number, options in enumerate([*asks, *asks]):
                for client in (here, there):
                    tasks.create_task(hammer(client, options, str(number)))
            await asyncio.sleep(0.3)
            for number, (film, item) in enumerate(zip(hidden, fresh, strict=True)):
                client, other = (here, there) if number % 2 else (there, here)
                await client.hide_items([film], "a test")
                acknowledged = time.monotonic()
                await other.delete_items([item.item_id])
                gone[item.item_id] = (time.monotonic(), float("inf"))
                await asyncio.sleep(0.1)
                gone[film] = (acknowledged, time.monotonic())
                await other.unhide_items([film], "a test")
            over.set()
    for item_id, (acknowledged, back) in gone.items():
        assert any(item_id in shown for _, ended, shown in answers if ended < acknowledged), (
            f"{item_id} was never shown"
        )
        after = [shown for started, ended, shown in answers if started > acknowledged and ended < back]
        assert after, f"nobody asked while {item_id} was gone"
        assert not any(item_id in shown for shown in after), f"{item_id} was shown after its acknowledgement"

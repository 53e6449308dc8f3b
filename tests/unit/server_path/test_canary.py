"""A canary answers the same share of users everywhere, is compared with the active release, and goes when it is worse."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from recency.v1 import event_pb2
from recency_inference.errors import ModelFailed, Unavailable
from recency_server.arm_limits import CanaryConfig, Tally, broken_limits
from recency_server.parts import Parts
from recency_server.query import Deadline, Query, Slate
from recency_server.recommend import recommend
from recency_server.release_use import release_use
from recency_server.roles import canary_share
from recency_store.memory import MemoryStore
from recency_store.records import ReleaseState

from .conftest import ITEMS, Open, ScriptedInference, new_event, place, until

USERS = [f"user-{number}" for number in range(400)]
QUICK = CanaryConfig(failures=5, latency_answers=20, reward_answers=100, judge_seconds=0.05)


async def ask(parts: Parts, user_id: str, **fields: object) -> Slate:
    return await recommend(Query(user_id=user_id, **fields), Deadline.after(5.0), parts)  # type: ignore[arg-type]


async def with_canary(parts: Parts) -> None:
    await until(lambda: parts.releases.canary is not None and parts.releases.canary.number == 2)


def those(users: list[str], fraction: float) -> set[str]:
    return {user for user in users if canary_share(user, 2) < fraction}


def test_a_users_place_is_the_same_everywhere_and_for_ever() -> None:
    # Written down: a value that changes with the software would move users between arms.
    assert round(canary_share("user-1", 2), 6) == 0.090243
    assert canary_share("user-1", 2) != canary_share("user-1", 3)


def test_a_share_that_grows_keeps_whom_it_had_and_is_about_as_large_as_it_says() -> None:
    before: set[str] = set()
    for fraction in (0.05, 0.2, 0.5, 1.0):
        now = those(USERS, fraction)
        assert before <= now
        assert abs(len(now) / len(USERS) - fraction) < 0.06
        before = now
    assert before == set(USERS)


async def test_a_canary_answers_its_share_of_the_users_on_every_gateway(
    opened: Open, store: MemoryStore, tmp_path: Path
) -> None:
    place(store, tmp_path, 1, ReleaseState.ACTIVE)
    place(store, tmp_path, 2, ReleaseState.CANARY, 0.5, item_ids=[*reversed(ITEMS)])
    async with opened(gateway_id="a") as one, opened(gateway_id="b") as two:
        await with_canary(one)
        await with_canary(two)
        for parts in (one, two):
            for user in USERS[:60]:
                slate = await ask(parts, user)
                expected = (2, ITEMS[-1]) if user in those(USERS, 0.5) else (1, ITEMS[0])
                assert (slate.freshness.release, slate.placed[0].item_id, slate.degraded) == (*expected, ())
        # Somebody whom nobody knows has the active release; a session is known again.
        assert (await ask(one, "")).freshness.release == 1
        session = next(f"s-{n}" for n in range(100) if canary_share(f"s-{n}", 2) < 0.5)
        assert (await ask(one, "", labels={"session_id": session})).freshness.release == 2
        store.set_release_state(2, ReleaseState.CANARY, canary_fraction=1.0)
        await until(lambda: one.releases.canary_fraction == 1.0)
        assert (await ask(one, "user-1")).freshness.release == 2


async def test_a_canary_that_becomes_active_flips_without_being_made_ready_again(
    opened: Open, store: MemoryStore, tmp_path: Path, inference: ScriptedInference
) -> None:
    place(store, tmp_path, 1, ReleaseState.ACTIVE)
    place(store, tmp_path, 2, ReleaseState.CANARY, 0.5)
    async with opened() as parts:
        await with_canary(parts)
        canary, adoptions = parts.releases.canary, parts.counters.adoptions
        store.set_release_state(2, ReleaseState.ACTIVE)
        await until(lambda: parts.releases.live is canary)
        assert parts.releases.canary is None
        assert parts.counters.adoptions == adoptions == 2
        store.roll_back(0, "worse after all")
        await until(lambda: parts.releases.live is not None and parts.releases.live.number == 1)
        assert (await ask(parts, "user-1")).freshness.release == 1


async def test_a_broken_canary_ends_itself_and_costs_the_others_nothing(
    opened: Open, store: MemoryStore, tmp_path: Path, inference: ScriptedInference
) -> None:
    place(store, tmp_path, 1, ReleaseState.ACTIVE)
    place(store, tmp_path, 2, ReleaseState.CANARY, 0.5)
    async with opened(canary=QUICK) as parts:
        await with_canary(parts)
        inference.errors[2] = Unavailable("the stub process is not healthy")
        for user in USERS[:60]:
            slate = await ask(parts, user)
            assert len(slate.placed) == 10
            if user not in those(USERS, 0.5):
                assert slate.degraded == ()
        await until(lambda: parts.releases.canary is None)
        record = store.get_release(2)
        assert record.state is ReleaseState.RETIRED
        assert "canary ended by gateway gateway-1" in record.reason
        assert "requests failed" in record.reason
        assert parts.counters.canary_rollbacks == 1
        assert (await ask(parts, next(iter(those(USERS, 0.5))))).degraded == ()
        # What the comparison came to can still be read.
        assert release_use(parts, 2).arm.degraded >= QUICK.failures
        assert release_use(parts, 1).arm.degraded == 0


async def test_a_canary_whose_model_raises_ends_itself(
    opened: Open, store: MemoryStore, tmp_path: Path, inference: ScriptedInference
) -> None:
    place(store, tmp_path, 1, ReleaseState.ACTIVE)
    place(store, tmp_path, 2, ReleaseState.CANARY, 1.0)
    async with opened(canary=QUICK) as parts:
        await with_canary(parts)
        inference.errors[2] = ModelFailed("index out of range")
        for user in USERS[:10]:
            assert "model: " in (await ask(parts, user)).degraded[0]
        await until(lambda: parts.releases.canary is None)
        assert (await ask(parts, USERS[0])).freshness.release == 1


async def test_a_slow_canary_ends_itself_and_does_not_slow_the_others(
    opened: Open, store: MemoryStore, tmp_path: Path, inference: ScriptedInference
) -> None:
    place(store, tmp_path, 1, ReleaseState.ACTIVE)
    place(store, tmp_path, 2, ReleaseState.CANARY, 0.5)
    async with opened(canary=QUICK) as parts:
        await with_canary(parts)
        inference.delays_seconds[2] = 0.8
        answered: list[int] = []

        async def one(user: str) -> None:
            answered.append((await ask(parts, user)).freshness.release)

        async with asyncio.TaskGroup() as tasks:
            for user in USERS[:120]:
                tasks.create_task(one(user))
        # All that the active release answers came before the first that waits for the canary.
        assert set(answered[: answered.index(2)]) == {1}
        assert 1 not in answered[answered.index(2) :]
        await until(lambda: parts.releases.canary is None)
        assert "nine of ten answers take" in store.get_release(2).reason
        assert release_use(parts, 2).arm.latency_p90.ToMilliseconds() >= 200


async def test_clicks_of_an_arm_are_those_that_cite_its_answers(
    opened: Open, store: MemoryStore, tmp_path: Path
) -> None:
    place(store, tmp_path, 1, ReleaseState.ACTIVE)
    place(store, tmp_path, 2, ReleaseState.CANARY, 0.5)
    async with opened(canary=QUICK) as parts:
        await with_canary(parts)
        mine = sorted(those(USERS, 0.5))[0]
        theirs = sorted(set(USERS) - those(USERS, 0.5))[0]
        cited = [(await ask(parts, user)).recommendation_id for user in (mine, theirs)]
        events = [new_event(mine, ITEMS[number], number) for number in range(9)]
        for event in events[:7]:
            event.recommendation_id = cited[0]
        events[7].recommendation_id = "somebody-elses"
        view = new_event(theirs, ITEMS[0], 99, event_type=event_pb2.EVENT_TYPE_VIEW)
        view.recommendation_id = cited[1]
        await parts.commit.append([*events, view])
        assert await parts.follower.catch_up(0, 2.0) == ""
        arm, other = release_use(parts, 2).arm, release_use(parts, 1).arm
    assert (arm.answers, arm.clicks, other.answers, other.clicks) == (1, 7, 1, 0)
    # One answer earns so much and no more.
    assert arm.reward == QUICK.reward_most


def tally(answers: int, clicks: int, failures: int = 0) -> Tally:
    return Tally(answers=answers, degraded=failures, clicks=clicks, reward=clicks, reward_squares=clicks)


@pytest.mark.parametrize(
    ("live", "canary", "crossed"),
    [
        (tally(2_000, 200), tally(2_000, 120), "an answer earns 0.0600"),
        (tally(2_000, 200), tally(2_000, 170), ""),
        (tally(900, 200), tally(900, 10), ""),
        (tally(2_000, 200), tally(100, 10, 4), ""),
        (tally(2_000, 200), tally(100, 10, 12), "12 of 100 requests failed"),
        # Triton is away for both.
        (tally(100, 0, 100), tally(100, 0, 100), ""),
    ],
)
def test_a_canary_goes_when_it_is_surely_worse_and_not_before(live: Tally, canary: Tally, crossed: str) -> None:
    limits = broken_limits(live, [0.001] * 200, canary, [0.001] * 200, CanaryConfig())
    assert len(limits) == bool(crossed)
    assert all(limit.startswith(crossed) for limit in limits)

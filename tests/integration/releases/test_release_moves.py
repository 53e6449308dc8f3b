"""Swaps, canaries and rollbacks under load, over a real Triton: no failure, no degraded answer, none of two releases."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from triton_stack import clock

from recency import FailedPrecondition, InvalidArgument, NotFound, ReleaseState
from recency_server.roles import canary_share
from recency_store.records import ReleaseState as Stored

from .conftest import USERS, Callers, OpenGateway, Stage


@pytest.mark.promise(5)
async def test_swaps_a_canary_and_a_rollback_fail_no_request_and_mix_no_answer(
    stage: Stage, gateway: OpenGateway
) -> None:
    first = stage.active()
    second, third = stage.publish(), stage.publish()
    calls = Callers()
    async with gateway("a") as a, gateway("b") as b:
        async with calls.on(a, b):
            await calls.more(50)
            done = await a.client.activate_release(second, reason="better", wait=timedelta(seconds=20))
            assert done.served
            for here in (a, b):
                await here.until(lambda facts: facts["release"] == second)

            canary = await b.client.set_canary(third, 0.5, reason="try")
            assert (canary.state, canary.canary_fraction, canary.reason) == (ReleaseState.CANARY, 0.5, "try")
            await calls.until(lambda: {("a", third), ("b", third)} <= {(g, r) for g, _, r in calls.answers})
            before = await calls.more(200)
            # Those that were under way when the canary began are past.
            for _, user, release in calls.answers[before + 16 :]:
                assert release == (third if canary_share(user, third) < 0.5 else second)
            arm = (await a.client.get_release(third)).use.arm
            assert arm.answers > 20
            assert arm.degraded == arm.errors == 0

            await a.client.activate_release(third)
            for here in (a, b):
                await here.until(lambda facts: facts["release"] == third)
            back = await b.client.roll_back_release(reason="clicks fell")
            assert (back.release, back.state, back.reason) == (second, ReleaseState.ACTIVE, "clicks fell")
            for here in (a, b):
                await here.until(lambda facts: facts["release"] == second)
            before = await calls.more(50)
            assert calls.seen(before + 16) == {second}
        assert calls.seen() == {first, second, third}
        assert calls.degraded == []
        assert calls.mixed == []
        metrics = await a.get("/metrics")
        # What was left is let go of, here and then by the agent.
        await calls.until(lambda: not stage.store.list_leases(f"serving/{first}/", clock()))
    for line in ('recency_serving_release{role="active"} ', 'recency_adoption_seconds_total{step="golden"} '):
        assert line in metrics
    assert stage.store.get_release(third).reason == "clicks fell"


async def test_moves_that_make_no_sense_are_refused_with_what_is_wrong(stage: Stage, gateway: OpenGateway) -> None:
    active = stage.active()
    rejected, unloaded = stage.write(), stage.write()
    for manifest in (rejected, unloaded):
        stage.triton.register(manifest, Stored.REJECTED if manifest is rejected else Stored.RETIRED)
    async with gateway() as here:
        client = here.client
        for call, error, text in (
            (client.activate_release(0), InvalidArgument, "release: is 0"),
            (client.set_canary(active, 1.5), InvalidArgument, "fraction: is out of 0..1"),
            (client.set_canary(active, float("nan")), InvalidArgument, "fraction: is not a finite number"),
            (client.roll_back_release(-1), InvalidArgument, "release: is -1"),
            (client.set_shadow(active, reason="x" * 2_000), InvalidArgument, "reason: is longer than 1,024"),
            (client.activate_release(10_000), NotFound, "there is no release 10000"),
            (client.roll_back_release(10_000), NotFound, "there is no release 10000"),
            (client.activate_release(rejected.release), FailedPrecondition, "was rejected"),
            (client.roll_back_release(rejected.release), FailedPrecondition, "was rejected"),
            (client.activate_release(unloaded.release), FailedPrecondition, "is not ready at"),
            (client.set_canary(active, 0.1), FailedPrecondition, "is active and answers everybody"),
            (client.set_shadow(active), FailedPrecondition, "is active and answers everybody"),
            (client.set_canary(unloaded.release, 0.0), FailedPrecondition, "is no canary"),
            (client.set_shadow(unloaded.release, end=True), FailedPrecondition, "is no shadow"),
        ):
            with pytest.raises(error, match=text):
                await call
        assert stage.active() == active
        # The way to make an old one ready, and what comes of it beside the active one.
        await client.set_shadow(unloaded.release, reason="look at it")
        await asyncio.to_thread(stage.triton.wait_ready, unloaded.release)
        async with Callers().on(here) as calls:
            for _ in range(200):
                use = (await client.get_release(unloaded.release)).use
                if use.shadow is not None and use.shadow.scored >= 3:
                    break
                await asyncio.sleep(0.05)
        assert use.role == "shadow"
        assert use.shadow.errors == 0
        assert 0.0 <= use.shadow.overlap_at_10 < 1.0
        assert calls.seen() == {active}
        assert calls.degraded == calls.mixed == []
        ended = await client.set_shadow(unloaded.release, end=True)
        assert ended.state is ReleaseState.CANDIDATE


async def test_every_change_is_watched_as_it_happens(stage: Stage, gateway: OpenGateway) -> None:
    active, watched = stage.active(), stage.publish()
    async with gateway() as here:
        changes = here.client.watch_releases()
        told: list[tuple[int, str, str]] = []

        async def watch() -> None:
            async for release in changes:
                told.append((release.release, release.state.name, release.reason))
                if release.state is ReleaseState.RETIRED:
                    return

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(watch())
            await asyncio.sleep(0.7)
            await here.client.set_canary(watched, 0.1, reason="try")
            await asyncio.sleep(0.7)
            await here.client.set_canary(watched, 0.0, reason="seen enough")
        assert told == [(watched, "CANARY", "try"), (watched, "RETIRED", "seen enough")]
        current = {}
        async for release in here.client.watch_releases(include_current=True):
            current[release.release] = release.state
            if release.release == watched:
                break
        assert current[active] is ReleaseState.ACTIVE
        assert set(USERS)

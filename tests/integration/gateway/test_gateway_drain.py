"""Ending, overload and taken addresses, with a store that can be made slow."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from recency.v1 import event_pb2, release_pb2
from recency_server.config import GatewayConfig
from recency_server.errors import AddressTaken
from recency_server.gateway import serve
from recency_server.parts import RecommendConfig
from recency_store.errors import StoreUnavailable


class SlowStore:
    """The real store, whose appends wait until they may go on, or fail."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.arrived = threading.Event()
        self.go_on = threading.Event()
        self.failing = False

    def append(self, events: Sequence[event_pb2.Event]) -> Any:
        self.arrived.set()
        self.go_on.wait(timeout=10)
        if self.failing:
            raise StoreUnavailable("the disk is full; make room, then send the events again")
        return self._store.append(events)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@pytest.fixture
def slow(store: Any) -> SlowStore:
    return SlowStore(store)


async def arrived(slow: SlowStore) -> None:
    assert await asyncio.to_thread(slow.arrived.wait, 5)


async def test_a_running_call_ends_before_the_gateway_does(
    run_gateway: Any, slow: SlowStore, click: Any, refused: Any
) -> None:
    async with run_gateway(slow) as gateway, asyncio.TaskGroup() as tasks:
        running = tasks.create_task(gateway.feedback(click("a")))
        await arrived(slow)
        gateway.stop.set()
        await asyncio.sleep(0.03)
        late = await refused(gateway.recommend(page_size=1))
        assert late.code is grpc.StatusCode.UNAVAILABLE
        assert not gateway.task.done()
        slow.go_on.set()
        assert (await running).accepted == 1
    assert [e.event_id for e in slow.read_log(0, 10)] == ["a"]


async def test_a_watch_is_told_to_go_elsewhere_when_the_gateway_ends(run_gateway: Any, refused: Any) -> None:
    async with run_gateway(drain_seconds=60.0) as gateway:
        watch = gateway.releases.WatchReleases(release_pb2.WatchReleasesRequest(include_current=True))
        await asyncio.sleep(0.1)
        gateway.stop.set()
        ended = await refused(watch.read())
        assert ended.code is grpc.StatusCode.UNAVAILABLE
        assert "closing" in ended.message
        await gateway.task


async def test_open_streams_do_not_hold_up_the_end(run_gateway: Any, click: Any) -> None:
    async with run_gateway(drain_seconds=60.0) as gateway:
        health: Any = health_pb2_grpc.HealthStub(gateway.channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(service="recency.v1.RecommendationService"))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        bulk = gateway.recommendations.StreamFeedback()
        await bulk.write(event_pb2.StreamFeedbackRequest(events=[click("a")]))
        assert (await bulk.read()).accepted == 1
        gateway.stop.set()
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        await asyncio.wait_for(asyncio.shield(gateway.task), 10)


async def test_what_runs_too_long_is_cut_off(run_gateway: Any, slow: SlowStore, click: Any, refused: Any) -> None:
    async with run_gateway(slow, drain_seconds=0.2) as gateway, asyncio.TaskGroup() as tasks:
        running = tasks.create_task(refused(gateway.feedback(click("a"))))
        await arrived(slow)
        gateway.stop.set()
        assert (await running).code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        slow.go_on.set()


@pytest.mark.promise(6)
async def test_a_call_without_a_place_is_refused_at_once(
    run_gateway: Any, slow: SlowStore, click: Any, refused: Any
) -> None:
    async with run_gateway(slow, write_calls=1) as gateway, asyncio.TaskGroup() as tasks:
        running = tasks.create_task(gateway.feedback(click("a")))
        await arrived(slow)
        assert (await refused(gateway.feedback(click("b")))).code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert not running.done()
        slow.go_on.set()
        assert (await running).accepted == 1
        assert (await gateway.feedback(click("b"))).accepted == 1


@pytest.mark.promise(6)
async def test_a_passed_deadline_ends_the_call(run_gateway: Any, slow: SlowStore, click: Any, refused: Any) -> None:
    async with run_gateway(slow) as gateway:
        request = event_pb2.FeedbackRequest(events=[click("a")])
        answer = await refused(gateway.recommendations.Feedback(request, timeout=0.2))
        assert answer.code is grpc.StatusCode.DEADLINE_EXCEEDED
        slow.go_on.set()


async def test_a_default_deadline_holds_where_the_caller_gives_none(
    run_gateway: Any, slow: SlowStore, click: Any, refused: Any
) -> None:
    async with run_gateway(slow, bulk_seconds=0.2) as gateway:
        answer = await refused(gateway.feedback(click("a")))
        assert answer.code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "an event_id counts once" in answer.message
        slow.go_on.set()


async def test_a_store_that_is_away_is_unavailable(run_gateway: Any, slow: SlowStore, click: Any, refused: Any) -> None:
    slow.failing = True
    slow.go_on.set()
    async with run_gateway(slow) as gateway:
        answer = await refused(gateway.feedback(click("a")))
        assert answer.code is grpc.StatusCode.UNAVAILABLE
        assert "make room" in answer.message
        assert (await gateway.recommend(page_size=1)).recommendation_id


@pytest.mark.parametrize("which", ["grpc", "http"])
async def test_a_taken_address_is_named(which: str, gateway: Any, store: Any) -> None:
    taken = f"127.0.0.1:{getattr(gateway.bound, f'{which}_port')}"
    addresses: dict[str, Any] = {
        "grpc_address": "127.0.0.1:0",
        "http_address": "127.0.0.1:0",
        f"{which}_address": taken,
    }
    config = GatewayConfig(RecommendConfig(gateway_id="second"), triton_address="127.0.0.1:1", **addresses)
    with pytest.raises(AddressTaken, match=taken):
        await serve(config, store, lambda: time.time_ns() // 1_000, stop=asyncio.Event())

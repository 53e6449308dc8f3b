"""A real gateway over a real SQLite store, in this process: it starts in milliseconds, so that each test has its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from recency.v1 import (
    catalog_pb2,
    catalog_pb2_grpc,
    event_pb2,
    recommendation_pb2,
    recommendation_pb2_grpc,
    release_pb2_grpc,
    user_pb2_grpc,
)
from recency_server.config import Bound, GatewayConfig
from recency_server.gateway import serve
from recency_server.parts import RecommendConfig
from recency_store.protocol import Store
from recency_store.sqlite import open_sqlite

NO_TRITON = "127.0.0.1:1"


@dataclass
class TestClock:
    """Stands where it is put."""

    __test__ = False
    micros: int = field(default_factory=lambda: time.time_ns() // 1_000)

    def __call__(self) -> int:
        return self.micros


def _stub(module: Any, name: str, channel: grpc.aio.Channel) -> Any:
    """The generated stubs have no types."""
    return getattr(module, name)(channel)


@dataclass
class Gateway:
    """A running gateway, as its callers and its owner see it."""

    bound: Bound
    store: Store
    clock: TestClock
    stop: asyncio.Event
    task: asyncio.Task[None]
    channel: grpc.aio.Channel

    def __post_init__(self) -> None:
        self.recommendations: Any = _stub(recommendation_pb2_grpc, "RecommendationServiceStub", self.channel)
        self.catalog: Any = _stub(catalog_pb2_grpc, "CatalogServiceStub", self.channel)
        self.users: Any = _stub(user_pb2_grpc, "UserServiceStub", self.channel)
        self.releases: Any = _stub(release_pb2_grpc, "ReleaseServiceStub", self.channel)

    async def recommend(self, **fields: Any) -> recommendation_pb2.RecommendResponse:
        response: recommendation_pb2.RecommendResponse = await self.recommendations.Recommend(
            recommendation_pb2.RecommendRequest(**fields)
        )
        return response

    async def feedback(self, *events: Any) -> event_pb2.FeedbackResponse:
        response: event_pb2.FeedbackResponse = await self.recommendations.Feedback(
            event_pb2.FeedbackRequest(events=events)
        )
        return response

    async def upsert(self, *items: Any) -> catalog_pb2.UpsertItemsResponse:
        response: catalog_pb2.UpsertItemsResponse = await self.catalog.UpsertItems(
            catalog_pb2.UpsertItemsRequest(items=items)
        )
        return response


Run = Callable[..., Any]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_sqlite(tmp_path / "store" / "recency.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def run_gateway(store: Store) -> Run:
    """Runs a gateway over the test's store (or one given) with other settings; leaving it drains it."""

    @asynccontextmanager
    async def run(over: Store = store, **settings: Any) -> AsyncIterator[Gateway]:
        settings = {"drain_seconds": 5.0, **settings}
        config = GatewayConfig(RecommendConfig(gateway_id="test"), "127.0.0.1:0", "127.0.0.1:0", NO_TRITON, **settings)
        stop, clock = asyncio.Event(), TestClock()
        ready: asyncio.Future[Bound] = asyncio.get_running_loop().create_future()
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(serve(config, over, clock, stop=stop, ready=ready.set_result))
            bound = await ready
            try:
                async with grpc.aio.insecure_channel(f"127.0.0.1:{bound.grpc_port}") as channel:
                    yield Gateway(bound, over, clock, stop, task, channel)
            finally:
                stop.set()

    return run


@pytest.fixture
async def gateway(run_gateway: Run) -> AsyncIterator[Gateway]:
    async with run_gateway() as running:
        yield running


@dataclass(frozen=True)
class Refused:
    """What a refused call looks like to its caller."""

    code: grpc.StatusCode
    message: str
    fields: list[str]


@pytest.fixture
def refused() -> Callable[[Awaitable[Any]], Awaitable[Refused]]:
    """Awaits a call that must be refused."""

    async def refuse(call: Awaitable[Any]) -> Refused:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        error = caught.value
        fields: list[str] = []
        trailing: Any = error.trailing_metadata()
        for key, value in trailing or ():
            if key == "grpc-status-details-bin":
                bad = error_details_pb2.BadRequest()
                assert status_pb2.Status.FromString(value).details[0].Unpack(bad)
                fields = [violation.field for violation in bad.field_violations]
        return Refused(error.code(), error.details() or "", fields)

    return refuse


@pytest.fixture
def click() -> Callable[..., dict[str, Any]]:
    """A click as keyword arguments of an Event."""

    def make(event_id: str, item_id: str = "i-1", user_id: str = "u", **fields: Any) -> dict[str, Any]:
        return {"event_id": event_id, "user_id": user_id, "item_id": item_id, "type": 3, **fields}

    return make

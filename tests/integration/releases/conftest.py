"""A Triton with its agent over tiny releases whose answers tell which of them gave it, and gateways in this process."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from served_tiny import ITEM_IDS, slate, write_served
from triton_stack import TritonStack, clock

from recency import AsyncRecency
from recency.v1 import event_pb2, item_pb2
from recency_server.adopt import ReleaseConfig
from recency_server.config import Bound, GatewayConfig
from recency_server.gateway import serve
from recency_server.parts import RecommendConfig
from recency_store.manifest import Manifest
from recency_store.records import NewItem, ReleaseState
from recency_store.sqlite import SqliteStore, open_sqlite

USERS = {f"user-{number}": ITEM_IDS[number] for number in range(len(ITEM_IDS))}
PAGE = 5


@dataclass
class Stage:
    """The store, Triton with its agent, and the number of the next release."""

    data: Path
    store: SqliteStore
    triton: TritonStack
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(2))

    def write(self, change: Callable[[Path, Manifest], Manifest] | None = None) -> Manifest:
        """A release folder that nobody knows of yet."""
        number = next(self.numbers)
        folder = self.triton.releases / str(number)
        manifest = write_served(folder, number, text_encoder=1)
        return manifest if change is None else change(folder, manifest)

    def publish(
        self, state: ReleaseState = ReleaseState.CANDIDATE, change: Callable[[Path, Manifest], Manifest] | None = None
    ) -> int:
        """A release that Triton has ready."""
        manifest = self.write(change)
        self.triton.register(manifest, state)
        self.triton.wait_ready(manifest.release)
        return manifest.release

    def active(self) -> int:
        record = self.store.active_release()
        return record.release if record is not None else 0


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory, triton_environment: Path | None) -> Iterator[Stage]:
    """40 items, as many users with one click each, and release 1. A test leaves a whole release active."""
    data = tmp_path_factory.mktemp("releases")
    store = open_sqlite(data / "store.db")
    store.upsert_items([NewItem(item_pb2.Item(item_id=item_id, title=item_id)) for item_id in ITEM_IDS], clock())
    clicks = []
    for user_id, item_id in USERS.items():
        event = event_pb2.Event(
            event_id=f"{user_id}/1", user_id=user_id, item_id=item_id, type=event_pb2.EVENT_TYPE_CLICK
        )
        event.event_time.FromMicroseconds(clock() - 60_000_000)
        clicks.append(event)
    store.append(clicks)
    triton = TritonStack(data, store, data / "releases", triton_environment)
    manifest = write_served(triton.releases / "1", 1)
    triton.register(manifest, ReleaseState.ACTIVE)
    triton.start()
    triton.wait_ready(1)
    yield Stage(data, store, triton)
    triton.stop()
    store.close()


@pytest.fixture(autouse=True)
def alone_again(stage: Stage) -> Iterator[None]:
    """A test that fails leaves no canary behind, and a whole release active."""
    good = stage.active()
    yield
    for record in stage.store.serving_releases():
        if record.state is not ReleaseState.ACTIVE:
            stage.store.set_release_state(record.release, ReleaseState.RETIRED, "left by a test")
    if not stage.store.list_leases(f"ready/{stage.active()}/", clock()):
        stage.store.set_release_state(good, ReleaseState.ACTIVE)


@dataclass
class Gateway:
    """A running gateway: its client and its HTTP side."""

    name: str
    client: AsyncRecency
    http_port: int

    async def get(self, path: str) -> str:
        def fetch() -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=5) as response:
                return str(response.read().decode())

        return await asyncio.to_thread(fetch)

    async def ready(self) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads(await self.get("/readyz"))
        return facts

    async def until(self, happened: Callable[[dict[str, Any]], object]) -> None:
        """Waits for what /readyz tells."""
        limit = time.monotonic() + 30
        while not happened(facts := await self.ready()):
            assert time.monotonic() < limit, facts
            await asyncio.sleep(0.05)


OpenGateway = Callable[..., Any]


@pytest.fixture
def gateway(stage: Stage) -> OpenGateway:
    """Runs a gateway over the stage; other settings of the request path may be given."""

    @asynccontextmanager
    async def run(name: str = "a", **changes: Any) -> AsyncIterator[Gateway]:
        recommend = RecommendConfig(name, releases=ReleaseConfig(poll_seconds=0.1, trend_seconds=0.2), **changes)
        config = GatewayConfig(recommend, "127.0.0.1:0", "127.0.0.1:0", stage.triton.target, drain_seconds=5.0)
        stop = asyncio.Event()
        ready: asyncio.Future[Bound] = asyncio.get_running_loop().create_future()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(serve(config, stage.store, clock, stop=stop, ready=ready.set_result))
            bound = await ready
            try:
                async with AsyncRecency(f"127.0.0.1:{bound.grpc_port}") as client:
                    yield Gateway(name, client, bound.http_port)
            finally:
                stop.set()

    return run


@dataclass
class Callers:
    """Callers that ask without a pause and look at each answer: whole, and of one release alone."""

    answers: list[tuple[str, str, int]] = field(default_factory=list)
    degraded: list[tuple[str, str]] = field(default_factory=list)
    mixed: list[tuple[str, int]] = field(default_factory=list)
    _stopped: bool = False

    def seen(self, since: int = 0) -> set[int]:
        """Which releases answered."""
        return {release for _, _, release in self.answers[since:]}

    async def ask(self, gateway: Gateway, users: list[str]) -> None:
        for user in itertools.cycle(users):
            if self._stopped:
                return
            slate_ = await gateway.client.recommend(user, page_size=PAGE)
            release = slate_.freshness.release
            if slate_.degraded:
                self.degraded.append((user, slate_.degraded_reason))
            elif list(slate_.item_ids) != slate(release, [USERS[user]], PAGE):
                self.mixed.append((user, release))
            self.answers.append((gateway.name, user, release))

    @asynccontextmanager
    async def on(self, *gateways: Gateway, each: int = 4) -> AsyncIterator[Callers]:
        """Calls while entered; any error of a call ends the test."""
        users = list(USERS)
        async with asyncio.TaskGroup() as tasks:
            for gateway in gateways:
                for caller in range(each):
                    tasks.create_task(self.ask(gateway, users[caller:] + users[:caller]))
            try:
                yield self
            finally:
                self._stopped = True

    async def until(self, happened: Callable[[], object]) -> None:
        limit = time.monotonic() + 30
        while not happened():
            assert time.monotonic() < limit, (self.answers[-3:], self.degraded[-3:])
            await asyncio.sleep(0.02)

    async def more(self, count: int) -> int:
        """Waits for so many more answers, and tells where they begin."""
        before = len(self.answers)
        await self.until(lambda: len(self.answers) > before + count)
        return before

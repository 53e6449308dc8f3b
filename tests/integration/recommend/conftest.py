"""A small shop with a real release in a real Triton, and the gateway's parts over it in this process."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest

from recency.v1 import event_pb2, item_pb2
from recency_export.pipeline import bootstrap
from recency_export.progress import Silent
from recency_export.settings import BootstrapConfig, RankerSettings, TrainSettings
from recency_inference.client import Inference
from recency_inference.local import TritonConfig
from recency_inference.run import Running, run_triton
from recency_server.parts import Parts, RecommendConfig, open_parts
from recency_store.records import NewItem
from recency_store.sqlite import SqliteStore, open_sqlite

SUBJECTS = ("space travel", "cooking", "medieval history", "football", "jazz music", "gardening", "chess", "sailing")
KINDS = ("beginners", "children", "experts", "travellers", "teachers", "families")
BOOKS = {
    f"book-{s}-{k}": (f"{subject.title()} for {kind}", f"A book about {subject}, written for {kind}.")
    for s, subject in enumerate(SUBJECTS)
    for k, kind in enumerate(KINDS)
}
BOOK_IDS = tuple(BOOKS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whichever test here comes first waits for the shop: a training, an export and a Triton."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(400))


def now() -> int:
    return time.time_ns() // 1_000


def book(item_id: str, title: str, text: str) -> NewItem:
    return NewItem(item_pb2.Item(item_id=item_id, title=title, text=text))


def click(user_id: str, item_id: str, number: int, age_seconds: float = 0.0) -> event_pb2.Event:
    event = event_pb2.Event(
        event_id=f"{user_id}/{number}", user_id=user_id, item_id=item_id, type=event_pb2.EVENT_TYPE_CLICK
    )
    event.event_time.FromMicroseconds(now() - int(age_seconds * 1_000_000))
    return event


def fill_shop(store: SqliteStore) -> None:
    """48 books, and 120 readers of whom each likes two subjects."""
    store.upsert_items([book(item_id, *texts) for item_id, texts in BOOKS.items()], now())
    random = np.random.default_rng(3)
    events = []
    for reader in range(120):
        liked = [s * len(KINDS) + k for s in random.choice(len(SUBJECTS), 2, replace=False) for k in range(len(KINDS))]
        for number, place in enumerate(random.permutation(liked)[:9].tolist()):
            age = 86_400 * 10 - reader * 600 - number * 60
            events.append(click(f"reader-{reader}", BOOK_IDS[place], number, age))
    store.append(events)


@dataclass(frozen=True)
class Shop:
    """The running stack."""

    store: SqliteStore
    folder: Path
    triton: Running


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory, triton_environment: Path | None) -> Iterator[Shop]:
    """The shop, its first release, and a Triton that has it loaded."""
    folder = tmp_path_factory.mktemp("shop")
    store = open_sqlite(folder / "store.db")
    fill_shop(store)
    settings = BootstrapConfig(
        folder / "work", threads=1, train=TrainSettings(epochs=4, check_every=2), ranker=RankerSettings(epochs=2)
    )
    bootstrap(store, folder / "releases", settings, Silent())
    stop, ready, told = threading.Event(), threading.Event(), list[Running]()

    def tell(running: Running) -> None:
        told.append(running)
        ready.set()

    config = TritonConfig(folder, triton_environment, grpc_port=0, http_port=0, metrics_port=0)
    thread = threading.Thread(
        target=run_triton, args=(config, store, folder / "releases", stop, tell, now), name="triton"
    )
    thread.start()
    try:
        assert ready.wait(90), "Triton was not ready in time"
        yield Shop(store, folder, told[0])
    finally:
        stop.set()
        thread.join()
        store.close()


class OpenShop(Protocol):
    def __call__(self, gateway_id: str = "gateway", **changes: Any) -> AbstractAsyncContextManager[Parts]: ...


@pytest.fixture
def opened(shop: Shop) -> OpenShop:
    """Opens a gateway's parts over the shop."""

    @asynccontextmanager
    async def open_them(gateway_id: str = "gateway", **changes: Any) -> AsyncIterator[Parts]:
        async with (
            Inference(shop.triton.target) as inference,
            open_parts(RecommendConfig(gateway_id, **changes), shop.store, inference, now) as parts,
        ):
            assert parts.releases.live is not None, parts.releases.reason
            yield parts

    return open_them

"""One suite for every store: a test that takes `store` runs over each implementation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from recency.v1 import event_pb2, item_pb2
from recency_store.memory import MemoryStore
from recency_store.protocol import Store
from recency_store.records import NewItem, ReleaseRecord, ReleaseState
from recency_store.sqlite import open_sqlite

SLATE_LIMIT = 10


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened: Store
    if request.param == "memory":
        opened = MemoryStore(slate_limit=SLATE_LIMIT)
    else:
        opened = open_sqlite(tmp_path / "store.sqlite", slate_limit=SLATE_LIMIT)
    yield opened
    opened.close()


@pytest.fixture
def make_event() -> Callable[..., event_pb2.Event]:
    def make(
        event_id: str, user_id: str = "u", item_id: str = "i", time_micros: int = 1_000, **fields: object
    ) -> object:
        event = event_pb2.Event(event_id=event_id, user_id=user_id, item_id=item_id, type=3, **fields)  # type: ignore[arg-type]
        event.event_time.FromMicroseconds(time_micros)
        return event

    return make  # type: ignore[return-value]


@pytest.fixture
def make_item() -> Callable[..., NewItem]:
    def make(item_id: str, title: str = "", vector: bytes = b"", encoder: str = "") -> NewItem:
        return NewItem(item_pb2.Item(item_id=item_id, title=title or f"title of {item_id}"), vector, encoder)

    return make


@pytest.fixture
def make_release() -> Callable[..., ReleaseRecord]:
    def make(release: int, state: ReleaseState = ReleaseState.CANDIDATE, manifest: str = "{}") -> ReleaseRecord:
        return ReleaseRecord(release, state, "", f"releases/{release}", release - 1, 1_000, 0.0, manifest)

    return make

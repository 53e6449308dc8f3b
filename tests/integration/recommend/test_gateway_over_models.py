"""A whole gateway over a real Triton with a real release: items and feedback go in, slates come out, Triton goes away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from recency.v1 import (
    catalog_pb2,
    catalog_pb2_grpc,
    event_pb2,
    recommendation_pb2,
    recommendation_pb2_grpc,
)
from recency_features.text import item_text
from recency_server.config import Bound, GatewayConfig
from recency_server.gateway import serve
from recency_server.parts import RecommendConfig

# The first test that needs the shop waits for it: a release is trained and loaded.
pytestmark = pytest.mark.timeout(400)

STUBS: Any = (recommendation_pb2_grpc, catalog_pb2_grpc)
NEW = {"item_id": "new-book", "title": "Chess for masters", "text": "A book about chess, written for masters."}


class Line:
    """The way to Triton, which can be cut."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._writers: list[asyncio.StreamWriter] = []
        self._cut = False

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._cut:
            writer.close()
            return
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        self._writers += [writer, far_writer]
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))

    def cut(self) -> None:
        self._cut = True
        for writer in self._writers:
            writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


@dataclass
class Running:
    recommendations: Any
    catalog: Any
    line: Line

    async def recommend(self, **fields: Any) -> recommendation_pb2.RecommendResponse:
        answer: recommendation_pb2.RecommendResponse = await self.recommendations.Recommend(
            recommendation_pb2.RecommendRequest(**fields), timeout=10
        )
        return answer

    async def upsert(self, *items: Any) -> catalog_pb2.UpsertItemsResponse:
        answer: catalog_pb2.UpsertItemsResponse = await self.catalog.UpsertItems(
            catalog_pb2.UpsertItemsRequest(items=items)
        )
        return answer


@pytest.fixture
async def running(shop: Any) -> AsyncIterator[Running]:
    """A gateway over the shop; what a test adds to the catalogue is taken out again."""
    host, _, port = shop.triton.target.rpartition(":")
    line = Line(host, int(port))
    server = await asyncio.start_server(line.connect, "127.0.0.1", 0)
    triton = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    config = GatewayConfig(RecommendConfig(gateway_id="over-models"), "127.0.0.1:0", "127.0.0.1:0", triton)
    stop = asyncio.Event()
    ready: asyncio.Future[Bound] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve(config, shop.store, _now, stop=stop, ready=ready.set_result))
        bound = await ready
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{bound.grpc_port}") as channel:
                recommendations, catalog = STUBS
                yield Running(
                    recommendations.RecommendationServiceStub(channel), catalog.CatalogServiceStub(channel), line
                )
        finally:
            stop.set()
            shop.store.delete_items([NEW["item_id"]], _now())
            line.cut()
            server.close()


def _now() -> int:
    return time.time_ns() // 1_000


def ids(answer: recommendation_pb2.RecommendResponse) -> list[str]:
    return [placed.item_id for placed in answer.recommendations]


@pytest.mark.promise(2)
async def test_an_item_is_found_by_words_as_soon_as_its_upsert_answers(running: Running, shop: Any) -> None:
    token = (await running.upsert(NEW)).consistency_token
    answer = await running.recommend(
        user_id="nobody", query="books about chess", query_weight=1.0, page_size=7, consistency_token=[token]
    )
    assert not answer.degraded_reason
    assert NEW["item_id"] in ids(answer)
    assert answer.freshness.release == 1
    stored = shop.store.get_items([NEW["item_id"]])[NEW["item_id"]]
    assert stored.text_vector
    assert stored.text_encoder


async def test_a_text_that_has_not_changed_is_not_encoded_again(running: Running, shop: Any) -> None:
    await running.upsert(NEW)
    before = shop.store.get_items([NEW["item_id"]])[NEW["item_id"]]
    running.line.cut()
    # Without Triton this can only work where nothing has to be encoded.
    answer = await running.upsert({**NEW, "provider": "shop"})
    assert answer.updated == 1
    after = shop.store.get_items([NEW["item_id"]])[NEW["item_id"]]
    assert after.item().provider == "shop"
    assert item_text(after.item()) == item_text(before.item())
    assert (after.text_vector, after.text_encoder) == (before.text_vector, before.text_encoder)


@pytest.mark.promise(4)
async def test_with_triton_away_recommend_answers_and_an_upsert_stores_nothing(running: Running, shop: Any) -> None:
    assert not (await running.recommend(user_id="reader-1", page_size=5)).degraded
    running.line.cut()
    answer = await running.recommend(user_id="reader-1", page_size=5)
    assert len(answer.recommendations) == 5
    assert answer.degraded
    before = shop.store.last_sequence()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await running.upsert(NEW)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "nothing was stored" in (refused.value.details() or "")
    assert shop.store.last_sequence() == before


async def test_a_click_moves_the_slate_and_every_place_has_a_probability(running: Running) -> None:
    before = await running.recommend(user_id="new-reader", page_size=5)
    event = event_pb2.Event(
        event_id=f"new-reader/{_now()}", user_id="new-reader", item_id="book-6-2", type=event_pb2.EVENT_TYPE_CLICK
    )
    token = (await running.recommendations.Feedback(event_pb2.FeedbackRequest(events=[event]))).consistency_token
    after = await running.recommend(
        user_id="new-reader", page_size=5, consistency_token=[token], strict_consistency=True, include_seen=False
    )
    assert after.freshness.events_used == 1
    assert ids(after) != ids(before)
    assert "book-6-2" not in ids(after)
    assert all(0.0 <= placed.probability <= 1.0 and placed.HasField("probability") for placed in after.recommendations)

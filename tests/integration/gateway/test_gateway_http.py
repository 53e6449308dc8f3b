"""The HTTP side: metrics, liveness, readiness."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from recency_store.errors import StoreUnavailable


async def fetch(gateway: Any, path: str) -> tuple[int, str]:
    url = f"http://127.0.0.1:{gateway.bound.http_port}{path}"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


async def test_metrics_count_what_happened(gateway: Any, click: Any, refused: Any) -> None:
    await gateway.upsert({"item_id": "i-1"})
    await gateway.feedback(click("a"))
    await gateway.recommend(user_id="u")
    await refused(gateway.recommend(page_size=-1))
    status, body = await fetch(gateway, "/metrics")
    assert status == 200
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    }
    recommend = ("method", "RecommendationService/Recommend")
    assert samples["recency_requests_total", ("code", "OK"), recommend] == 1
    assert samples["recency_requests_total", ("code", "INVALID_ARGUMENT"), recommend] == 1
    assert samples["recency_request_seconds_count", recommend] == 2
    assert samples["recency_answers_total",] == 1
    assert samples["recency_degraded_answers_total", ("cause", "model")] == 1
    assert samples["recency_release",] == 0
    assert samples["recency_follower_lag",] == 0
    assert ("recency_age_seconds", ("what", "catalog")) in samples
    assert samples["recency_running_calls", ("kind", "recommend")] == 0


async def test_a_gateway_is_alive_and_ready_without_a_release(gateway: Any) -> None:
    assert (await fetch(gateway, "/healthz"))[0] == 200
    assert (await fetch(gateway, "/readyz"))[0] == 200
    assert (await fetch(gateway, "/nothing"))[0] == 404


async def test_a_gateway_whose_store_is_away_lives_and_is_not_ready(
    gateway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> int:
        raise StoreUnavailable("the disk is full")

    monkeypatch.setattr(gateway.store, "last_sequence", away)
    assert (await fetch(gateway, "/healthz"))[0] == 200
    status, body = await fetch(gateway, "/readyz")
    assert status == 503
    assert "the disk is full" in body
    assert (await fetch(gateway, "/metrics"))[0] == 200

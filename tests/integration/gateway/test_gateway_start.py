"""What starting a gateway takes."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from recency_server.config import GatewayConfig
from recency_server.parts import RecommendConfig
from recency_store.errors import StoreUnavailable


def test_the_gateway_loads_neither_torch_nor_transformers() -> None:
    script = "import json, sys; import recency_server.gateway; print(json.dumps(sorted(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert not {"torch", "transformers", "onnxruntime", "pyarrow"} & set(json.loads(loaded))


@pytest.mark.promise(4)
async def test_a_recommend_is_answered_before_there_is_any_release_item_or_triton(gateway: Any) -> None:
    answer = await gateway.recommend(user_id="nobody", page_size=5)
    assert answer.recommendation_id
    assert answer.degraded
    assert answer.degraded_reason
    assert answer.freshness.release == 0


@pytest.mark.promise(4)
async def test_a_recommend_is_answered_while_the_store_is_away(
    gateway: Any, click: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await gateway.upsert(*({"item_id": f"i-{n}"} for n in range(5)))
    token = (await gateway.feedback(click("a"))).consistency_token

    def away(*_: Any) -> Any:
        raise StoreUnavailable("the disk is full")

    for method in ("last_sequence", "read_user", "changes", "get_items"):
        monkeypatch.setattr(gateway.store, method, away)
    answer = await gateway.recommend(user_id="v", page_size=3, consistency_token=[token])
    assert len(answer.recommendations) == 3
    assert answer.degraded


def test_a_configuration_out_of_range_is_refused_by_name() -> None:
    cases: dict[str, Any] = {"write_calls": 0, "drain_seconds": -1.0, "slow_seconds": float("nan"), "log_level": "x"}
    for name, value in cases.items():
        wrong: dict[str, Any] = {name: value}
        with pytest.raises(ValueError, match=name):
            GatewayConfig(RecommendConfig(gateway_id="g"), **wrong)

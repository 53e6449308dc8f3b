"""A store in memory, a small release folder, and an inference that answers by script: it may fail, delay or lie."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from recency.v1 import event_pb2, item_pb2
from recency_features.golden import GoldenCase, write_golden
from recency_features.spaces import write_spaces
from recency_features.spec import PAD, RECOMMENDER, SCORER, TEXT_ENCODER, TREND_HALF_LIVES_SECONDS
from recency_features.trends import Trends
from recency_inference.client import Input, RawTensor
from recency_server.adopt import ReleaseConfig
from recency_server.follow import FollowConfig
from recency_server.parts import Parts, RecommendConfig, open_parts
from recency_store.manifest import Manifest, file_entry
from recency_store.memory import MemoryStore
from recency_store.records import NewItem, ReleaseRecord, ReleaseState

SECOND = 1_000_000
NOW = 1_700_000_000 * SECOND
ITEMS = tuple(f"item-{number:03}" for number in range(150))
DIM, LEARNED, TEXT_DIM, LIMIT = 6, 2, 4, 8
DIGEST = "encoder-1"


def script_scores(count: int) -> npt.NDArray[np.float32]:
    """The logit of each index, best first: 4.0, 3.9, …"""
    return (4.0 - 0.1 * np.arange(count)).astype(np.float32)


def array(value: Input) -> npt.NDArray[Any]:
    """A sent tensor, read back."""
    if isinstance(value, RawTensor):
        dtype = {"FP32": "<f4", "INT32": "<i4", "INT64": "<i8"}[value.datatype]
        return np.frombuffer(value.data, dtype).reshape(value.shape)
    return value


@dataclass
class ScriptedInference:
    """Gives every row the same script of logits, masked as it is told."""

    target: str = "scripted"
    error: Exception | None = None
    delay_seconds: float = 0.0
    lie: float = 0.0
    not_ready: bool = False
    # Whether live biases move the script's logits; else they only hide.
    adds_bias: bool = False
    # Of one version of the recommender and scorer alone.
    errors: dict[int, Exception] = field(default_factory=dict)
    delays_seconds: dict[int, float] = field(default_factory=dict)
    calls: list[tuple[str, int, dict[str, npt.NDArray[Any]]]] = field(default_factory=list)

    async def ready(self, model: str, version: int, timeout_seconds: float = 1.0) -> bool:
        return not self.not_ready

    async def infer(
        self, model: str, version: int, inputs: Mapping[str, Input], outputs: Sequence[str], timeout_seconds: float
    ) -> dict[str, npt.NDArray[Any]]:
        read = {name: array(value) for name, value in inputs.items()}
        self.calls.append((model, version, read))
        if self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
        if self.error is not None:
            raise self.error
        if model != TEXT_ENCODER:
            await asyncio.sleep(self.delays_seconds.get(version, 0.0))
            if version in self.errors:
                raise self.errors[version]
        if model == TEXT_ENCODER:
            return {"text_vector": np.eye(TEXT_DIM, dtype=np.float32)[read["input_ids"][:, 0] % TEXT_DIM]}
        scores = script_scores(len(read["item_bias"])) + self.lie
        scores[~np.isfinite(read["item_bias"])] = -np.inf
        if self.adds_bias:
            scores += read["item_bias"]
        if model == SCORER:
            named = read["candidate_ids"]
            return {"logits": np.where(named == PAD, -np.inf, scores[named]).astype(np.float32)}
        k = int(read["k"][0])
        ids = np.full((len(read["exclude_ids"]), k), PAD, dtype=np.int32)
        logits = np.full(ids.shape, -np.inf, dtype=np.float32)
        for row, exclude in enumerate(read["exclude_ids"]):
            mine = scores.copy()
            mine[exclude[exclude != PAD]] = -np.inf
            best = np.argsort(-mine, kind="stable")[:k]
            best = best[np.isfinite(mine[best])]
            ids[row, : len(best)], logits[row, : len(best)] = best, mine[best]
        return {"item_ids": ids, "logits": logits}

    def of(self, model: str) -> list[dict[str, npt.NDArray[Any]]]:
        """The inputs of every call of a model."""
        return [inputs for name, _, inputs in self.calls if name == model]


def write_release(folder: Path, number: int = 1, item_ids: Sequence[str] = ITEMS, **changes: Any) -> Manifest:
    """A release folder whose golden case agrees with the script."""
    folder.mkdir(parents=True)
    count = len(item_ids)
    random = np.random.default_rng(7)
    (folder / "item_ids.json").write_text(json.dumps(list(item_ids)))
    (folder / "items.bin").write_bytes(random.normal(size=(count, DIM)).astype("<f4").tobytes())
    np.save(folder / "projection.npy", random.normal(size=(TEXT_DIM, DIM)).astype(np.float32))
    words = {"[UNK]": 0, "funny": 1, "sad": 2, "robots": 3}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "trends.npz").write_bytes(changes.pop("trends", Trends().to_bytes()))
    write_spaces(folder, changes.pop("spaces", ()))
    scores = [float(score) for score in script_scores(count + 1)]
    case = GoldenCase(
        history=((item_ids[0], event_pb2.EVENT_TYPE_CLICK, 60.0),),
        exclude_item_ids=(item_ids[0],),
        steer=(),
        expected_item_ids=tuple(item_ids[1:6]),
        expected_logits=tuple(scores[1:6]),
        candidate_item_ids=(item_ids[3], item_ids[1]),
        expected_candidate_logits=(scores[3], scores[1]),
    )
    write_golden(folder / "golden.json", [case])
    settings: dict[str, Any] = {
        "release": number,
        "parent": 0,
        "trained_through_sequence": 0,
        "trained_through_micros": NOW - 3600 * SECOND,
        "catalog_sequence": 0,
        "item_count": count,
        "event_count": 0,
        "dim": DIM,
        "learned_dim": LEARNED,
        "text_dim": TEXT_DIM,
        "history_length": LIMIT,
        "trend_half_lives_seconds": TREND_HALF_LIVES_SECONDS,
        "user_feature_dim": 16,
        "model_versions": {RECOMMENDER: number, SCORER: number, TEXT_ENCODER: 1},
        "text_encoder_digest": DIGEST,
        "query_scale": 1.0,
        "trend_bias_weight": 0.5,
        "repeat_share": 0.0,
    }
    files = {path.name: file_entry(path) for path in sorted(folder.iterdir())}
    manifest = Manifest(**{**settings, **changes}, files=files)
    (folder / "manifest.json").write_text(manifest.to_json())
    return manifest


def activate(store: MemoryStore, folder: Path, manifest: Manifest) -> None:
    """Registers a release and makes it the active one."""
    number = manifest.release
    store.put_release(ReleaseRecord(number, ReleaseState.CANDIDATE, "", str(folder), 0, NOW - 1800 * SECOND))
    store.set_release_state(number, ReleaseState.ACTIVE)


def place(
    store: MemoryStore, folder: Path, number: int, state: ReleaseState, fraction: float = 0.0, **changes: Any
) -> None:
    """Writes a release in a folder of its own, registers it and moves it to a state."""
    manifest = write_release(folder / str(number), number, **changes)
    record = ReleaseRecord(number, ReleaseState.CANDIDATE, "", str(folder / str(number)), 0, NOW - 1800 * SECOND)
    store.put_release(replace(record, manifest_json=manifest.to_json()))
    store.set_release_state(number, state, canary_fraction=fraction)


def new_item(item_id: str, title: str = "", **fields: Any) -> NewItem:
    return NewItem(item_pb2.Item(item_id=item_id, title=title or item_id, **fields))


def new_event(
    user_id: str, item_id: str, number: int, age_seconds: float = 0.0, event_type: int = 3
) -> event_pb2.Event:
    """A click, unless told otherwise."""
    event = event_pb2.Event(event_id=f"{user_id}/{number}", user_id=user_id, item_id=item_id, type=event_type)  # type: ignore[arg-type]
    event.event_time.FromMicroseconds(NOW - int(age_seconds * SECOND))
    return event


@pytest.fixture
def store() -> MemoryStore:
    """A store with 150 items and no event."""
    store = MemoryStore()
    store.upsert_items([new_item(item_id) for item_id in ITEMS], NOW - 7200 * SECOND)
    return store


@pytest.fixture
def inference() -> ScriptedInference:
    return ScriptedInference()


@pytest.fixture
def live_release(store: MemoryStore, tmp_path: Path) -> Manifest:
    """Release 1, active in the store."""
    manifest = write_release(tmp_path / "1")
    activate(store, tmp_path / "1", manifest)
    return manifest


Open = Callable[..., AbstractAsyncContextManager[Parts]]


@pytest.fixture
def opened(store: MemoryStore, inference: ScriptedInference) -> Open:
    """Opens the parts over the store and the script, with short intervals."""

    @asynccontextmanager
    async def open_them(**changes: Any) -> AsyncIterator[Parts]:
        config = RecommendConfig(
            gateway_id=changes.pop("gateway_id", "gateway-1"),
            releases=ReleaseConfig(poll_seconds=0.02, refused_seconds=0.5, trend_seconds=0.05),
            follow=FollowConfig(poll_seconds=0.01),
            **changes,
        )
        async with open_parts(config, store, inference, lambda: NOW) as parts:  # type: ignore[arg-type]
            yield parts

    return open_them


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Waits for something that the background does."""
    stop = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < stop, "did not happen in time"
        await asyncio.sleep(0.01)

"""Example requests for a release's models: what the agent warms with, and what benches send."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recency.v1 import event_pb2
from recency_features import spec
from recency_store.manifest import Manifest

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Sizes:
    """The free dimensions of an example: excluded ids, candidates, own-count ids, fresh items, and k."""

    excluded: int = 16
    candidates: int = 100
    own_counts: int = 1
    fresh: int = 1
    k: int = spec.K_BUCKETS[0]


def example_inputs(
    model: str, manifest: Manifest, batch: int, rng: np.random.Generator, sizes: Sizes | None = None
) -> Arrays:
    """Inputs of `recommender` or `scorer` for a batch: random histories over the release's items, no steer, and an
    overlay that changes nothing (its fresh rows are unused ones)."""
    sizes = sizes or Sizes()
    length, items = manifest.history_length, manifest.item_count
    history_length_B = rng.integers(1, length, batch, endpoint=True).astype(np.int32)
    real_BL = np.arange(length) >= length - history_length_B[:, None]
    ids_BL = rng.integers(0, max(1, items), (batch, length), dtype=np.int32)
    ages_BL = np.sort(rng.exponential(86_400.0, (batch, length)).astype(np.float32), axis=1)[:, ::-1]
    arrays: Arrays = {
        "history_ids": np.where(real_BL, ids_BL, np.int32(spec.PAD)),
        "history_types": np.where(real_BL, np.int32(event_pb2.EVENT_TYPE_CLICK), np.int32(0)),
        "history_ages_seconds": np.where(real_BL, ages_BL, np.float32(0)),
        "history_length": history_length_B,
        "steer": np.zeros((batch, manifest.dim), np.float32),
        "user_features": np.zeros((batch, manifest.user_feature_dim), np.float32),
        "own_count_ids": np.full((batch, sizes.own_counts), spec.PAD, np.int32),
        "own_counts": np.zeros((batch, sizes.own_counts), np.float32),
        **quiet_overlay(manifest, sizes.fresh),
    }
    if model == spec.RECOMMENDER:
        arrays["exclude_ids"] = rng.integers(0, max(1, items), (batch, sizes.excluded), dtype=np.int32)
        arrays["k"] = np.array([min(sizes.k, items + sizes.fresh)], np.int64)
    else:
        arrays["candidate_ids"] = rng.integers(0, max(1, items), (batch, sizes.candidates), dtype=np.int32)
    return arrays


def quiet_overlay(manifest: Manifest, fresh: int = 1) -> Arrays:
    """The overlay of nothing newer than the release: no bias, no trend, unused fresh rows hidden."""
    rows = manifest.item_count + fresh
    bias = np.zeros(rows, np.float32)
    bias[manifest.item_count :] = -np.inf
    return {
        "item_bias": bias,
        "item_trend": np.zeros((rows, manifest.trend_width), np.float32),
        "fresh_vectors": np.zeros((fresh, manifest.dim), np.float32),
    }


def example_tokens(batch: int, width: int) -> Arrays:
    """Inputs of `text_encoder`: texts of `width` tokens (id 0 is in every vocabulary)."""
    return {
        "input_ids": np.zeros((batch, width), np.int64),
        "attention_mask": np.ones((batch, width), np.int64),
    }


def warm_requests(model: str, manifest: Manifest, rng: np.random.Generator) -> list[Arrays]:
    """One request for each batch bucket; of `text_encoder` short ones, and one text of each longer bucket."""
    if model == spec.TEXT_ENCODER:
        shortest, *longer = spec.TOKEN_BUCKETS
        return [example_tokens(batch, shortest) for batch in spec.BATCH_BUCKETS] + [
            example_tokens(1, width) for width in longer
        ]
    return [example_inputs(model, manifest, batch, rng) for batch in spec.BATCH_BUCKETS]

"""Golden cases: made-up histories over the release's items, answered by torch. No real user's events are in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from recency.v1 import event_pb2
from recency_export.parity import Arrays, torch_recommend, torch_score
from recency_export.serving import Serving
from recency_features.golden import GoldenCase
from recency_features.history import Interaction, history_arrays, own_counts, pad_ids, stack_histories
from recency_features.overlay import HIDDEN
from recency_features.spec import USER_FEATURE_DIM

_LENGTHS = (0, 1, 2, 5, 12, 30, 50, 64)
_SHOWN = 20
_NOW_MICROS = 10**15


def golden_cases(
    serving: Serving, item_ids: Sequence[str], trend_NT: npt.NDArray[np.float32], limit: int, seed: int
) -> list[GoldenCase]:
    """One case for each length of history, every third one steered, with exclusions and named candidates."""
    rng = np.random.default_rng((seed, 7))
    dim = serving.items.shape[1]
    cases = []
    for number, length in enumerate(_LENGTHS):
        ages = np.sort(np.round(rng.exponential(50_000.0, length)))[::-1]
        picked = rng.integers(0, len(item_ids), length).tolist()
        kind = (event_pb2.EVENT_TYPE_CLICK, event_pb2.EVENT_TYPE_RATING, event_pb2.EVENT_TYPE_VIEW)[number % 3]
        history = tuple((item_ids[row], int(kind), float(age)) for row, age in zip(picked, ages, strict=True))
        steer = rng.normal(0, 0.05, dim).astype(np.float32) if number % 3 == 1 else np.zeros(0, dtype=np.float32)
        excluded = _some(item_ids, rng, len(item_ids) // 4)
        named = _some(item_ids, rng, len(item_ids))
        request = golden_request(history, excluded, steer, named, item_ids, trend_NT, dim, limit)
        ids, logits = torch_recommend(serving, request)
        shown = ids[0] >= 0
        cases.append(
            GoldenCase(
                history=history,
                exclude_item_ids=excluded,
                steer=tuple(float(x) for x in steer),
                expected_item_ids=tuple(item_ids[row] for row in ids[0][shown][:_SHOWN]),
                expected_logits=tuple(float(x) for x in logits[0][shown][:_SHOWN]),
                candidate_item_ids=named,
                expected_candidate_logits=tuple(float(x) for x in torch_score(serving, request)[0, : len(named)]),
            )
        )
    return cases


def _some(item_ids: Sequence[str], rng: np.random.Generator, most: int) -> tuple[str, ...]:
    return tuple(item_ids[row] for row in rng.choice(len(item_ids), min(10, most), replace=False))


def golden_request(
    history: Sequence[tuple[str, int, float]],
    excluded: Sequence[str],
    steer: npt.NDArray[np.float32],
    named: Sequence[str],
    item_ids: Sequence[str],
    trend_NT: npt.NDArray[np.float32],
    dim: int,
    limit: int,
) -> Arrays:
    """A golden case as the models' inputs: empty overlay, trends as the release knows them, own counts of the history."""
    index_of = {item_id: row for row, item_id in enumerate(item_ids)}
    interactions = [Interaction(name, kind, _NOW_MICROS - round(age * 1_000_000)) for name, kind, age in history]
    batch = stack_histories([history_arrays(interactions, index_of, _NOW_MICROS, limit)], 1, limit)
    counts = {index_of[name]: count for name, count in own_counts(interactions).items()}
    count_ids = pad_ids([list(counts)], 1)
    count_values = np.zeros(count_ids.shape, dtype=np.float32)
    count_values[0, : len(counts)] = list(counts.values())
    bias = np.append(np.zeros(len(item_ids)), HIDDEN).astype(np.float32)
    return {
        "history_ids": batch.ids,
        "history_types": batch.types,
        "history_ages_seconds": batch.ages_seconds,
        "history_length": batch.length,
        "steer": steer.reshape(1, -1) if len(steer) else np.zeros((1, dim), dtype=np.float32),
        "user_features": np.zeros((1, USER_FEATURE_DIM), dtype=np.float32),
        "own_count_ids": count_ids,
        "own_counts": count_values,
        "exclude_ids": pad_ids([[index_of[name] for name in excluded]], 1),
        "candidate_ids": pad_ids([[index_of[name] for name in named]], 1),
        "item_bias": bias,
        "item_trend": np.concatenate([trend_NT, np.zeros((1, trend_NT.shape[1]), dtype=np.float32)]),
        "fresh_vectors": np.zeros((1, dim), dtype=np.float32),
        "k": np.array([min(100, len(item_ids))], dtype=np.int64),
    }

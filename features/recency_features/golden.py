"""Golden cases travel in every release: synthetic raw histories with the outputs that torch gave. Whoever adopts the release
replays them through its own code and the real Triton first, so a skew is a refused release with a reason.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recency_features.history import (
    MICROS_PER_SECOND,
    Interaction,
    history_arrays,
    own_counts,
    pad_ids,
    stack_histories,
)
from recency_features.overlay import HIDDEN
from recency_features.spec import K_BUCKETS, USER_FEATURE_DIM

# How far a served logit may be from torch's.
TOLERANCE = 2e-3
# The time of a golden request; its history lies before it.
_NOW_MICROS = 10**15

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class GoldenCase:
    """One request and its answer. Times are ages in seconds before the request; the overlay is empty (no bias, no fresh
    item) and trends are those of the release's `trends.npz` at trained-through time.

    history              (item id, event type, age in seconds), oldest first
    exclude_item_ids     masked in the recommender
    steer                [D] or empty for none
    expected_item_ids    the recommender's first items, best first, with expected_logits
    candidate_item_ids   for the scorer, with expected_candidate_logits
    """

    history: tuple[tuple[str, int, float], ...]
    exclude_item_ids: tuple[str, ...]
    steer: tuple[float, ...]
    expected_item_ids: tuple[str, ...]
    expected_logits: tuple[float, ...]
    candidate_item_ids: tuple[str, ...]
    expected_candidate_logits: tuple[float, ...]


def write_golden(path: Path, cases: list[GoldenCase]) -> None:
    """Writes the cases as JSON."""
    path.write_text(json.dumps([asdict(case) for case in cases], indent=1), encoding="utf-8")


def read_golden(path: Path) -> list[GoldenCase]:
    """Reads what `write_golden` wrote."""
    cases = json.loads(path.read_text(encoding="utf-8"))
    return [
        GoldenCase(
            history=tuple((str(i), int(t), float(a)) for i, t, a in case["history"]),
            exclude_item_ids=tuple(case["exclude_item_ids"]),
            steer=tuple(case["steer"]),
            expected_item_ids=tuple(case["expected_item_ids"]),
            expected_logits=tuple(case["expected_logits"]),
            candidate_item_ids=tuple(case["candidate_item_ids"]),
            expected_candidate_logits=tuple(case["expected_candidate_logits"]),
        )
        for case in cases
    ]


def golden_request(
    case: GoldenCase, item_ids: Sequence[str], trend_NT: Floats, dim: int, limit: int
) -> dict[str, npt.NDArray[Any]]:
    """A case as the inputs of both models, a batch of one: empty overlay, trends as the release knows them, own counts of
    the history."""
    index_of = {item_id: row for row, item_id in enumerate(item_ids)}
    interactions = [
        Interaction(name, kind, _NOW_MICROS - round(age * MICROS_PER_SECOND)) for name, kind, age in case.history
    ]
    batch = stack_histories([history_arrays(interactions, index_of, _NOW_MICROS, limit)], 1, limit)
    counts = {index_of[name]: count for name, count in own_counts(interactions).items()}
    count_ids = pad_ids([list(counts)], 1)
    count_values = np.zeros(count_ids.shape, dtype=np.float32)
    count_values[0, : len(counts)] = list(counts.values())
    steer = np.array(case.steer, dtype=np.float32) if case.steer else np.zeros(dim, dtype=np.float32)
    return {
        "history_ids": batch.ids,
        "history_types": batch.types,
        "history_ages_seconds": batch.ages_seconds,
        "history_length": batch.length,
        "steer": steer.reshape(1, -1),
        "user_features": np.zeros((1, USER_FEATURE_DIM), dtype=np.float32),
        "own_count_ids": count_ids,
        "own_counts": count_values,
        "exclude_ids": pad_ids([[index_of[name] for name in case.exclude_item_ids]], 1),
        "candidate_ids": pad_ids([[index_of[name] for name in case.candidate_item_ids]], 1),
        "item_bias": np.append(np.zeros(len(item_ids)), HIDDEN).astype(np.float32),
        "item_trend": np.concatenate([trend_NT, np.zeros((1, trend_NT.shape[1]), dtype=np.float32)]),
        "fresh_vectors": np.zeros((1, dim), dtype=np.float32),
        "k": np.array([min(K_BUCKETS[0], len(item_ids))], dtype=np.int64),
    }


def disagreement(
    case: GoldenCase,
    item_ids: Sequence[str],
    found_ids_k: npt.NDArray[np.int32],
    found_logits_k: Floats,
    candidate_logits_C: Floats,
) -> str:
    """How what both models answered a case differs from what torch did; empty where it does not."""
    expected = dict(zip(case.expected_item_ids, case.expected_logits, strict=True))
    count, named = len(case.expected_item_ids), len(case.candidate_item_ids)
    if off := _apart("recommender", found_logits_k[:count], case.expected_logits):
        return off
    for index, logit in zip(found_ids_k[:count].tolist(), found_logits_k.tolist(), strict=False):
        if not 0 <= index < len(item_ids):
            return f"recommender: item number {index} is not one of the release's {len(item_ids)}"
        # Two items whose logits are as good as equal may change places at the end of the list.
        if not abs(logit - expected.get(item_ids[index], case.expected_logits[-1])) <= TOLERANCE:
            return (
                f"recommender: item {item_ids[index]} has logit {logit:.4f} here, {expected.get(item_ids[index])} there"
            )
    return _apart("scorer", candidate_logits_C[:named], case.expected_candidate_logits)


def _apart(model: str, here: Floats, expected: Sequence[float]) -> str:
    there = np.array(expected)
    if here.shape != there.shape:
        return f"{model}: {len(here)} logits here, {len(there)} there"
    with np.errstate(invalid="ignore"):
        # Both may say -inf of what is masked.
        off = np.where(here == there, 0.0, np.abs(here - there))
    if (off <= TOLERANCE).all():
        return ""
    return f"{model}: logits differ from the exporter's by up to {np.max(off):.4f} (allowed {TOLERANCE})"

"""Replays a release's golden cases through the gateway's own code and the real Triton, before the release serves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recency_features.golden import GoldenCase, disagreement
from recency_features.history import MICROS_PER_SECOND, Interaction, own_counts
from recency_features.overlay import HIDDEN
from recency_features.spec import K_BUCKETS, RECOMMENDER, SCORER
from recency_inference.client import Inference, Input, RawTensor
from recency_server.batching import BatchConfig
from recency_server.errors import ReleaseRefused
from recency_server.release import Release
from recency_server.stacking import Row, fill
from recency_server.users import Behaviour, make_rows

# Cases in one call.
_CASES = 8
_TIMEOUT_SECONDS = 30.0
# The time of a golden request; its history lies before it.
_NOW = 1_000_000_000 * MICROS_PER_SECOND


async def replay_golden(release: Release, cases: Sequence[GoldenCase], inference: Inference) -> None:
    """All cases agree, or ReleaseRefused names the first that does not."""
    for start in range(0, len(cases), _CASES):
        await _replay(release, cases[start : start + _CASES], start, inference)


async def _replay(release: Release, cases: Sequence[GoldenCase], start: int, inference: Inference) -> None:
    versions = release.manifest.model_versions
    retrieved = await inference.infer(
        RECOMMENDER,
        versions[RECOMMENDER],
        _inputs(RECOMMENDER, release, cases),
        ("item_ids", "logits"),
        _TIMEOUT_SECONDS,
    )
    scored = await inference.infer(
        SCORER, versions[SCORER], _inputs(SCORER, release, cases), ("logits",), _TIMEOUT_SECONDS
    )
    for b, case in enumerate(cases):
        off = disagreement(
            case, release.item_ids, retrieved["item_ids"][b], retrieved["logits"][b], scored["logits"][b]
        )
        if off:
            raise ReleaseRefused(
                f"release {release.number}, golden case {start + b}, {off}; "
                "export and serving disagree, publish the release again with this version of the software"
            )


def _inputs(model: str, release: Release, cases: Sequence[GoldenCase]) -> dict[str, Input]:
    rows = [_row(model, release, case) for case in cases]
    inputs = {**fill(model, rows, BatchConfig().own_counts), **_empty_overlay(release)}
    if model == RECOMMENDER:
        inputs["k"] = np.array([min(K_BUCKETS[0], release.item_count)], dtype=np.int64)
    return inputs


def _row(model: str, release: Release, case: GoldenCase) -> Row:
    interactions = [
        Interaction(item_id, event_type, _NOW - round(age * MICROS_PER_SECOND))
        for item_id, event_type, age in case.history
    ]
    behaviour = Behaviour(interactions, own_counts(interactions), set())
    named = case.exclude_item_ids if model == RECOMMENDER else case.candidate_item_ids
    return Row(
        release=release,
        user=make_rows(behaviour, release),
        as_of_micros=_NOW,
        ids=np.array([release.index_of[item_id] for item_id in named], dtype=np.int32),
        steer_D=np.array(case.steer, dtype=np.float32) if case.steer else None,
        k=K_BUCKETS[0],
    )


def _empty_overlay(release: Release) -> dict[str, RawTensor]:
    bias = np.zeros(release.item_count + 1, dtype=np.float32)
    bias[-1] = HIDDEN
    return {
        "item_bias": RawTensor.of(bias),
        "item_trend": RawTensor.of(release.trained_trend()),
        "fresh_vectors": RawTensor.of(np.zeros((1, release.manifest.dim), dtype=np.float32)),
    }

"""Made-up histories over a release's items, with what its models answer. No real user's events are in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from recency.v1 import event_pb2
from recency_export.onnx_session import Arrays
from recency_features.golden import GoldenCase, golden_request

_LENGTHS = (0, 1, 2, 5, 12, 30, 50, 64)
_SHOWN = 20

# A request → the recommender's ids and logits, and the scorer's logits, each a batch of one.
Answer = Callable[[Arrays], tuple[npt.NDArray[np.int32], npt.NDArray[np.float32], npt.NDArray[np.float32]]]


def made_up_cases(
    answer: Answer, item_ids: Sequence[str], trend_NT: npt.NDArray[np.float32], dim: int, limit: int, seed: int
) -> list[GoldenCase]:
    """One case for each length of history, every third one steered, with exclusions and named candidates."""
    rng = np.random.default_rng((seed, 7))
    cases = []
    for number, length in enumerate(_LENGTHS):
        ages = np.sort(np.round(rng.exponential(50_000.0, length)))[::-1]
        picked = rng.integers(0, len(item_ids), length).tolist()
        kind = (event_pb2.EVENT_TYPE_CLICK, event_pb2.EVENT_TYPE_RATING, event_pb2.EVENT_TYPE_VIEW)[number % 3]
        history = tuple((item_ids[row], int(kind), float(age)) for row, age in zip(picked, ages, strict=True))
        steer = rng.normal(0, 0.05, dim).astype(np.float32) if number % 3 == 1 else np.zeros(0, dtype=np.float32)
        excluded = _some(item_ids, rng, len(item_ids) // 4)
        named = _some(item_ids, rng, len(item_ids))
        case = GoldenCase(history, excluded, tuple(float(x) for x in steer), (), (), named, ())
        ids, logits, scored = answer(golden_request(case, item_ids, trend_NT, dim, limit))
        shown = ids[0] >= 0
        cases.append(
            replace(
                case,
                expected_item_ids=tuple(item_ids[row] for row in ids[0][shown][:_SHOWN]),
                expected_logits=tuple(float(x) for x in logits[0][shown][:_SHOWN]),
                expected_candidate_logits=tuple(float(x) for x in scored[0, : len(named)]),
            )
        )
    return cases


def _some(item_ids: Sequence[str], rng: np.random.Generator, most: int) -> tuple[str, ...]:
    return tuple(item_ids[row] for row in rng.choice(len(item_ids), min(10, most), replace=False))

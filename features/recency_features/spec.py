"""The tensors between gateway and Triton: names, types, shapes. One table; the ONNX exporter, `config.pbtxt` (a test) and
the gateway's batches follow it.

Legend of dimensions: B requests in the batch, L history positions, E excluded ids, C candidates, K own-count ids,
N items of the release, R fresh items (R >= 1), T columns of trends, U user features, D item vector width, S tokens.
Ids are rows of the release's item matrix; ids N..N+R-1 are fresh items. History rows are padded in front, so that the
newest event is at L-1; padding is id -1, and `history_length` counts the real positions.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

RECOMMENDER = "recommender"
SCORER = "scorer"
TEXT_ENCODER = "text_encoder"

HISTORY_LENGTH = 50
TREND_HALF_LIVES_SECONDS = (86_400.0, 604_800.0, 2_592_000.0)
# Decayed counts, and behind them by how much the rate is above everything's (`trends.Trends.columns`).
TREND_COLUMNS = len(TREND_HALF_LIVES_SECONDS) + 1
USER_FEATURE_DIM = 16
# Batches are padded up to one of these; the agent warms each.
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64)
K_BUCKETS = (100, 200, 500, 1000)
TOKEN_BUCKETS = (16, 32, 64, 128)
PAD = -1


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: Triton's name for its type, and its dimensions by the legend's letters or as numbers."""

    name: str
    datatype: str
    dims: tuple[str | int, ...]


_USER = (
    Tensor("history_ids", "INT32", ("B", "L")),
    Tensor("history_types", "INT32", ("B", "L")),
    Tensor("history_ages_seconds", "FP32", ("B", "L")),
    Tensor("history_length", "INT32", ("B",)),
    Tensor("steer", "FP32", ("B", "D")),
    Tensor("user_features", "FP32", ("B", "U")),
    Tensor("own_count_ids", "INT32", ("B", "K")),
    Tensor("own_counts", "FP32", ("B", "K")),
)
_OVERLAY = (
    Tensor("item_bias", "FP32", ("N+R",)),
    Tensor("item_trend", "FP32", ("N+R", "T")),
    Tensor("fresh_vectors", "FP32", ("R", "D")),
)

INPUTS: MappingProxyType[str, tuple[Tensor, ...]] = MappingProxyType(
    {
        RECOMMENDER: (*_USER, Tensor("exclude_ids", "INT32", ("B", "E")), *_OVERLAY, Tensor("k", "INT64", (1,))),
        SCORER: (*_USER, Tensor("candidate_ids", "INT32", ("B", "C")), *_OVERLAY),
        TEXT_ENCODER: (Tensor("input_ids", "INT64", ("B", "S")), Tensor("attention_mask", "INT64", ("B", "S"))),
    }
)

# Of `recommender`: ids best first, then the logits in that order; a place that no item fills has id -1 and logit -inf.
# Of `scorer`: logits in the order of candidate_ids; padding and hidden items have -inf.
OUTPUTS: MappingProxyType[str, tuple[Tensor, ...]] = MappingProxyType(
    {
        RECOMMENDER: (
            Tensor("item_ids", "INT32", ("B", "k")),
            Tensor("logits", "FP32", ("B", "k")),
            Tensor("user_vector", "FP32", ("B", "D")),
        ),
        SCORER: (Tensor("logits", "FP32", ("B", "C")),),
        TEXT_ENCODER: (Tensor("text_vector", "FP32", ("B", "text_dim")),),
    }
)


def bucket(size: int, buckets: tuple[int, ...]) -> int:
    """The smallest bucket that holds `size`, or the largest one."""
    for candidate in buckets:
        if size <= candidate:
            return candidate
    return buckets[-1]

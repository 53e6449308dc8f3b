"""Cases → what retrieval would put in front of the ranker at that moment, with everything the ranker reads.

Legend of shapes: Q cases, C candidates, N items, T columns of trends, F features, W learned width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from recency_export.cases import Cases, case_histories, seen_items
from recency_export.dataset import Dataset
from recency_export.serving import FEATURES, TRENDS, Serving, User
from recency_export.trend_state import trends_before
from recency_features.history import own_counts, pad_ids
from recency_features.spec import TREND_COLUMNS, USER_FEATURE_DIM

# Cases whose arrays are made together.
_AT_ONCE = 64


def case_users(data: Dataset, cases: Cases, limit: int, dim: int) -> User:
    """The user side of the cases as models read it, by the functions that serve; nothing steered."""
    history = case_histories(data, cases, limit)
    counts = [
        {data.index_of[name]: count for name, count in own_counts(data.interactions[begin:end]).items()}
        for begin, end in zip(cases.begin.tolist(), cases.end.tolist(), strict=True)
    ]
    count_ids = pad_ids([list(own) for own in counts], len(cases))
    count_values = np.zeros(count_ids.shape, dtype=np.float32)
    for row, own in enumerate(counts):
        count_values[row, : len(own)] = list(own.values())
    return User(
        history_ids=torch.from_numpy(history.ids),
        history_types=torch.from_numpy(history.types),
        history_ages_seconds=torch.from_numpy(history.ages_seconds),
        history_length=torch.from_numpy(history.length),
        steer=torch.zeros(len(cases), dim),
        user_features=torch.zeros(len(cases), USER_FEATURE_DIM),
        own_count_ids=torch.from_numpy(count_ids),
        own_counts=torch.from_numpy(count_values),
    )


def affinities(serving: Serving, data: Dataset, cases: Cases, limit: int) -> tuple[Tensor, Tensor]:
    """User vectors [Q, D] and history lengths [Q] of all cases."""
    dim = serving.items.shape[1]
    vectors, lengths = [torch.zeros(0, dim)], [torch.zeros(0, dtype=torch.int32)]
    with torch.no_grad():
        for at in range(0, len(cases), 256):
            user = case_users(data, cases.take(np.arange(at, min(at + 256, len(cases)))), limit, dim)
            vectors.append(serving.user_vector(user, torch.zeros(1, dim)))
            lengths.append(user.history_length)
    return torch.cat(vectors), torch.cat(lengths)


@dataclass(frozen=True, slots=True)
class Shortlists:
    """Candidates of every case. The first `head` are the best by retrieval, best first; then random ones; the last is the
    target. A place with `usable` false holds nothing new (excluded, or there already).

    ids int32 [Q, C], base (retrieval logit) float32 [Q, C], log_trend float32 [Q, C, T], usable bool [Q, C]
    target_rank int64 [Q]: the target's rank in retrieval, ties against it
    """

    head: int
    ids: npt.NDArray[np.int32]
    base: npt.NDArray[np.float32]
    log_trend: npt.NDArray[np.float32]
    usable: npt.NDArray[np.bool_]
    target_rank: npt.NDArray[np.int64]


def shortlists(
    serving: Serving, data: Dataset, cases: Cases, limit: int, head: int, trending: int, others: int, seed: int
) -> Shortlists:
    """What retrieval with its trend gain finds at each case's time among what the answer may hold: the best `head` (of
    which the last `trending` are what trends most, where that is wanted) and `others` random items."""
    items = serving.items.shape[0]
    head = min(head, items)
    trending = min(trending, head)
    vectors_QD, lengths_Q = affinities(serving, data, cases, limit)
    excluded = seen_items(data, cases)
    rng = np.random.default_rng((seed, 5))
    width = head + others + 1
    ids = np.zeros((len(cases), width), dtype=np.int32)
    base = np.zeros((len(cases), width), dtype=np.float32)
    log_trend = np.zeros((len(cases), width, TREND_COLUMNS), dtype=np.float32)
    usable = np.zeros((len(cases), width), dtype=np.bool_)
    rank = np.zeros(len(cases), dtype=np.int64)
    with torch.no_grad():
        weights_QT = serving.trend_weights(lengths_Q).numpy()
        item_vectors, user_vectors = serving.items.numpy(), vectors_QD.numpy()
    middle = TRENDS // 2
    for case, trend_NT in trends_before(data, cases, serving.half_lives):
        trend_NT = np.log1p(trend_NT)
        scores = item_vectors @ user_vectors[case] + trend_NT[:, :TRENDS] @ weights_QT[case]
        allowed = scores.copy()
        allowed[excluded[case]] = -np.inf
        target = int(cases.target[case])
        best = np.argpartition(-allowed, head - 1)[:head] if head < items else np.arange(items)
        best = best[np.argsort(-allowed[best], kind="stable")]
        if trending:
            popular = np.where(np.isfinite(allowed), trend_NT[:, middle], -np.inf)
            best[head - trending :] = np.argpartition(-popular, trending - 1)[:trending] if trending < items else best
        chosen = np.concatenate([best, rng.integers(0, items, others), [max(target, 0)]])
        first = np.zeros(width, dtype=np.bool_)
        first[np.unique(chosen, return_index=True)[1]] = True
        ids[case], base[case], log_trend[case] = chosen, scores[chosen], trend_NT[chosen]
        usable[case] = first & np.isfinite(allowed[chosen])
        # The target stands in its own place, and nowhere else.
        usable[case, :-1] &= chosen[:-1] != target
        usable[case, -1] = target >= 0
        rank[case] = (
            1 + int((allowed >= scores[target]).sum()) - int(allowed[target] >= scores[target]) if target >= 0 else 0
        )
    return Shortlists(head, ids, base, log_trend, usable, rank)


def shortlist_features(
    serving: Serving, data: Dataset, cases: Cases, found: Shortlists, limit: int
) -> npt.NDArray[np.float32]:
    """What the ranker reads of each candidate, by the code that is exported: float32 [Q, C, F]."""
    features = np.zeros((*found.ids.shape, FEATURES), dtype=np.float32)
    dim = serving.items.shape[1]
    with torch.no_grad():
        for at in range(0, len(cases), _AT_ONCE):
            part = np.arange(at, min(at + _AT_ONCE, len(cases)))
            features[part] = serving.features(
                case_users(data, cases.take(part), limit, dim),
                torch.from_numpy(found.ids[part]),
                torch.from_numpy(found.base[part]),
                torch.from_numpy(found.log_trend[part]),
            ).numpy()
    return features

"""The reference models on the same held-out events as ours."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recency_export.cases import Cases, seen_items, whole_cases
from recency_export.cooccurrence import positive_sequences
from recency_export.dataset import Dataset
from recency_export.evaluate import RankMetrics, Score, decayed_popularity, ease, rank_metrics, ranks_of, session_ease

_AT_ONCE = 256


def reference_metrics(data: Dataset, dense_items: int) -> dict[str, RankMetrics]:
    """Time-decayed popularity, and where the catalogue is small enough for a closed form, session-EASE and EASE."""
    cases = whole_cases(data, data.held_out)
    items = len(data.item_ids)
    if not len(cases):
        return {}
    excluded = seen_items(data, cases)
    positive = np.flatnonzero(data.positive > 0)
    popular = np.zeros(len(cases), dtype=np.int64)
    for at in range(0, len(cases), _AT_ONCE):
        part = slice(at, at + _AT_ONCE)
        scores = decayed_popularity(data.item[positive], data.time_micros[positive], items, cases.at_micros[part])
        popular[part] = ranks_of(scores, cases.target[part], excluded[part])
    found = {"decayed_popularity": rank_metrics(popular)}
    if items <= dense_items:
        sequences = positive_sequences(data, held_out_too=False)
        for name, score in (("session_ease", session_ease(sequences, items)), ("ease", ease(sequences, items))):
            found[name] = rank_metrics(_ranks(data, cases, score, excluded))
    return found


def _ranks(data: Dataset, cases: Cases, score: Score, excluded: list[npt.NDArray[np.int32]]) -> npt.NDArray[np.int64]:
    ranks = np.zeros(len(cases), dtype=np.int64)
    for row, (begin, end) in enumerate(zip(cases.begin.tolist(), cases.end.tolist(), strict=True)):
        history = data.item[begin:end][data.positive[begin:end] > 0]
        ranks[row] = ranks_of(score(history)[None], cases.target[row : row + 1], excluded[row : row + 1])[0]
    return ranks

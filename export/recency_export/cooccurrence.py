"""Which items go together: tables that the ranker looks up inside the graph.

Three kinds: what windows of a history predict (session-EASE in a small catalogue, the cosine of window counts in a large
one), the cosine over users, and what comes next (Markov). Dense up to some thousand items, neighbour lists beyond.
Legend of shapes: N items, M neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse

from recency_export.dataset import Dataset
from recency_export.evaluate import ease_weights, gram_of_users, gram_of_windows, pair_counts
from recency_export.settings import RankerSettings

KINDS = 3
_WINDOW = 20
_STEPS = 5
_SMOOTHING = 10.0
# Counts for neighbour lists are made from at most so many of the newest events of a user.
_NEWEST = 500

Sequences = Sequence[npt.NDArray[np.int32]]


@dataclass(frozen=True, slots=True)
class Cooccurrence:
    """Either `dense` [N · N, KINDS] (row from · N + to), or neighbours: ids int32 [N, M] and weights [N, M, KINDS].

    count float32 [N]: how often each item was consumed.
    """

    count: npt.NDArray[np.float32]
    dense: npt.NDArray[np.float32] | None
    neighbour_ids: npt.NDArray[np.int32] | None
    neighbour_weights: npt.NDArray[np.float32] | None

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The tables as the graphs look them up, each with two dimensions, by the names of `shared_tables.TABLES`."""
        found: dict[str, npt.NDArray[Any]] = {"log_count": np.log1p(self.count)[:, np.newaxis]}
        if self.dense is not None:
            found["pairs"] = self.dense
        if self.neighbour_ids is not None and self.neighbour_weights is not None:
            found["neighbour_ids"] = self.neighbour_ids
            found["neighbour_weights"] = self.neighbour_weights.reshape(len(self.count), -1)
        return found


def positive_sequences(data: Dataset, held_out_too: bool) -> list[npt.NDArray[np.int32]]:
    """Each user's positive items, oldest first: those that the retrieval model saw, or all."""
    ends = data.offsets[1:] if held_out_too else data.train_end
    return [
        data.item[start:end][data.positive[start:end] > 0]
        for start, end in zip(data.offsets[:-1].tolist(), ends.tolist(), strict=True)
    ]


def count_together(sequences: Sequences, items: int, settings: RankerSettings) -> Cooccurrence:
    """The tables of a catalogue of `items`."""
    flat = np.concatenate([*sequences, np.zeros(0, dtype=np.int32)])
    count = np.bincount(flat, minlength=items).astype(np.float32)
    if items <= settings.dense_items:
        return Cooccurrence(count, _dense(sequences, items), None, None)
    ids, weights = _neighbours([s[-_NEWEST:] for s in sequences], items, settings.neighbours)
    return Cooccurrence(count, None, ids, weights)


def _dense(sequences: Sequences, items: int) -> npt.NDArray[np.float32]:
    table = np.empty((items, items, KINDS), dtype=np.float32)
    table[:, :, 0] = ease_weights(gram_of_windows(sequences, items, _WINDOW), 150.0)
    table[:, :, 1] = _cosine(gram_of_users(sequences, items))
    following = pair_counts(sequences, items, [0.5**step for step in range(_STEPS)])
    table[:, :, 2] = following / (following.sum(1, keepdims=True) + _SMOOTHING)
    return table.reshape(items * items, KINDS)


def _cosine(gram_NN: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    scale = 1.0 / np.sqrt(np.diag(gram_NN) + _SMOOTHING)
    cosine = gram_NN * scale[:, None] * scale
    np.fill_diagonal(cosine, 0.0)
    return cosine


def _pairs(sequences: Sequences, lags: int) -> list[tuple[int, tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]]]:
    """For each lag from 1 on: the items of all pairs of events so far apart, older and newer."""
    found = []
    for lag in range(1, lags + 1):
        older = [s[:-lag] for s in sequences if len(s) > lag]
        newer = [s[lag:] for s in sequences if len(s) > lag]
        if older:
            found.append((lag, (np.concatenate(older), np.concatenate(newer))))
    return found


def _neighbours(sequences: Sequences, items: int, width: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """The `width` strongest partners of each item by the sum of the three kinds, each scaled to its own largest."""

    def counted(lags: int, decay: float, both_ways: bool) -> sparse.csr_matrix:
        total = sparse.csr_matrix((items, items), dtype=np.float32)
        for lag, (older, newer) in _pairs(sequences, lags):
            values = np.full(len(older), decay ** (lag - 1), dtype=np.float32)
            total = total + sparse.csr_matrix((values, (older, newer)), shape=(items, items))
        return (total + total.T).tocsr() if both_ways else total.tocsr()

    def normalised(matrix: sparse.csr_matrix, by_column: bool) -> sparse.csr_matrix:
        strength = np.asarray(matrix.sum(1)).ravel()
        if by_column:
            scale = sparse.diags(1.0 / np.sqrt(strength + _SMOOTHING))
            return (scale @ matrix @ scale).tocsr()
        return (sparse.diags(1.0 / (strength + _SMOOTHING)) @ matrix).tocsr()

    kinds = [
        normalised(counted(5, 0.8, both_ways=True), by_column=True),
        normalised(counted(_WINDOW, 1.0, both_ways=True), by_column=True),
        normalised(counted(_STEPS, 0.5, both_ways=False), by_column=False),
    ]
    together = sum(kind / max(kind.max(), 1e-9) for kind in kinds).tocsr()
    ids = np.full((items, width), items, dtype=np.int32)
    weights = np.zeros((items, width, KINDS), dtype=np.float32)
    for row in range(items):
        start, end = together.indptr[row], together.indptr[row + 1]
        partners, strength = together.indices[start:end], together.data[start:end]
        strongest = partners[np.argsort(-strength, kind="stable")[:width]]
        ids[row, : len(strongest)] = strongest
    for number, kind in enumerate(kinds):
        rows = np.repeat(np.arange(items), width)
        known = ids.ravel() < items
        values = np.zeros(items * width, dtype=np.float32)
        values[known] = np.asarray(kind[rows[known], ids.ravel()[known]]).ravel()
        weights[:, :, number] = values.reshape(items, width)
    return ids, weights

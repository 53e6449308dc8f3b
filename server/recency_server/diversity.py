"""A slate whose items differ: two ways to trade score for difference, over item vectors. Pure.

Legend of shapes: K candidates best first, D item vector width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
# After the candidate of an index is chosen: the indices that may not be any more (`caps.py`).
Closes = Callable[[int], Sequence[int]]
_TINY = 1e-10


def maximal_marginal_relevance(
    scores_K: F32, vectors_KD: F32, diversity: float, count: int, closes: Closes | None = None
) -> list[int]:
    """The first `count` candidates by (1 - diversity) · score - diversity · greatest similarity to those before.

    Scores are brought to 0..1 first, similarities are cosines (Carbonell and Goldstein, SIGIR 1998)."""
    relevance_K, unit_KD = _scaled(scores_K), _unit(vectors_KD)
    nearest_K = np.zeros(len(scores_K), dtype=np.float32)
    # -inf for what is chosen or closed: few steps in each turn, for a choice that is explored orders the whole pool.
    own_K = (1.0 - diversity) * relevance_K
    order: list[int] = []
    for _ in range(min(count, len(scores_K))):
        best = int((own_K - diversity * nearest_K).argmax())
        if own_K[best] == -np.inf:
            break
        order.append(best)
        own_K[best] = -np.inf
        if closes is not None:
            own_K[list(closes(best))] = -np.inf
        np.maximum(nearest_K, unit_KD @ unit_KD[best], out=nearest_K)
    return order


def determinantal(
    scores_K: F32, vectors_KD: F32, diversity: float, count: int, closes: Closes | None = None
) -> list[int]:
    """The greedy most probable slate of a determinantal point process whose kernel is exp(a · score)-weighted cosine
    similarity, a = (1 - diversity) / diversity: fast greedy MAP by incremental Cholesky rows (Chen, Zhang and Zhou,
    NeurIPS 2018). What adds no volume any more is filled up by score."""
    relevance_K, unit_KD = _scaled(scores_K), _unit(vectors_KD)
    weight_K = np.exp(np.minimum((1.0 - diversity) / max(diversity, 1e-3), 20.0) * (relevance_K - 1.0) / 2.0)
    size = min(count, len(scores_K))
    rows_CK = np.zeros((size, len(scores_K)), dtype=np.float64)
    volume_K = (weight_K**2).astype(np.float64)
    open_K = np.ones(len(scores_K), dtype=bool)
    order: list[int] = []
    while len(order) < size and open_K.any():
        best = int(np.argmax(np.where(open_K, volume_K, -np.inf)))
        if diversity <= 0.0 or volume_K[best] < _TINY:
            best = int(np.argmax(open_K))
            _close(open_K, best, closes)
            order.append(best)
            continue
        similar_K = weight_K[best] * weight_K * (unit_KD @ unit_KD[best])
        done = len(order)
        row_K = (similar_K - rows_CK[:done].T @ rows_CK[:done, best]) / np.sqrt(volume_K[best])
        rows_CK[done] = row_K
        volume_K = volume_K - row_K**2
        _close(open_K, best, closes)
        order.append(best)
    return order


def _close(open_K: npt.NDArray[np.bool_], chosen: int, closes: Closes | None) -> None:
    open_K[chosen] = False
    if closes is not None:
        open_K[list(closes(chosen))] = False


def intra_list_distance(vectors_KD: F32) -> float:
    """The mean cosine distance between two items of a slate; 0 for fewer than two."""
    size = len(vectors_KD)
    if size < 2:
        return 0.0
    unit_KD = _unit(vectors_KD)
    similar_KK = unit_KD @ unit_KD.T
    return float(1.0 - (similar_KK.sum() - np.trace(similar_KK)) / (size * (size - 1)))


def _scaled(scores_K: F32) -> F32:
    low, high = float(scores_K.min(initial=np.inf)), float(scores_K.max(initial=-np.inf))
    return (scores_K - low) / max(high - low, _TINY) if len(scores_K) else scores_K


def _unit(vectors_KD: F32) -> F32:
    unit_KD: F32 = vectors_KD / np.maximum(np.linalg.norm(vectors_KD, axis=1, keepdims=True), _TINY)
    return unit_KD

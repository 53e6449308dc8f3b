"""Rank metrics and the reference models that ours must beat, in numpy (and scipy) alone.

Legend of shapes: Q cases, N items, U users.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse

from recency_export.errors import NonFinite

_PAIRS_AT_ONCE = 4_000_000

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class RankMetrics:
    """Means over cases, with `cases` of them; ranks are over all items, full ranking."""

    ndcg: float
    hit_rate: float
    mrr: float
    cases: int
    cutoff: int = 10

    def as_dict(self, prefix: str) -> dict[str, float]:
        """By name, as metrics files hold them."""
        return {
            f"{prefix}_ndcg_at_{self.cutoff}": self.ndcg,
            f"{prefix}_hit_rate_at_{self.cutoff}": self.hit_rate,
            f"{prefix}_mrr_at_{self.cutoff}": self.mrr,
        }


def ranks_of(
    scores_QN: Floats, target_Q: npt.NDArray[np.int64], left_out: Sequence[npt.NDArray[np.integer]]
) -> npt.NDArray[np.int64]:
    """The rank (from 1) of each case's target among all items but its `left_out`; a tie counts against the target.

    NonFinite where a score is NaN or infinite: a comparison with NaN is false and would read as rank 1.
    """
    if not np.isfinite(scores_QN).all():
        raise NonFinite("a score is not finite: no rank can be read from it; report the model that gave it")
    ranks = np.zeros(len(target_Q), dtype=np.int64)
    for row, target in enumerate(target_Q):
        scores = scores_QN[row]
        ahead = scores >= scores[target]
        ahead[left_out[row]] = False
        ahead[target] = False
        ranks[row] = 1 + int(ahead.sum())
    return ranks


def rank_metrics(ranks: npt.NDArray[np.int64], cutoff: int = 10) -> RankMetrics:
    """HR, NDCG and MRR at the cutoff of one relevant item a case."""
    if not len(ranks):
        return RankMetrics(0.0, 0.0, 0.0, 0, cutoff)
    hit = ranks <= cutoff
    return RankMetrics(
        ndcg=float(np.where(hit, 1.0 / np.log2(ranks + 1.0), 0.0).mean()),
        hit_rate=float(hit.mean()),
        mrr=float(np.where(hit, 1.0 / ranks, 0.0).mean()),
        cases=len(ranks),
        cutoff=cutoff,
    )


def ranks_in_slates(slates: Sequence[Sequence[str]], targets: Sequence[str]) -> npt.NDArray[np.int64]:
    """The rank of each target in its served slate; a very large one where the slate does not hold it."""
    missed = np.iinfo(np.int64).max // 2
    return np.array(
        [slate.index(target) + 1 if target in slate else missed for slate, target in zip(slates, targets, strict=True)],
        dtype=np.int64,
    )


# --- reference models: each is fitted on item sequences by user (oldest first) -------------------------------------------


def ease_weights(gram_NN: npt.NDArray[np.float64], regularisation: float) -> Floats:
    """EASE's closed form: item-to-item weights with a zero diagonal, from co-occurrence counts XᵀX."""
    regular = gram_NN + regularisation * np.eye(len(gram_NN))
    inverse = np.linalg.inv(regular)
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return weights.astype(np.float32)


def gram_of_users(sequences: Sequence[npt.NDArray[np.integer]], items: int) -> npt.NDArray[np.float64]:
    """XᵀX of the users' sets of items."""
    sets = [np.unique(sequence) for sequence in sequences]
    ends = np.cumsum([0, *map(len, sets)])
    columns = np.concatenate([*sets, np.zeros(0, dtype=np.int64)])
    users = sparse.csr_matrix((np.ones(ends[-1]), columns, ends), shape=(len(sets), items))
    return np.asarray((users.T @ users).toarray())


def gram_of_windows(
    sequences: Sequence[npt.NDArray[np.integer]], items: int, window: int = 20
) -> npt.NDArray[np.float64]:
    """XᵀX of sliding windows over the sequences: a pair of events counts in every window that holds both."""
    flat = np.concatenate([*sequences, np.zeros(0, dtype=np.int64)])
    same = np.bincount(flat, minlength=items) * float(window)
    later = pair_counts(sequences, items, [float(window - lag) for lag in range(1, window)])
    return (later + later.T + np.diag(same)) / window


def pair_counts(
    sequences: Sequence[npt.NDArray[np.integer]], items: int, weights: Sequence[float]
) -> npt.NDArray[np.float64]:
    """[older, newer]: how often an item came 1, 2, … events after another one, each time counted with that lag's weight."""
    flat = np.concatenate([*sequences, np.zeros(0, dtype=np.int64)]).astype(np.int64)
    user = np.repeat(np.arange(len(sequences)), [len(sequence) for sequence in sequences])
    counted = np.zeros(items * items)
    pairs, each = [np.zeros(0, dtype=np.int64)], [np.zeros(0)]
    for lag, weight in enumerate(weights, 1):
        found = (flat[:-lag] * items + flat[lag:])[user[:-lag] == user[lag:]]
        pairs.append(found)
        each.append(np.full(len(found), weight))
        # Together, for a table of all items is much to go through for the pairs of one lag; not so many that memory fills.
        if lag == len(weights) or sum(map(len, pairs)) > _PAIRS_AT_ONCE:
            counted += np.bincount(np.concatenate(pairs), np.concatenate(each), minlength=items * items)
            pairs, each = [], []
    return counted.reshape(items, items)


Score = Callable[[npt.NDArray[np.integer]], Floats]


def ease(sequences: Sequence[npt.NDArray[np.integer]], items: int, regularisation: float = 300.0) -> Score:
    """EASE: a history's set of items times the weights."""
    weights = ease_weights(gram_of_users(sequences, items), regularisation)
    return lambda history: weights[np.unique(history)].sum(0)


def session_ease(
    sequences: Sequence[npt.NDArray[np.integer]],
    items: int,
    regularisation: float = 150.0,
    window: int = 20,
    half_life: float = 6.0,
) -> Score:
    """EASE on sliding windows; an event counts half as much every `half_life` events back."""
    weights = ease_weights(gram_of_windows(sequences, items, window), regularisation)

    def score(history: npt.NDArray[np.integer]) -> Floats:
        newest = history[-50:]
        age = np.arange(len(newest) - 1, -1, -1)
        return np.asarray((0.5 ** (age / half_life)) @ weights[newest], dtype=np.float32)

    return score


def decayed_popularity(
    item: npt.NDArray[np.integer],
    time_micros: npt.NDArray[np.int64],
    items: int,
    at_micros: npt.NDArray[np.int64],
    half_life_seconds: float = 604_800.0,
) -> Floats:
    """Time-decayed counts of all items just before each of the times, [Q, N]."""
    order = np.argsort(time_micros, kind="stable")
    item, time_micros = item[order], time_micros[order]
    counts = np.zeros(items)
    scores = np.zeros((len(at_micros), items), dtype=np.float32)
    done, now = 0, int(time_micros[0]) if len(time_micros) else 0
    for case in np.argsort(at_micros, kind="stable"):
        at = int(at_micros[case])
        upto = int(np.searchsorted(time_micros, at, side="left"))
        if upto > done:
            ages = (at - time_micros[done:upto]) / 1e6
            counts *= 0.5 ** ((at - now) / 1e6 / half_life_seconds)
            np.add.at(counts, item[done:upto], 0.5 ** (ages / half_life_seconds))
            done, now = upto, at
        scores[case] = counts
    return scores

"""Places given to items that the ranker is unsure of, with the true chance of each placing. Pure.

Epsilon-greedy by uncertainty: at each place, with probability epsilon, an item is drawn in proportion to how unsure its
score is; else the best one left is placed. So the chance of an item at a place, given those before, is

    epsilon · uncertainty share among what is left  +  (1 - epsilon) · (1 for the best one left, else 0)

and is exact: inverse-propensity estimates over logged slates rest on it. They ask the same of another release
(`chance_of_placing`): what it would have put there, given what was put before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

# Candidates that are looked at for one place where not the score alone decides.
_POOL_PER_PLACE = 5
_LEAST_POOL = 50


def pool_size(places: int) -> int:
    """How many of the best candidates the places of a slate are drawn from."""
    return max(_LEAST_POOL, _POOL_PER_PLACE * places)


def uncertainty(counts_K: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """How unsure the score of an item is that was consumed so often: as the standard error of a mean falls."""
    return 1.0 / np.sqrt(1.0 + counts_K.astype(np.float64))


def explore(
    uncertainty_K: Sequence[float] | npt.NDArray[np.float64],
    epsilon: float,
    count: int,
    rng: np.random.Generator,
    closes: Callable[[int], Sequence[int]] | None = None,
) -> tuple[list[int], list[float]]:
    """The candidates (best first, K of them) for `count` places, and the chance of each at its place. `closes` says which
    may not follow one that has its place: they are no longer among what is left."""
    weight_K = np.asarray(uncertainty_K, dtype=np.float64)
    left = list(range(len(weight_K)))
    order: list[int] = []
    chances: list[float] = []
    while left and len(order) < count:
        share = weight_K[left] / weight_K[left].sum()
        at = int(rng.choice(len(left), p=share)) if rng.random() < epsilon else 0
        chances.append(chance_of_placing(share, at, epsilon))
        order.append(left.pop(at))
        if closes is not None:
            shut = set(closes(order[-1]))
            left = [k for k in left if k not in shut]
    return order, chances


def chance_of_placing(share_K: npt.NDArray[np.float64], at: int, epsilon: float) -> float:
    """The chance that what stands at `at` among what is left (best first, with these shares) is placed next."""
    return float(epsilon * share_K[at] + (1.0 - epsilon) * (at == 0))

"""Figures from per-case gains, with intervals: a paired bootstrap over users of the gains averaged over seeds. Pure.

A user's cases are alike, so users are drawn, not cases; the same draws are used for every arm, so that a difference between
two arms is as certain as it is when both answer the same cases. How much seeds differ is told beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

DRAWS = 1_000
_TAIL_PERCENT = 2.5

Gains = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean over cases and seeds with its 95 % interval, and the standard deviation of the seeds' means (0 for one)."""

    mean: float
    low: float
    high: float
    between_seeds: float
    cases: int


def figure(gains_SC: Sequence[Gains], user_C: npt.NDArray[np.int64], chosen_C: npt.NDArray[np.bool_]) -> Figure:
    """The figure of some cases; `gains_SC` holds an array a seed, over the same cases."""
    table = np.stack(gains_SC)[:, chosen_C].astype(np.float64)
    users = user_C[chosen_C]
    if not table.shape[1]:
        return Figure(0.0, 0.0, 0.0, 0.0, 0)
    of_seed = table.mean(axis=1)
    low, high = _interval(table.mean(axis=0), users)
    spread = float(of_seed.std(ddof=1)) if len(of_seed) > 1 else 0.0
    return Figure(float(of_seed.mean()), low, high, spread, int(table.shape[1]))


def difference(
    gains_SC: Sequence[Gains],
    other_SC: Sequence[Gains],
    user_C: npt.NDArray[np.int64],
    chosen_C: npt.NDArray[np.bool_],
) -> Figure:
    """How much more the first has than the other, case by case."""
    return figure([mine - others for mine, others in zip(gains_SC, other_SC, strict=True)], user_C, chosen_C)


def figures(
    arms: Mapping[str, Sequence[Gains]], user_C: npt.NDArray[np.int64], groups: Mapping[str, npt.NDArray[np.bool_]]
) -> dict[str, dict[str, Figure]]:
    """arm → group → figure."""
    return {
        arm: {name: figure(gains, user_C, chosen) for name, chosen in groups.items()} for arm, gains in arms.items()
    }


def _interval(gain_C: npt.NDArray[np.float64], user_C: npt.NDArray[np.int64]) -> tuple[float, float]:
    _, number = np.unique(user_C, return_inverse=True)
    sums = np.bincount(number, weights=gain_C)
    counts = np.bincount(number).astype(np.float64)
    # One seed for every figure of every run: it decides which users are drawn, and so pairs the arms.
    drawn = np.random.default_rng(0).multinomial(len(sums), np.full(len(sums), 1.0 / len(sums)), size=DRAWS)
    means = (drawn @ sums) / (drawn @ counts)
    low, high = np.percentile(means, [_TAIL_PERCENT, 100.0 - _TAIL_PERCENT])
    return float(low), float(high)

"""One check's outcome, and the statistics that checks rest on: all pure, all with a seed.

Legend of shapes: Q cases, G groups of cases, R resamples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

# Resamples drawn at once: bounds the memory of [resamples, groups] counts.
_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Check:
    """What one check saw. `passed` is None where there was too little to judge by; `note` says what, in words.

    value and limit are what the table of `export evaluate` shows; metrics go into the verdict under `<name>_…`.
    """

    name: str
    passed: bool | None
    note: str
    value: float = math.nan
    limit: float = math.nan
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its bootstrap interval."""

    mean: float
    low: float
    high: float


def paired_interval(
    difference_Q: npt.NDArray[np.float64],
    group_Q: npt.NDArray[np.int64],
    resamples: int,
    confidence: float,
    seed: int,
) -> Interval:
    """The mean of paired differences with its percentile bootstrap interval, drawing whole groups with replacement.

    Cases of one user resemble each other; drawn one by one they would look like more evidence than they are.
    """
    if len(group_Q):
        _, of = np.unique(group_Q, return_inverse=True)
        sums: npt.NDArray[np.float64] = np.bincount(of, weights=difference_Q).astype(np.float64)
        sizes = np.bincount(of).astype(np.float64)
    else:
        sums, sizes = difference_Q, np.ones(len(difference_Q))
    rng = np.random.default_rng((seed, 11))
    means = []
    for begin in range(0, resamples, _AT_ONCE):
        drawn_RG = rng.integers(0, len(sums), (min(_AT_ONCE, resamples - begin), len(sums)))
        means.append(sums[drawn_RG].sum(1) / sizes[drawn_RG].sum(1))
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(np.concatenate(means), (tail, 1.0 - tail))
    return Interval(float(difference_Q.mean()), float(low), float(high))

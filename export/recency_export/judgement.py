"""One check's outcome, and the bootstrap that checks rest on: all pure, all with a seed.

Legend of shapes: Q cases, G groups of cases, M columns, R resamples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from recency_export.gate_settings import Sampling

Floats = npt.NDArray[np.float64]
# Numbers drawn at once: bounds the memory of [resamples, groups].
_AT_ONCE = 2_000_000


@dataclass(frozen=True, slots=True)
class Check:
    """What one check saw. `passed` is None where there was too little to judge by; `note` says what, in words.

    value and limit are what the table of `export evaluate` shows; metrics go into the verdict as they are named.
    """

    name: str
    passed: bool | None
    note: str
    value: float = math.nan
    limit: float = math.nan
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its bootstrap interval."""

    value: float
    low: float
    high: float

    def as_dict(self, name: str) -> dict[str, float]:
        """As metrics hold it."""
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}


def resampled_sums(columns_GM: Floats, resamples: int, seed: int) -> Floats:
    """Sums of the columns over rows drawn with replacement: [R, M]. Any ratio of sums has its bootstrap in them."""
    rng = np.random.default_rng((seed, 11))
    rows = len(columns_GM)
    step = max(1, _AT_ONCE // rows)
    parts = []
    for begin in range(0, resamples, step):
        drawn = rng.integers(0, rows, (min(step, resamples - begin), rows))
        parts.append(np.stack([column[drawn].sum(1) for column in columns_GM.T], axis=1))
    return np.concatenate(parts)


def percentiles(value: float, values_R: Floats, confidence: float) -> Interval:
    """The percentile interval of a statistic's resampled values."""
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(values_R, (tail, 1.0 - tail))
    return Interval(value, float(low), float(high))


def paired_interval(difference_Q: Floats, group_Q: npt.NDArray[np.int64], sampling: Sampling) -> Interval:
    """The mean of paired differences with its percentile bootstrap interval, drawing whole groups with replacement.

    Cases of one user resemble each other; drawn one by one they would look like more evidence than they are.
    """
    of = np.unique(group_Q, return_inverse=True)[1] if len(group_Q) else np.arange(len(difference_Q))
    columns = np.stack([np.bincount(of, weights=difference_Q), np.bincount(of).astype(np.float64)], axis=1)
    sums_R2 = resampled_sums(columns, sampling.resamples, sampling.seed)
    return percentiles(float(difference_Q.mean()), sums_R2[:, 0] / sums_R2[:, 1], sampling.confidence)

"""What is newer than the release, as the arrays that ride along with each batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

HIDDEN = -np.inf
# The live bias moves a logit by at most this much, so that a burst cannot bury everything else.
MAX_TREND_BIAS = 2.0


@dataclass(frozen=True, slots=True)
class Overlay:
    """One immutable state of what is newer than the release.

    item_bias      float32 [N+R], -inf for what no answer may hold (hidden, deleted, unused fresh rows)
    item_trend     float32 [N+R, T], trends now: `Trends.columns`
    fresh_vectors  float32 [R, D], R >= 1 (an unused row is zeros with bias -inf)
    """

    item_bias: npt.NDArray[np.float32]
    item_trend: npt.NDArray[np.float32]
    fresh_vectors: npt.NDArray[np.float32]


def trend_bias(
    now_N: npt.NDArray[np.float32], trained_N: npt.NDArray[np.float32], weight: float
) -> npt.NDArray[np.float32]:
    """How much an item's trend has changed since the release was trained, as a bias on its logit: float32 [N].

    weight · log((1 + count now) / (1 + count at training)), bounded, of the middle half-life. The model has learned how
    popular things were; this adds only what it cannot know.
    """
    change = np.log1p(now_N) - np.log1p(trained_N)
    return np.clip(weight * change, -MAX_TREND_BIAS, MAX_TREND_BIAS).astype(np.float32)


def project(text_vectors: npt.NDArray[np.float32], projection: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Raw text vectors [n, text_dim] → item vectors [n, D] of a release (no residual: nobody has clicked yet)."""
    return (text_vectors @ projection).astype(np.float32)

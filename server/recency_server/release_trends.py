"""The trends of one release's items: as they were when it was trained, and as they are now.

Legend: N items of the release, R rows for fresh items, T columns of trends. Rows go by a release's indices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt

from recency_features.overlay import trend_bias
from recency_features.trends import Trends
from recency_store.manifest import Manifest

F32 = npt.NDArray[np.float32]
Indices = Sequence[int] | npt.NDArray[np.intp]


class ReleaseTrends:
    """Reads the live fold for a release. What `now` and `bias` hold is replaced, not changed."""

    def __init__(self, manifest: Manifest, item_ids: Sequence[str], fold: Trends, size: int) -> None:
        """`fold` ends at trained-through; `size` is N + R."""
        self._width = manifest.trend_width
        self._half_lives = len(manifest.trend_half_lives_seconds)
        self._bias_weight = manifest.trend_bias_weight
        self._rows = np.full(size, -1, dtype=np.intp)
        rows = np.array([fold.row_of.get(item_id, -1) for item_id in item_ids], dtype=np.intp)
        self._trained_NT: F32 = np.zeros((size, self._width), dtype=np.float32)
        self._trained_NT[: len(rows)] = fold.columns(rows, manifest.trained_through_micros, self._width)
        # What the graphs read now, and what trends have added to scores since training.
        self.now: F32 = self._trained_NT.copy()
        self.bias: F32 = np.zeros(size, dtype=np.float32)
        self._fold: Trends | None = None
        self._mapped = 0

    def refresh(self, fold: Trends, index_of: Mapping[str, int], micros: int) -> None:
        """Brings them up to a time."""
        self.map(fold, index_of, len(fold.row_of))
        self.now = fold.columns(self._rows, micros, self._width)
        middle = self._half_lives // 2
        self.bias = trend_bias(self.now[:, middle], self._trained_NT[:, middle], self._bias_weight)

    def map(self, fold: Trends, index_of: Mapping[str, int], most: int) -> bool:
        """Finds the fold's rows of our items, those that are new since the last time, so many at once; True while there
        are more. `refresh` does the rest, but before a release is live a large fold is better taken in small steps."""
        if fold is not self._fold:
            self._fold, self._mapped = fold, 0
            self._rows[:] = -1
        until = min(self._mapped + most, len(fold.row_of))
        for item_id in islice(fold.row_of, self._mapped, until):
            index = index_of.get(item_id)
            if index is not None:
                self._rows[index] = fold.row_of[item_id]
        self._mapped = until
        return until < len(fold.row_of)

    def put(self, index: int, item_id: str) -> None:
        """A fresh item has come to an index."""
        if self._fold is not None:
            self._rows[index] = self._fold.row_of.get(item_id, -1)

    def make_room(self, more: int) -> None:
        """Takes in so many indices more."""
        self._rows = np.pad(self._rows, (0, more), constant_values=-1)
        self._trained_NT = np.pad(self._trained_NT, ((0, more), (0, 0)))
        self.now = np.pad(self.now, ((0, more), (0, 0)))
        self.bias = np.pad(self.bias, (0, more))

    def counts(self, indices: Indices) -> F32:
        """How often the items of some indices were taken up lately: decayed counts of the longest half-life."""
        counts_K: F32 = self.now[np.asarray(indices, dtype=np.intp), self._half_lives - 1]
        return counts_K

    def strength(self, indices: Indices) -> F32:
        """How much the items of some indices trend: decayed counts of the middle half-life, times the rate at which they are
        taken up where they are shown."""
        now_KT = self.now[np.asarray(indices, dtype=np.intp)]
        counts_K: F32 = now_KT[:, self._half_lives // 2]
        return counts_K * (1.0 + now_KT[:, self._half_lives]) if self._width > self._half_lives else counts_K

    def all_trained(self) -> F32:
        """What the graphs would read had nothing happened since training, [N+R, T]: zeros for fresh items."""
        return self._trained_NT

    def trained(self, count: int) -> F32:
        """Those of the first `count` indices at trained-through time, and a row of zeros: what a release with nothing newer
        reads, float32 [count + 1, T]."""
        return np.concatenate([self._trained_NT[:count], np.zeros_like(self._trained_NT[:1])])

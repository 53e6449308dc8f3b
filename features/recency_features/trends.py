"""Time-decayed counts per item: one fold, live and offline.

The count of an item at time t for half-life h is the sum over its events of weight · 2^-((t - event time) / h). The sum is
kept at a reference time and scaled on reading, so that folding is order-independent and an event costs one addition.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from recency_features.events import rule
from recency_features.history import MICROS_PER_SECOND, Interaction
from recency_features.spec import TREND_HALF_LIVES_SECONDS

HalfLives = Sequence[float] | npt.NDArray[np.float64]
# Past this many of the shortest half-lives from the reference time, the reference moves: 2^40 keeps float64 exact enough.
_REBASE_HALF_LIVES = 40.0


def smoothed(counts_N: npt.NDArray[np.float32], segments: Iterable[npt.NDArray[np.intp]]) -> npt.NDArray[np.float32]:
    """Each item's decayed count and, as if it were one more event, the mean count of its segments (categories, provider):
    what nobody has taken up yet is worth what its kind is worth, and a count of its own soon outweighs that. float32 [N].

    A segment is the rows of its items. Its count is the sum of theirs, so the one fold over items holds every segment's.
    """
    means_N = np.zeros(len(counts_N), dtype=np.float64)
    of_N = np.zeros(len(counts_N), dtype=np.int64)
    for rows in segments:
        if len(rows):
            means_N[rows] += counts_N[rows].mean()
            of_N[rows] += 1
    found: npt.NDArray[np.float32] = (counts_N + means_N / np.maximum(of_N, 1)).astype(np.float32)
    return found


class Trends:
    """The fold's state. Rows are items in the order they came; `row_of` maps ids to rows."""

    def __init__(self, half_lives_seconds: HalfLives = TREND_HALF_LIVES_SECONDS) -> None:
        self.half_lives = np.asarray(half_lives_seconds, dtype=np.float64)
        self.row_of: dict[str, int] = {}
        self._reference_micros = 0
        self._sums = np.zeros((1024, len(self.half_lives)), dtype=np.float64)

    def row(self, item_id: str) -> int:
        """The item's row, made where there is none."""
        row = self.row_of.get(item_id)
        if row is None:
            row = len(self.row_of)
            self.row_of[item_id] = row
            if row >= len(self._sums):
                self._sums = np.concatenate([self._sums, np.zeros_like(self._sums)])
        return row

    def fold(self, interactions: Sequence[Interaction], sign: float = 1.0) -> None:
        """Adds events, in any order; with a `sign` of -1 takes away what was added before."""
        weighted = [(self.row(i.item_id), i.time_micros, w) for i in interactions if (w := rule(i.type).trend_weight)]
        if not weighted:
            return
        rows = np.array([r for r, _, _ in weighted])
        times = np.array([t for _, t, _ in weighted], dtype=np.int64)
        weights = np.array([sign * w for _, _, w in weighted], dtype=np.float64)
        self._rebase(int(times.max()))
        lead_seconds = (times - self._reference_micros) / MICROS_PER_SECOND
        np.add.at(self._sums, rows, weights[:, None] * np.exp2(lead_seconds[:, None] / self.half_lives))

    def counts(self, rows: npt.NDArray[np.intp], now_micros: int) -> npt.NDArray[np.float32]:
        """The decayed counts of rows at a time, float32 [rows, T]; a row of -1 has none."""
        age_seconds = (now_micros - self._reference_micros) / MICROS_PER_SECOND
        # Events later than `now` would count more than their weight; a clock that runs behind must not inflate trends.
        scale = np.exp2(-np.maximum(age_seconds, 0.0) / self.half_lives)
        counts: npt.NDArray[np.float32] = (self._sums[rows] * scale).astype(np.float32)
        counts[rows < 0] = 0.0
        return counts

    def _rebase(self, newest_micros: int) -> None:
        ahead_seconds = (newest_micros - self._reference_micros) / MICROS_PER_SECOND
        if ahead_seconds > _REBASE_HALF_LIVES * float(self.half_lives.min()):
            self._sums *= np.exp2(-ahead_seconds / self.half_lives)
            self._reference_micros = newest_micros

    def to_bytes(self) -> bytes:
        """The state as an .npz file."""
        buffer = io.BytesIO()
        np.savez(
            buffer,
            half_lives=self.half_lives,
            reference_micros=np.int64(self._reference_micros),
            sums=self._sums[: len(self.row_of)],
            item_ids=np.array(list(self.row_of), dtype=np.str_),
        )
        return buffer.getvalue()

    @staticmethod
    def from_bytes(data: bytes) -> Trends:
        """Reads what `to_bytes` wrote."""
        with np.load(io.BytesIO(data), allow_pickle=False) as saved:
            trends = Trends(saved["half_lives"])
            trends._reference_micros = int(saved["reference_micros"])
            trends.row_of = {str(item_id): row for row, item_id in enumerate(saved["item_ids"])}
            sums = saved["sums"]
            trends._sums = np.zeros((max(1024, len(sums)), len(trends.half_lives)), dtype=np.float64)
            trends._sums[: len(sums)] = sums
        return trends

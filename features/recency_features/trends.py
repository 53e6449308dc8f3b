"""Time-decayed counts and rates per item: one fold, live and offline.

The count of an item at time t for half-life h is the sum over its events of weight · 2^-((t - event time) / h). The sum is
kept at a reference time and scaled on reading, so that folding is order-independent and an event costs one addition.
Beside what was taken up, what was shown is counted (with the middle half-life): the rate is the one over the other.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from recency.v1 import event_pb2
from recency_features.events import rule
from recency_features.history import MICROS_PER_SECOND, Interaction
from recency_features.spec import TREND_HALF_LIVES_SECONDS
from recency_store.records import LoggedEvent

HalfLives = Sequence[float] | npt.NDArray[np.float64]
# Past this many of the shortest half-lives from the reference time, the reference moves: 2^40 keeps float64 exact enough.
_REBASE_HALF_LIVES = 40.0
# An item's rate counts as much as what is known of its kind once it was shown so often.
RATE_STRENGTH = 20.0
_IMPRESSION = event_pb2.EVENT_TYPE_IMPRESSION


def to_fold(events: Iterable[LoggedEvent]) -> list[Interaction]:
    """Logged events as the fold takes them: an impression is one of each item that it lists or names. Of one that only
    cites a slate which nobody knew when it came, nothing is known."""
    found: list[Interaction] = []
    for event in events:
        if event.type == _IMPRESSION:
            shown = dict.fromkeys(event.event().shown_item_ids or [event.item_id])
            found.extend(Interaction(item_id, _IMPRESSION, event.time_micros) for item_id in shown if item_id)
        else:
            found.append(Interaction(event.item_id, event.type, event.time_micros))
    return found


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


def rates(
    taken_N: npt.NDArray[np.float32],
    shown_N: npt.NDArray[np.float32],
    segments: Iterable[npt.NDArray[np.intp]] = (),
) -> npt.NDArray[np.float32]:
    """How often each item is taken up when it is shown, over how often all are: float32 [N], 1 where nothing is known.

    Smoothed towards the mean rate of the item's segments, and a segment's towards the rate of all, as if each had been shown
    `RATE_STRENGTH` times more. What was taken up without being shown was shown for that: so without impressions all are 1.
    """
    taken, shown = taken_N.astype(np.float64), np.maximum(shown_N, taken_N).astype(np.float64)
    everything = taken.sum() / shown.sum() if shown.sum() > 0.0 else 0.0
    if everything <= 0.0:
        return np.ones(len(taken), dtype=np.float32)
    prior_N, of_N = np.zeros(len(taken)), np.zeros(len(taken), dtype=np.int64)
    for rows in segments:
        if len(rows):
            prior_N[rows] += _rate(taken[rows].sum(), shown[rows].sum(), everything)
            of_N[rows] += 1
    prior_N = np.where(of_N > 0, prior_N / np.maximum(of_N, 1), everything)
    found: npt.NDArray[np.float32] = (_rate(taken, shown, prior_N) / everything).astype(np.float32)
    return found


def _rate(taken: Any, shown: Any, prior: Any) -> Any:
    return (taken + RATE_STRENGTH * prior) / (shown + RATE_STRENGTH)


class Trends:
    """The fold's state. Rows are items in the order they came; `row_of` maps ids to rows."""

    def __init__(self, half_lives_seconds: HalfLives = TREND_HALF_LIVES_SECONDS) -> None:
        self.half_lives = np.asarray(half_lives_seconds, dtype=np.float64)
        self.row_of: dict[str, int] = {}
        self._reference_micros = 0
        self._sums = np.zeros((1024, len(self.half_lives)), dtype=np.float64)
        self._shown = np.zeros(1024, dtype=np.float64)

    @property
    def middle(self) -> int:
        """Which half-life rates are read with."""
        return len(self.half_lives) // 2

    def row(self, item_id: str) -> int:
        """The item's row, made where there is none."""
        row = self.row_of.get(item_id)
        if row is None:
            row = len(self.row_of)
            self.row_of[item_id] = row
            if row >= len(self._sums):
                self._sums = np.concatenate([self._sums, np.zeros_like(self._sums)])
                self._shown = np.concatenate([self._shown, np.zeros_like(self._shown)])
        return row

    def fold(self, interactions: Sequence[Interaction], sign: float = 1.0) -> None:
        """Adds events, in any order; with a `sign` of -1 takes away what was added before."""
        counted = [
            (self.row(i.item_id), i.time_micros, i.type == _IMPRESSION, weight)
            for i in interactions
            if (weight := 1.0 if i.type == _IMPRESSION else rule(i.type).trend_weight)
        ]
        if not counted:
            return
        rows = np.array([row for row, *_ in counted])
        times = np.array([micros for _, micros, *_ in counted], dtype=np.int64)
        shown = np.array([one for *_, one, _ in counted])
        weights = np.array([sign * weight for *_, weight in counted], dtype=np.float64)
        self._rebase(int(times.max()))
        lead_seconds = (times - self._reference_micros) / MICROS_PER_SECOND
        taken = ~shown
        raised = np.exp2(lead_seconds[taken, None] / self.half_lives)
        np.add.at(self._sums, rows[taken], weights[taken, None] * raised)
        raised = np.exp2(lead_seconds[shown] / self.half_lives[self.middle])
        np.add.at(self._shown, rows[shown], weights[shown] * raised)

    def counts(self, rows: npt.NDArray[np.intp], now_micros: int) -> npt.NDArray[np.float32]:
        """The decayed counts of rows at a time, float32 [rows, T]; a row of -1 has none."""
        counts: npt.NDArray[np.float32] = (self._sums[rows] * self._fading(now_micros)).astype(np.float32)
        counts[rows < 0] = 0.0
        return counts

    def shown(self, rows: npt.NDArray[np.intp], now_micros: int) -> npt.NDArray[np.float32]:
        """How often the items of rows were shown, decayed with the middle half-life, float32 [rows]."""
        shown: npt.NDArray[np.float32] = (self._shown[rows] * self._fading(now_micros)[self.middle]).astype(np.float32)
        shown[rows < 0] = 0.0
        return shown

    def columns(self, rows: npt.NDArray[np.intp], now_micros: int, width: int) -> npt.NDArray[np.float32]:
        """What a release's graphs read, float32 [rows, width]: the decayed counts, and after them, where it takes one column
        more, by how much the rate is above 1 (as `rates` has it, among all items of the fold)."""
        counts = self.counts(rows, now_micros)
        if width == counts.shape[1]:
            return counts
        every = np.arange(len(self.row_of), dtype=np.intp)
        taken_N = (self._sums[every, self.middle] * self._fading(now_micros)[self.middle]).astype(np.float32)
        above = np.append(rates(taken_N, self.shown(every, now_micros)) - 1.0, np.float32(0.0))
        # The place behind the last row, which -1 names too, is of an item of which nothing is known.
        return np.concatenate([counts, above[rows][:, np.newaxis]], axis=1).astype(np.float32)

    def _fading(self, now_micros: int) -> npt.NDArray[np.float64]:
        """What the sums are multiplied by at a time, [T]."""
        age_seconds = (now_micros - self._reference_micros) / MICROS_PER_SECOND
        # Events later than `now` would count more than their weight; a clock that runs behind must not inflate trends.
        faded: npt.NDArray[np.float64] = np.exp2(-np.maximum(age_seconds, 0.0) / self.half_lives)
        return faded

    def _rebase(self, newest_micros: int) -> None:
        ahead_seconds = (newest_micros - self._reference_micros) / MICROS_PER_SECOND
        if ahead_seconds > _REBASE_HALF_LIVES * float(self.half_lives.min()):
            faded = np.exp2(-ahead_seconds / self.half_lives)
            self._sums *= faded
            self._shown *= faded[self.middle]
            self._reference_micros = newest_micros

    def to_bytes(self) -> bytes:
        """The state as an .npz file."""
        buffer = io.BytesIO()
        np.savez(
            buffer,
            half_lives=self.half_lives,
            reference_micros=np.int64(self._reference_micros),
            sums=self._sums[: len(self.row_of)],
            shown=self._shown[: len(self.row_of)],
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
            trends._shown = np.zeros(len(trends._sums), dtype=np.float64)
            # Releases from before rates do not have it.
            if "shown" in saved:
                trends._shown[: len(sums)] = saved["shown"]
        return trends

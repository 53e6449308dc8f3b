"""Bounds on what a burst can teach, by user and by item, in windows of event time.

The windows follow the newest event time seen, so over any while no more of them open than real time has passed. They live in
memory: a learner that was killed starts with a new window, whose bound is the same. A chunk counts once it is saved.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from recency_export.online_settings import LearnerConfig
from recency_features.history import MICROS_PER_SECOND
from recency_store.records import LoggedEvent

F32 = npt.NDArray[np.float32]


@dataclass
class _Spent:
    """What was used of a window: by user the items taught, by row how far the item has moved."""

    window: int = -1
    taught: dict[str, set[str]] = field(default_factory=dict)
    moved: dict[int, float] = field(default_factory=dict)


class Bounds:
    """What was spent of the window's bounds, and what the chunk at hand would spend."""

    def __init__(self, config: LearnerConfig) -> None:
        self._config = config
        self._spent = _Spent()
        self._chunk = _Spent()

    def admit(self, events: Sequence[LoggedEvent]) -> list[LoggedEvent]:
        """Begins a chunk: the events that may teach, of one user one for each item, and only so many."""
        width = round(self._config.window_seconds * MICROS_PER_SECOND)
        newest = max((event.time_micros // width for event in events), default=-1)
        self._chunk = _Spent(max(newest, self._spent.window))
        before = self._before()
        admitted = []
        for event in events:
            old, new = before.taught.get(event.user_id, ()), self._chunk.taught.setdefault(event.user_id, set())
            if event.item_id not in old and event.item_id not in new and len(old) + len(new) < self._config.user_events:
                new.add(event.item_id)
                admitted.append(event)
        return admitted

    def limit(self, rows_K: npt.NDArray[np.intp], residual_KW: F32, moved_KW: F32) -> F32:
        """The residuals of rows after a move that is cut to what is left of the window's bound and of the radius."""
        before, chunk = self._before().moved, self._chunk.moved
        spent_K = np.array([before.get(row, 0.0) + chunk.get(row, 0.0) for row in rows_K.tolist()])
        length_K = np.linalg.norm(moved_KW, axis=1)
        allowed_K = np.minimum(length_K, np.maximum(self._config.item_norm - spent_K, 0.0))
        share_K = np.divide(allowed_K, length_K, out=np.zeros_like(length_K), where=length_K > 0)
        after_KW: F32 = residual_KW + moved_KW * share_K[:, np.newaxis].astype(np.float32)
        reach_K = np.linalg.norm(after_KW, axis=1)
        inside_K = np.minimum(1.0, self._config.item_radius / np.maximum(reach_K, 1e-12))
        after_KW *= inside_K[:, np.newaxis].astype(np.float32)
        for row, spent in zip(rows_K.tolist(), allowed_K.tolist(), strict=True):
            if spent:
                chunk[row] = chunk.get(row, 0.0) + spent
        return after_KW

    def commit(self) -> None:
        """The chunk was saved: what it spent is spent."""
        self._spent, chunk = self._before(), self._chunk
        self._spent.window = chunk.window
        for user_id, items in chunk.taught.items():
            self._spent.taught.setdefault(user_id, set()).update(items)
        for row, moved in chunk.moved.items():
            self._spent.moved[row] = self._spent.moved.get(row, 0.0) + moved
        self._chunk = _Spent(chunk.window)

    def forget(self, user_ids: Iterable[str]) -> None:
        """What users spent of the window is not kept any more."""
        for user_id in user_ids:
            self._spent.taught.pop(user_id, None)

    def _before(self) -> _Spent:
        """What was spent of the chunk's window before it."""
        return self._spent if self._spent.window == self._chunk.window else _Spent(self._chunk.window)

"""Bounds on what a burst can teach, by user and by item, in windows of event time.

The windows follow the newest event time seen, so over any while no more of them open than real time has passed. They live in
memory: a learner that was killed starts with a new window, whose bound is the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from recency_export.online_settings import LearnerConfig
from recency_features.history import MICROS_PER_SECOND
from recency_store.records import LoggedEvent

F32 = npt.NDArray[np.float32]


class Bounds:
    """What was spent of the window's bounds."""

    def __init__(self, config: LearnerConfig) -> None:
        self._config = config
        self._window = -1
        self._taught: dict[str, set[str]] = {}
        # row → how far the item has moved in this window
        self._spent: dict[int, float] = {}

    def admit(self, events: Sequence[LoggedEvent]) -> list[LoggedEvent]:
        """The events that may teach: of one user one for each item, and only so many."""
        if not events:
            return []
        width = round(self._config.window_seconds * MICROS_PER_SECOND)
        window = max(event.time_micros for event in events) // width
        if window > self._window:
            self._window, self._taught, self._spent = window, {}, {}
        admitted = []
        for event in events:
            taught = self._taught.setdefault(event.user_id, set())
            if event.item_id not in taught and len(taught) < self._config.user_events:
                taught.add(event.item_id)
                admitted.append(event)
        return admitted

    def limit(self, rows_K: npt.NDArray[np.intp], residual_KW: F32, moved_KW: F32) -> F32:
        """The residuals of rows after a move that is cut to what is left of the window's bound and of the radius."""
        length_K = np.linalg.norm(moved_KW, axis=1)
        left_K = np.array([self._config.item_norm - self._spent.get(row, 0.0) for row in rows_K.tolist()])
        allowed_K = np.minimum(length_K, np.maximum(left_K, 0.0))
        share_K = np.divide(allowed_K, length_K, out=np.zeros_like(length_K), where=length_K > 0)
        after_KW: F32 = residual_KW + moved_KW * share_K[:, np.newaxis].astype(np.float32)
        reach_K = np.linalg.norm(after_KW, axis=1)
        inside_K = np.minimum(1.0, self._config.item_radius / np.maximum(reach_K, 1e-12))
        after_KW *= inside_K[:, np.newaxis].astype(np.float32)
        for row, spent in zip(rows_K.tolist(), allowed_K.tolist(), strict=True):
            if spent:
                self._spent[row] = self._spent.get(row, 0.0) + spent
        return after_KW

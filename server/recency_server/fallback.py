"""What is trending: the answer that needs no model. Decayed counts first, then the newest items."""

from __future__ import annotations

import time
from collections.abc import Iterable

import numpy as np

from recency_server.catalog import Entry
from recency_server.follow import Follower

# The middle half-life: days, not hours and not months.
_HALF_LIFE = 1
# An order over a large catalogue is made at most this often, whatever changes.
_LARGE_CATALOG = 20_000
_LARGE_SECONDS = 10.0
_SECONDS = 1.0


class TrendOrder:
    """All visible items, what is trending now first. Made when it is asked for and out of date."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower
        self._order: list[tuple[str, float]] = []
        self._made_of = (-1, -1)
        self._made_seconds = -1e9

    def ranked(self, only: Iterable[str] | None = None) -> list[tuple[str, float]]:
        """(item id, decayed count), best first; of `only` these items where given."""
        catalog, trends_version = self._follower.catalog, self._follower.trends_version
        age = time.monotonic() - self._made_seconds
        if len(catalog.entries) > _LARGE_CATALOG:
            outdated = age > _LARGE_SECONDS
        else:
            outdated = catalog.version != self._made_of[0] or age > _SECONDS
        if outdated and (catalog.version, trends_version) != self._made_of:
            self._order = self._make(catalog.entries)
            self._made_of = (catalog.version, trends_version)
            self._made_seconds = time.monotonic()
        if only is None:
            return self._order
        wanted = set(only)
        return [ranked for ranked in self._order if ranked[0] in wanted]

    def _make(self, entries: dict[str, Entry]) -> list[tuple[str, float]]:
        follower = self._follower
        item_ids = [item_id for item_id, entry in entries.items() if entry.visible]
        created = np.array([entries[item_id].create_micros for item_id in item_ids], dtype=np.int64)
        rows = np.array([follower.trends.row_of.get(item_id, -1) for item_id in item_ids], dtype=np.intp)
        counts = follower.trends.counts(rows, follower.trend_time_micros())
        count = counts[:, min(_HALF_LIFE, counts.shape[1] - 1)]
        order = np.lexsort((-created, -count))
        return [(item_ids[i], float(count[i])) for i in order.tolist()]

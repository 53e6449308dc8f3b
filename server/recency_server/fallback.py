"""What is trending: the answer that needs no model. Decayed counts with what an item's categories and provider are worth
now, times the rate at which it is taken up where it is shown; then the newest items."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from recency_features.trends import rates, smoothed
from recency_server.catalog import Catalog
from recency_server.follow import Follower
from recency_server.query import Clock
from recency_server.rules_in_force import RulesInForce

# An order over a large catalogue is made at most this often, whatever changes.
_LARGE_CATALOG = 20_000
_LARGE_SECONDS = 10.0
_SECONDS = 1.0


class TrendOrder:
    """All visible items, what is trending now first. Made when it is asked for and out of date."""

    def __init__(self, follower: Follower, rules: RulesInForce, clock: Clock) -> None:
        self._follower = follower
        self._rules = rules
        self._clock = clock
        self._order: list[tuple[str, float]] = []
        self._made_of = (-1, -1)
        self._made_by: tuple[str, int] = ("", 0)
        self._made_seconds = -1e9

    def ranked(self, only: Iterable[str] | None = None) -> list[tuple[str, float]]:
        """(item id, smoothed count times rate), best first; of `only` these items where given. A rule that lifts an item
        by so many log-odds multiplies that and one more."""
        catalog, trends_version = self._follower.catalog, self._follower.trends_version
        effect = self._rules.effect(self._clock())
        rules = (self._rules.rules.digest, effect.from_micros)
        age = time.monotonic() - self._made_seconds
        if len(catalog.entries) > _LARGE_CATALOG:
            outdated = age > _LARGE_SECONDS
        else:
            outdated = catalog.version != self._made_of[0] or age > _SECONDS
        changed = rules != self._made_by
        if changed or (outdated and (catalog.version, trends_version) != self._made_of):
            self._order = self._make(catalog, effect.lifts)
            self._made_of, self._made_by = (catalog.version, trends_version), rules
            self._made_seconds = time.monotonic()
        if only is None:
            return self._order
        wanted = set(only)
        return [ranked for ranked in self._order if ranked[0] in wanted]

    def _make(self, catalog: Catalog, lifts: Mapping[str, float]) -> list[tuple[str, float]]:
        follower, entries = self._follower, catalog.entries
        item_ids = [item_id for item_id, entry in entries.items() if entry.visible]
        since = np.array([entries[item_id].since_micros for item_id in item_ids], dtype=np.int64)
        rows = np.array([follower.trends.row_of.get(item_id, -1) for item_id in item_ids], dtype=np.intp)
        trends, now_micros = follower.trends, follower.trend_time_micros()
        taken = trends.counts(rows, now_micros)[:, trends.middle]
        segments = list(_segments(catalog, item_ids))
        count = smoothed(taken, segments) * rates(taken, trends.shown(rows, now_micros), segments)
        if lifts:
            lift = np.array([lifts.get(item_id, 0.0) for item_id in item_ids])
            count = np.expm1(np.log1p(count) + lift)
        order = np.lexsort((-since, -count))
        return [(item_ids[i], float(count[i])) for i in order.tolist()]


def _segments(catalog: Catalog, item_ids: Sequence[str]) -> Iterator[npt.NDArray[np.intp]]:
    """The items of each category and of each provider, as places in `item_ids`."""
    attributes = catalog.attributes
    place_of_row = np.full(len(attributes.item_ids), -1, dtype=np.intp)
    place_of_row[[attributes.row_of[item_id] for item_id in item_ids]] = np.arange(len(item_ids))
    columns = attributes.columns
    for rows_of in (columns["categories"].rows_of_element, columns["provider"].rows_of_text):
        for rows in rows_of.values():
            places = place_of_row[list(rows)]
            yield places[places >= 0]

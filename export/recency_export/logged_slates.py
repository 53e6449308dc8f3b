"""Slates whose places were left to chance → what an off-policy estimate is made of: what came of each item shown, the chance
that it was shown with, and the chance that a release, exploring as much, would have given it.

A slate counts as shown when it was answered. Each place is an action of its own, given the items placed before it.
Legend of shapes: S shown items, K items of a pool.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recency_export.asked import Asked, Asking
from recency_export.evidence import LoggedActions
from recency_export.log_cases import asking_at
from recency_features.events import rule
from recency_features.exploration import chance_of_placing, pool_size, uncertainty
from recency_features.history import MICROS_PER_SECOND
from recency_features.spec import K_BUCKETS, PAD
from recency_features.trends import Trends
from recency_store.protocol import Store
from recency_store.records import LoggedEvent, SlateRecord

# A positive event so long after a slate is its fruit, as for calibration on impressions.
_TAKEN_WITHIN_MICROS = 86_400 * MICROS_PER_SECOND


@dataclass(frozen=True, slots=True)
class LoggedSlate:
    """One slate, the request that it answered as a case, and which of its items were taken."""

    slate: SlateRecord
    asking: Asking
    taken: frozenset[str]


def logged_slates(store: Store, after_micros: int, since: Sequence[LoggedEvent], most: int) -> list[LoggedSlate]:
    """The newest `most` slates that were answered after a time, were left to chance and can be made again from the log: one
    user's own. `since` are the events after that time by their sequence, which place the slates among them."""
    found = []
    for slate in store.explored_slates(after_micros, most):
        if slate.aimed or not slate.user_id:
            continue
        sequence = next((event.sequence for event in since if event.time_micros > slate.time_micros), None)
        asking = asking_at(store, slate.user_id, slate.time_micros, sequence or store.last_sequence() + 1)
        found.append(LoggedSlate(slate, asking, _taken(store, slate)))
    return sorted(found, key=lambda logged: logged.asking.sequence)


def logged_actions(
    store: Store, asked: Sequence[Asked], slates: Sequence[LoggedSlate], in_turn: Iterator[tuple[list[Asking], Trends]]
) -> LoggedActions:
    """The places of these slates that were left to chance, under the candidate and, where there is one, its parent.
    `in_turn` gives the slates' requests in order, those that go together with their trends."""
    if not slates:
        return LoggedActions()
    chances: list[list[float]] = [[] for _ in asked]
    done = 0
    for part, trends in in_turn:
        size = min(K_BUCKETS[0], max(pool_size(len(one.slate.item_ids)) for one in slates[done : done + len(part)]))
        for one, found in zip(asked, chances, strict=True):
            pools = one.slates(part, trends, size)
            shown = _shown(store, one, pools)
            for logged, pool in zip(slates[done : done + len(part)], pools, strict=True):
                mine = pool[np.isin(pool, shown)][: pool_size(len(logged.slate.item_ids))]
                found += _chances(logged.slate, one, mine, trends)
        done += len(part)
    return LoggedActions(
        reward=np.array([float(item_id in one.taken) for one in slates for item_id, _ in _drawn(one.slate)]),
        propensity=np.array([chance for one in slates for _, chance in _drawn(one.slate)]),
        candidate=np.array(chances[0]),
        parent=np.array(chances[1]) if len(chances) > 1 else np.zeros(0),
    )


def _drawn(slate: SlateRecord) -> list[tuple[str, float]]:
    return [
        (item_id, chance)
        for item_id, chance in zip(slate.item_ids, slate.propensities, strict=True)
        if chance is not None
    ]


def _chances(slate: SlateRecord, asked: Asked, pool_K: npt.NDArray[np.int32], trends: Trends) -> list[float]:
    """The chance that the release gives each drawn item at its place, what was placed before it being gone."""
    left = pool_K.tolist()
    weight_of = dict(zip(left, uncertainty(asked.trend_counts(pool_K, trends, slate.time_micros)), strict=True))
    found = []
    for item_id, propensity in zip(slate.item_ids, slate.propensities, strict=True):
        row = asked.row_of.get(item_id, PAD)
        at = left.index(row) if row in left else None
        if propensity is not None:
            weight_K = np.array([weight_of[other] for other in left])
            share_K = weight_K / weight_K.sum()
            found.append(0.0 if at is None else chance_of_placing(share_K, at, slate.exploration))
        if at is not None:
            left.pop(at)
    return found


def _shown(store: Store, asked: Asked, pools: npt.NDArray[np.int32]) -> list[int]:
    """The rows among these whose items may be shown: a release ranks hidden ones as if they could be."""
    rows = np.unique(pools[pools != PAD]).tolist()
    items = store.get_items([asked.item_ids[row] for row in rows])
    return [row for row in rows if (item := items.get(asked.item_ids[row])) is not None and item.visible]


def _taken(store: Store, slate: SlateRecord) -> frozenset[str]:
    """The slate's items on which its user did something positive afterwards: in an event that cites it, or cites none."""
    until = slate.time_micros + _TAKEN_WITHIN_MICROS
    # A day of one user's events is far less than this.
    after = [e for e in store.read_user(slate.user_id, 2_000, until) if e.time_micros >= slate.time_micros]
    return frozenset(
        event.item_id
        for event in after
        if rule(event.type).positive_weight > 0
        and event.item_id in slate.item_ids
        and event.event().recommendation_id in ("", slate.recommendation_id)
    )

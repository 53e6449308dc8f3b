"""How exposure is shared out: who was shown how much, against what there is of them and what became of it.

An item that stands at place p (from 1) of what was shown gets 1 / log2(1 + p) of exposure: the first place 1, the tenth .29
(the discount of DCG, taken as the chance to be looked at). An item of several categories is shared out over them equally, so
that shares add up to one. Pure, over what the store hands in.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from recency.v1 import event_pb2, item_pb2
from recency_features.events import rule
from recency_server.attributes import values_of
from recency_server.paging import PAGE_OF
from recency_store.protocol import Store
from recency_store.records import LoggedEvent, Micros, SlateRecord

NOBODY = "(none)"
_PAGE = 2_000
_DAY_MICROS = 86_400 * 1_000_000


class NoSuchAttribute(Exception):
    """No item of the catalogue has the attribute that exposure was asked for by."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One list that somebody was shown, and from which place on (0 is the first)."""

    item_ids: tuple[str, ...]
    time_micros: Micros
    offset: int = 0
    release: int = 0


@dataclass(frozen=True, slots=True)
class GroupExposure:
    """One group: how many items (parts of items add up), and its shares of catalogue, exposure and clicks.

    against_catalogue  exposure share / catalogue share: 1 where a group is shown as often as it is there
    against_merit      exposure share / click share: 1 where it is shown as often as it is taken; None without clicks
    """

    name: str
    items: float
    catalogue_share: float
    exposure_share: float
    click_share: float
    against_catalogue: float
    against_merit: float | None


@dataclass(frozen=True, slots=True)
class ExposureReport:
    """lists, impressions  how many lists were counted, and whether they are what was reported as shown (IMPRESSION) instead
                        of slates as they were answered
    clicks              positive events (click and stronger) of the same time
    gini                of exposure over the items of the catalogue: 0 where all get the same, 1 where one gets all
    top_percent_share   the share of the most exposed hundredth of the items
    never_shown_share   the share of the items that nobody was shown
    young_share         the exposure of items that were younger than `young_days` when they were shown
    after_release_share the exposure of items that came after the release that answered
    lorenz              the share of exposure of the least exposed 0 %, 1 %, … 100 % of items
    """

    by: str
    since_micros: Micros
    until_micros: Micros
    lists: int
    impressions: bool
    clicks: int
    items: int
    groups: tuple[GroupExposure, ...]
    gini: float
    top_percent_share: float
    never_shown_share: float
    young_days: float
    young_share: float
    after_release_share: float
    lorenz: tuple[float, ...] = field(repr=False, default=())


def exposure_report(
    store: Store,
    by: str,
    since_micros: Micros,
    until_micros: Micros,
    young_days: float,
    impressions: bool | None = None,
) -> ExposureReport:
    """The report of a time: of what was reported as shown where anything was (or `impressions` says so), else of the slates
    as they were answered. NoSuchAttribute where no item has what it is asked by."""
    items = {item.item_id: item for item in _items(store)}
    groups_of = {item_id: groups(item, by) for item_id, item in items.items()}
    if items and all(found == (NOBODY,) for found in groups_of.values()):
        raise NoSuchAttribute(f"no item has {by!r}; ask by provider, categories or an attribute of the items")
    shown, clicks = _behaviour(store, since_micros, until_micros)
    from_impressions = bool(shown) if impressions is None else impressions
    lists = shown if from_impressions else list(lists_of(store.scan_slates(since_micros, until_micros)))
    released = {record.release: record.create_micros for record in store.list_releases()}
    exposure: defaultdict[str, float] = defaultdict(float)
    young = after = 0.0
    for one in lists:
        for place, item_id in enumerate(one.item_ids, one.offset + 1):
            item = items.get(item_id)
            if item is None:
                continue
            weight = 1.0 / math.log2(1 + place)
            exposure[item_id] += weight
            created = item.create_time.ToMicroseconds()
            since = item.available_from.ToMicroseconds() if item.HasField("available_from") else created
            young += weight * (since > one.time_micros - young_days * _DAY_MICROS)
            after += weight * (created > released.get(one.release, until_micros))
    total = sum(exposure.values())
    per_item = np.sort(np.array([exposure[item_id] for item_id in items], dtype=np.float64))
    return ExposureReport(
        by=by,
        since_micros=since_micros,
        until_micros=until_micros,
        lists=len(lists),
        impressions=from_impressions,
        clicks=sum(clicks[item_id] for item_id in items),
        items=len(items),
        groups=_group_shares(groups_of, exposure, clicks),
        gini=gini(per_item),
        top_percent_share=float(per_item[len(per_item) - math.ceil(len(per_item) / 100) :].sum()) / max(total, 1e-12),
        never_shown_share=float((per_item == 0.0).mean()) if items else 0.0,
        young_days=young_days,
        young_share=young / max(total, 1e-12),
        after_release_share=after / max(total, 1e-12),
        lorenz=lorenz(per_item),
    )


def groups(item: item_pb2.Item, by: str) -> tuple[str, ...]:
    """The groups of an item by one of its attributes."""
    found = [text for name, text in values_of(item) if name == by]
    return tuple(dict.fromkeys(found)) or (NOBODY,)


def lists_of(slates: Iterable[SlateRecord]) -> Iterator[Shown]:
    """What slates show; a next page goes on where the one before it ended."""
    end_of: dict[str, int] = {}
    for slate in slates:
        offset = end_of.get(slate.labels.get(PAGE_OF, ""), 0)
        end_of[slate.recommendation_id] = offset + len(slate.item_ids)
        yield Shown(slate.item_ids, slate.time_micros, offset, slate.release)


def gini(ascending: npt.NDArray[np.float64]) -> float:
    """The Gini coefficient of values in ascending order: 0 where all are the same."""
    count, total = len(ascending), float(ascending.sum())
    if count == 0 or total <= 0.0:
        return 0.0
    ranks = np.arange(1, count + 1)
    return float((2.0 * (ranks * ascending).sum()) / (count * total) - (count + 1) / count)


def lorenz(ascending: npt.NDArray[np.float64]) -> tuple[float, ...]:
    """The share of the total that the least 0 %, 1 %, … 100 % have."""
    total = float(ascending.sum())
    if total <= 0.0:
        return ()
    sums = np.concatenate([[0.0], np.cumsum(ascending)]) / total
    return tuple(float(sums[round(percent / 100 * len(ascending))]) for percent in range(101))


def _group_shares(
    groups_of: Mapping[str, Sequence[str]], exposure: Mapping[str, float], clicks: Mapping[str, int]
) -> tuple[GroupExposure, ...]:
    """The groups, the most exposed first."""
    counts: defaultdict[str, float] = defaultdict(float)
    shown: defaultdict[str, float] = defaultdict(float)
    taken: defaultdict[str, float] = defaultdict(float)
    for item_id, names in groups_of.items():
        for name in names:
            counts[name] += 1.0 / len(names)
            shown[name] += exposure.get(item_id, 0.0) / len(names)
            taken[name] += clicks.get(item_id, 0) / len(names)
    all_shown, all_taken = sum(shown.values()), sum(taken.values())
    found = []
    for name, count in counts.items():
        catalogue = count / max(1, len(groups_of))
        share, merit = shown[name] / max(all_shown, 1e-12), taken[name] / max(all_taken, 1e-12)
        against = share / merit if merit > 0.0 else None
        found.append(GroupExposure(name, count, catalogue, share, merit, share / catalogue, against))
    return tuple(sorted(found, key=lambda group: (-group.exposure_share, group.name)))


def _items(store: Store) -> Iterator[item_pb2.Item]:
    after = ""
    while page := store.list_items(_PAGE, after):
        yield from (stored.item() for stored in page)
        after = page[-1].item_id


def _behaviour(store: Store, since_micros: Micros, until_micros: Micros) -> tuple[list[Shown], Counter[str]]:
    """What was reported as shown, and how often each item was clicked or more, in a time."""
    shown: list[Shown] = []
    clicks: Counter[str] = Counter()
    for logged in store.scan_log():
        if not since_micros <= logged.time_micros < until_micros:
            continue
        if logged.type == event_pb2.EVENT_TYPE_IMPRESSION:
            one = _impression(store, logged)
            if one is not None:
                shown.append(one)
        elif rule(logged.type).positive_weight > 0.0:
            clicks[logged.item_id] += 1
    return shown, clicks


def _impression(store: Store, logged: LoggedEvent) -> Shown | None:
    """What an IMPRESSION says was shown: its own list, one item at its place, or the slate that it cites as served."""
    event = logged.event()
    slate = store.get_slate(event.recommendation_id) if event.recommendation_id else None
    release = slate.release if slate is not None else 0
    if event.shown_item_ids:
        return Shown(tuple(event.shown_item_ids), logged.time_micros, 0, release)
    if event.item_id:
        return Shown((event.item_id,), logged.time_micros, event.position, release)
    return Shown(slate.item_ids, logged.time_micros, 0, release) if slate is not None else None

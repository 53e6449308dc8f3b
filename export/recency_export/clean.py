"""Takes out of a snapshot what should not teach: duplicates, impossible times, machines, bursts, and too much of one user.

Every rule is a mask over the events, applied in the order of RULES; what each one took is counted and reported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from recency_export.settings import CleanSettings
from recency_export.snapshot import Snapshot
from recency_features.history import MICROS_PER_SECOND

Mask = npt.NDArray[np.bool_]
_HOUR_MICROS = 3_600 * MICROS_PER_SECOND
_DAY_MICROS = 24 * _HOUR_MICROS


def clean(snapshot: Snapshot, settings: CleanSettings, now_micros: int) -> tuple[Snapshot, dict[str, int]]:
    """The snapshot without what the rules take, and how many events each rule took."""
    counts: dict[str, int] = {}
    for name, kept_by in RULES.items():
        kept = kept_by(snapshot, settings, now_micros)
        counts[name] = int((~kept).sum())
        if counts[name]:
            snapshot = _only(snapshot, kept)
    counts["impressions"] = int((_impossible(snapshot.shown_micros, settings, now_micros)).sum())
    if counts["impressions"]:
        snapshot = _only_impressions(snapshot, ~_impossible(snapshot.shown_micros, settings, now_micros))
    return snapshot, counts


def sessions(user: npt.NDArray[np.integer], time_micros: npt.NDArray[np.int64], gap_seconds: float) -> int:
    """How many sessions the events (by user, then time) fall into: a longer gap, or another user, begins one."""
    if not len(user):
        return 0
    apart = np.diff(time_micros) > gap_seconds * MICROS_PER_SECOND
    return 1 + int((apart | (np.diff(user) != 0)).sum())


def _duplicates(snapshot: Snapshot, settings: CleanSettings, _: int) -> Mask:
    order, same = _repeats(snapshot, by_type=True)
    close = np.diff(snapshot.time_micros[order]) <= settings.duplicate_seconds * MICROS_PER_SECOND
    return _without(len(order), order[1:][same & close])


def _times(snapshot: Snapshot, settings: CleanSettings, now_micros: int) -> Mask:
    return ~_impossible(snapshot.time_micros, settings, now_micros)


def _bots(snapshot: Snapshot, settings: CleanSettings, _: int) -> Mask:
    """Any user whose event number i + limit comes within an hour of event i."""
    order = np.lexsort((snapshot.time_micros, snapshot.user))
    user, micros = snapshot.user[order], snapshot.time_micros[order]
    limit = settings.bot_events_per_hour
    if len(user) <= limit:
        return np.ones(len(user), dtype=np.bool_)
    dense = (user[limit:] == user[:-limit]) & (micros[limit:] - micros[:-limit] < _HOUR_MICROS)
    return ~np.isin(snapshot.user, np.unique(user[limit:][dense]))


def _bursts(snapshot: Snapshot, settings: CleanSettings, _: int) -> Mask:
    """An event whose user had `limit` events on its item in the day before it, itself not counted."""
    order, _same = _repeats(snapshot, by_type=False)
    limit = settings.item_events_per_day
    user, item, micros = snapshot.user[order], snapshot.item[order], snapshot.time_micros[order]
    if len(user) <= limit:
        return np.ones(len(user), dtype=np.bool_)
    same = (user[limit:] == user[:-limit]) & (item[limit:] == item[:-limit])
    return _without(len(order), order[limit:][same & (micros[limit:] - micros[:-limit] < _DAY_MICROS)])


def _influence(snapshot: Snapshot, settings: CleanSettings, _: int) -> Mask:
    order = np.lexsort((snapshot.sequence, snapshot.time_micros, snapshot.user))
    user = snapshot.user[order]
    newer = np.searchsorted(user, user, side="right") - 1 - np.arange(len(user))
    return _without(len(order), order[newer >= settings.user_events])


RULES: dict[str, Callable[[Snapshot, CleanSettings, int], Mask]] = {
    "impossible_times": _times,
    "duplicates": _duplicates,
    "bots": _bots,
    "bursts": _bursts,
    "over_influence_cap": _influence,
}


def _repeats(snapshot: Snapshot, by_type: bool) -> tuple[npt.NDArray[np.intp], Mask]:
    """An order that puts events of one user on one item (of one type) beside each other by time, and which are so."""
    keys = (
        snapshot.sequence,
        snapshot.time_micros,
        *((snapshot.type,) if by_type else ()),
        snapshot.item,
        snapshot.user,
    )
    order = np.lexsort(keys)
    columns = [snapshot.user, snapshot.item, *([snapshot.type] if by_type else [])]
    same = np.ones(max(0, len(order) - 1), dtype=np.bool_)
    for column in columns:
        same &= np.diff(column[order]) == 0
    return order, same


def _impossible(micros: npt.NDArray[np.int64], settings: CleanSettings, now_micros: int) -> Mask:
    earliest = int(datetime(settings.earliest_year, 1, 1, tzinfo=UTC).timestamp()) * MICROS_PER_SECOND
    latest = now_micros + int(settings.future_seconds * MICROS_PER_SECOND)
    return np.asarray((micros < earliest) | (micros > latest))


def _without(count: int, rows: npt.NDArray[np.intp]) -> Mask:
    kept = np.ones(count, dtype=np.bool_)
    kept[rows] = False
    return kept


def _only(snapshot: Snapshot, kept: Mask) -> Snapshot:
    return replace(
        snapshot,
        user=snapshot.user[kept],
        item=snapshot.item[kept],
        type=snapshot.type[kept],
        time_micros=snapshot.time_micros[kept],
        sequence=snapshot.sequence[kept],
    )


def _only_impressions(snapshot: Snapshot, kept: Mask) -> Snapshot:
    widths = np.diff(snapshot.shown_offsets)
    return replace(
        snapshot,
        shown=snapshot.shown[np.repeat(kept, widths)],
        shown_offsets=np.append(0, np.cumsum(widths[kept])),
        shown_user=snapshot.shown_user[kept],
        shown_micros=snapshot.shown_micros[kept],
        shown_sequence=snapshot.shown_sequence[kept],
    )

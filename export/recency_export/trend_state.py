"""Trends as they were at each case, and as the release starts from: the fold that serving goes on with."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from recency.v1 import event_pb2
from recency_export.cases import Cases
from recency_export.dataset import Dataset
from recency_export.snapshot import Snapshot
from recency_features.history import Interaction
from recency_features.spec import TREND_COLUMNS
from recency_features.trends import HalfLives, Trends


def release_trends(snapshot: Snapshot, half_lives: HalfLives) -> Trends:
    """The fold of every event of the snapshot, events of unknown items too: they join when the item comes."""
    trends = Trends(half_lives)
    for item_id in snapshot.item_ids[: snapshot.item_count]:
        trends.row(item_id)
    rows = zip(snapshot.item.tolist(), snapshot.type.tolist(), snapshot.time_micros.tolist(), strict=True)
    trends.fold([Interaction(snapshot.item_ids[item], kind, micros) for item, kind, micros in rows])
    showings = zip(
        snapshot.shown.tolist(), np.repeat(snapshot.shown_micros, np.diff(snapshot.shown_offsets)).tolist(), strict=True
    )
    trends.fold(
        [Interaction(snapshot.item_ids[item], event_pb2.EVENT_TYPE_IMPRESSION, micros) for item, micros in showings]
    )
    return trends


def trends_before(data: Dataset, cases: Cases, half_lives: HalfLives) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    """(case, trends of all items [N, T] from what was before the case's time), in the order of time."""
    trends = Trends(half_lives)
    rows = np.array([trends.row(item_id) for item_id in data.item_ids], dtype=np.intp)
    times = np.array([one.time_micros for one in data.trending], dtype=np.int64)
    done = 0
    for case in np.argsort(cases.at_micros, kind="stable").tolist():
        now = int(cases.at_micros[case])
        # Events of the very same moment are left out, whoever's they are: which came first is not known.
        until = int(np.searchsorted(times, now, side="left"))
        if until > done:
            trends.fold(data.trending[done:until])
            done = until
        yield case, trends.columns(rows, now, TREND_COLUMNS)

"""Logged impressions → logits of what was shown and whether it was taken: what a probability should be calibrated on.

Legend of shapes: Q impressions, C places (padded behind), T columns of trends.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from recency_export.candidates import Shortlists, affinities, shortlist_features
from recency_export.cases import Cases
from recency_export.dataset import Dataset
from recency_export.serving import TRENDS, Serving
from recency_export.snapshot import Snapshot
from recency_export.trend_state import trends_before
from recency_features.history import MICROS_PER_SECOND
from recency_features.spec import TREND_COLUMNS

# The newest so many impressions count, and so many items of each.
_NEWEST = 2_000
_PLACES = 50
# A positive event so long after an impression is its fruit.
_TAKEN_WITHIN_MICROS = 86_400 * MICROS_PER_SECOND
# Fewer takings than this fit no curve.
LEAST_TAKEN = 50


def shown_observations(
    serving: Serving, data: Dataset, snapshot: Snapshot, limit: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """(logits, taken) of every item of the newest impressions, as the release would have scored them at that moment."""
    cases, shown = impression_cases(data, snapshot)
    if not len(cases):
        return np.zeros(0, dtype=np.float32), np.zeros(0, dtype=np.bool_)
    width = max(len(items) for items in shown)
    ids = np.zeros((len(cases), width), dtype=np.int32)
    usable = np.zeros((len(cases), width), dtype=np.bool_)
    taken = np.zeros((len(cases), width), dtype=np.bool_)
    for row, items in enumerate(shown):
        ids[row, : len(items)] = items
        usable[row, : len(items)] = True
        taken[row, : len(items)] = np.isin(items, taken_after(data, cases, row, data.offsets[1:]))
    found = _scored(serving, data, cases, ids, usable, limit)
    features = shortlist_features(serving, data, cases, found, limit)
    with torch.no_grad():
        logits = serving.ranker(torch.from_numpy(found.base), torch.from_numpy(features)).numpy()
    return logits[usable], taken[usable]


def impression_cases(data: Dataset, snapshot: Snapshot) -> tuple[Cases, list[npt.NDArray[np.int32]]]:
    """The newest impressions of users who have events, as requests without one right answer, and what they showed, in order
    and each item once."""
    newest = np.argsort(snapshot.shown_micros, kind="stable")[-_NEWEST:]
    place = np.searchsorted(data.user_numbers, snapshot.shown_user[newest])
    known = place < data.users
    known[known] = data.user_numbers[place[known]] == snapshot.shown_user[newest][known]
    newest, user = newest[known], place[known].astype(np.int64)
    at = snapshot.shown_micros[newest]
    begin = data.offsets[user]
    end = np.array(
        [
            start + np.searchsorted(data.time_micros[start:stop], micros)
            for start, stop, micros in zip(begin, data.offsets[user + 1], at, strict=True)
        ],
        dtype=np.int64,
    )
    shown = [_once(snapshot.shown[snapshot.shown_offsets[i] : snapshot.shown_offsets[i + 1]][:_PLACES]) for i in newest]
    return Cases(user, begin, end, at, np.full(len(user), -1, dtype=np.int64)), shown


def _once(items: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    first: npt.NDArray[np.int32] = items[np.sort(np.unique(items, return_index=True)[1])]
    return first


def taken_after(data: Dataset, cases: Cases, row: int, end: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """What the user did with effect in the time after an impression, before the user's event `end`."""
    start, stop = int(cases.end[row]), int(end[cases.user[row]])
    soon = data.time_micros[start:stop] <= cases.at_micros[row] + _TAKEN_WITHIN_MICROS
    taken: npt.NDArray[np.int32] = data.item[start:stop][soon & (data.positive[start:stop] > 0)]
    return taken


def _scored(
    serving: Serving,
    data: Dataset,
    cases: Cases,
    ids: npt.NDArray[np.int32],
    usable: npt.NDArray[np.bool_],
    limit: int,
) -> Shortlists:
    """The named items with their retrieval logits and trends at each case's time."""
    vectors, lengths = affinities(serving, data, cases, limit)
    with torch.no_grad():
        weights_QT = serving.trend_weights(lengths).numpy()
        items = serving.items.numpy()
    base = np.zeros(ids.shape, dtype=np.float32)
    log_trend = np.zeros((*ids.shape, TREND_COLUMNS), dtype=np.float32)
    for case, trend_NT in trends_before(data, cases, serving.half_lives):
        log_trend[case] = np.log1p(trend_NT[ids[case]])
        base[case] = items[ids[case]] @ vectors[case].numpy() + log_trend[case][:, :TRENDS] @ weights_QT[case]
    return Shortlists(0, ids, base, log_trend, usable, np.zeros(len(ids), dtype=np.int64))

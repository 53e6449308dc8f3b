"""The models that any figure of ours stands beside, fitted on the same known events and asked about the same cases."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from recency_bench.intervals import Gains
from recency_bench.quality import TOP, Row, row
from recency_bench.split import Split
from recency_bench.stretch import Cases, Stretch
from recency_export.evaluate import decayed_popularity, ease, ranks_of, session_ease
from recency_features.events import rule
from recency_store.records import LoggedEvent

# EASE inverts an items × items matrix: past this many it is no longer a matter of seconds.
_MAX_EASE_ITEMS = 8_000
# Cases whose popularity is computed at once: a matrix of these × items.
_POPULARITY_CASES = 2_000

Sequences = list[npt.NDArray[np.int64]]
_Fit = Callable[[Sequences, int], Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float32]]]


def reference_rows(split: Split, *, leave_seen_out: bool) -> list[Row]:
    """session-EASE, EASE and time-decayed popularity, full ranking, ties counted against the target."""
    index = {item_id: number for number, item_id in enumerate(split.item_ids())}
    known = [e for e in split.known if rule(e.type).positive_weight]
    item = np.array([index[e.item_id] for e in known], dtype=np.int64)
    when = np.array([e.time_micros for e in known], dtype=np.int64)
    of_user: dict[str, list[int]] = {}
    for event in known:
        of_user.setdefault(event.user_id, []).append(index[event.item_id])
    sequences = {user: np.array(items, dtype=np.int64) for user, items in of_user.items()}
    histories = [sequences[case.user_id] for case in split.test]
    targets = np.array([index[case.item_id] for case in split.test], dtype=np.int64)
    nothing = np.zeros(0, dtype=np.int64)
    left_out = [np.unique(history) if leave_seen_out else nothing for history in histories]
    fits: dict[str, _Fit] = {"session-EASE": session_ease, "EASE": ease} if len(index) <= _MAX_EASE_ITEMS else {}
    rows = []
    for name, fit in fits.items():
        started = time.perf_counter()
        score = fit(list(sequences.values()), len(index))
        seconds = time.perf_counter() - started
        ranks = np.concatenate(
            [ranks_of(score(h)[None], targets[i : i + 1], left_out[i : i + 1]) for i, h in enumerate(histories)]
        )
        rows.append(row(name, [ranks], seconds))
    at = np.array([case.time_micros for case in split.test], dtype=np.int64)
    popularity = decayed_popularity(item, when, len(index), at)
    rows.append(row("popularity, 7 days", [ranks_of(popularity, targets, left_out)], 0.0))
    return rows


def popularity_gains(stretch: Stretch, cases: Cases) -> Gains:
    """What counts that halve every 7 days would have shown, all earlier events known and seen items left out."""
    events = [*stretch.known, *stretch.stream]
    index: dict[str, int] = {}
    item = np.array([index.setdefault(event.item_id, len(index)) for event in events], dtype=np.int64)
    when = np.array([event.time_micros for event in events], dtype=np.int64)
    counted = np.array([rule(event.type).positive_weight > 0 for event in events], dtype=np.bool_)
    seen = _seen_before(events, item, len(stretch.known) + cases.place)
    gains: list[Gains] = []
    for start in range(0, len(cases), _POPULARITY_CASES):
        places = len(stretch.known) + cases.place[start : start + _POPULARITY_CASES]
        scores = decayed_popularity(item[counted], when[counted], len(index), when[places])
        ranks = ranks_of(scores, item[places], seen[start : start + len(places)])
        gains.append(np.where(ranks <= TOP, 1.0 / np.log2(ranks + 1.0), 0.0).astype(np.float32))
    return np.concatenate(gains)


def _seen_before(
    events: Sequence[LoggedEvent], item: npt.NDArray[np.int64], places: npt.NDArray[np.int64]
) -> list[npt.NDArray[np.int64]]:
    """What each case's user had consumed by then."""
    of_user: dict[str, list[int]] = {}
    seen: list[npt.NDArray[np.int64]] = []
    asked = set(places.tolist())
    for place, event in enumerate(events):
        mine = of_user.setdefault(event.user_id, [])
        if place in asked:
            seen.append(np.array(mine, dtype=np.int64))
        if rule(event.type).marks_seen:
            mine.append(int(item[place]))
    return seen

"""The tables of an item release: the item matrix with what was learned, and co-occurrence counted up to now.

Legend of shapes: N items of the new release, P of its parent, D item vector width, W learned width, M neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from recency_export.cooccurrence import KINDS, Cooccurrence, Sequences, count_together
from recency_export.settings import RankerSettings
from recency_features.events import rule
from recency_features.history import Interaction
from recency_features.standing import TakenBack, difference
from recency_features.trends import to_fold
from recency_store.manifest import Manifest
from recency_store.protocol import Store
from recency_store.records import LearnedRow, LoggedEvent, StoredItem

F32 = npt.NDArray[np.float32]
Tables = Mapping[str, npt.NDArray[Any]]

# Past so many items a count takes longer than an item release may: known items then keep what their parent counted.
_RECOUNT_DENSE = 2_500
_RECOUNT_LISTS = 20_000
# A user's newest events that are looked through for what was taken back.
_USER_EVENTS = 10_000


@dataclass(frozen=True, slots=True)
class Log:
    """What an item release reads of the log: each user's positive items oldest first (rows of the release), the newest
    event's time, how many events there are, those that the parent's trends have not folded yet, and those that these take
    back of what it has folded."""

    sequences: Sequences
    newest_micros: int
    events: int
    unfolded: Sequence[Interaction]
    taken_back: Sequence[Interaction]


def read_log(store: Store, through: int, folded: int, row_of: Mapping[str, int]) -> Log:
    """Reads the log up to a sequence; what was taken back, and who does not want to be learned from, is left out."""
    by_user: dict[str, list[tuple[int, int, LoggedEvent]]] = {}
    taken_back = TakenBack()
    unfolded: list[LoggedEvent] = []
    newest = events = 0
    refusing = store.users_not_training()
    for logged in store.scan_log(0, through):
        newest = max(newest, logged.time_micros)
        if logged.sequence > folded and logged.user_id not in refusing:
            unfolded.append(logged)
        taken_back.add(logged)
        row = row_of.get(logged.item_id)
        if row is not None and rule(logged.type).in_history:
            events += 1
            if rule(logged.type).positive_weight > 0:
                by_user.setdefault(logged.user_id, []).append((logged.time_micros, row, logged))
    sequences = [
        np.array([row for _, row, event in sorted(seen, key=_time) if event not in taken_back], dtype=np.int32)
        for user_id, seen in by_user.items()
        if user_id not in refusing
    ]
    come, gone = difference(unfolded, lambda user_id: store.read_user(user_id, _USER_EVENTS), set())
    return Log(sequences, newest, events, to_fold(come), to_fold(gone))


def _time(entry: tuple[int, int, LoggedEvent]) -> int:
    return entry[0]


def learned_matrix(
    item_ids: Sequence[str],
    parent_PD: F32,
    space: Mapping[str, F32],
    texts: Mapping[str, StoredItem],
    rows: Sequence[LearnedRow],
    place_item: Callable[[StoredItem], F32],
    manifest: Manifest,
) -> F32:
    """The new item matrix [N, D]: the parent's rows, what new items' texts and own vectors say, and what was learned of
    either.

    `space` has the learned vectors of the full release's own items: a residual is relative to these, and to what
    `place_item` makes of an item that the space lacks.
    """
    width = manifest.learned_dim
    row_of = {item_id: row for row, item_id in enumerate(item_ids)}
    matrix = np.zeros((len(item_ids), manifest.dim), dtype=np.float32)
    matrix[: len(parent_PD)] = parent_PD
    for item_id in item_ids[len(parent_PD) :]:
        matrix[row_of[item_id]] = place_item(texts[item_id])
    for learned in rows:
        row = row_of.get(learned.item_id)
        if row is None or len(learned.residual) != 4 * width:
            continue
        base = space.get(learned.item_id)
        if base is None:
            item = texts.get(learned.item_id)
            if item is None:
                # Gone from the catalogue since: its row stays as it is, and no answer may hold it.
                continue
            matrix[row] = place_item(item)
            base = matrix[row, :width]
        matrix[row, :width] = base + np.frombuffer(learned.residual, dtype="<f4")
    return matrix


def counted_tables(parent: Tables, sequences: Sequences, items: int, settings: RankerSettings) -> Tables:
    """Co-occurrence of the same shape of table as the parent's, counted anew where that is quick."""
    dense = "pairs" in parent
    before = len(parent["items"])
    if items <= (_RECOUNT_DENSE if dense else _RECOUNT_LISTS):
        width = 0 if dense else parent["neighbour_ids"].shape[1]
        chosen = replace(settings, dense_items=items if dense else 0, neighbours=width or settings.neighbours)
        return count_together(sequences, items, chosen).arrays()
    count = np.bincount(np.concatenate([*sequences, np.zeros(0, dtype=np.int32)]), minlength=items).astype(np.float32)
    if dense:
        pairs = np.zeros((items, items, KINDS), dtype=np.float32)
        pairs[:before, :before] = parent["pairs"].reshape(before, before, KINDS)
        return Cooccurrence(count, pairs.reshape(items * items, KINDS), None, None).arrays()
    # Past the last row is no item: that place has moved.
    known = np.where(parent["neighbour_ids"] == before, items, parent["neighbour_ids"])
    more = items - before
    ids = np.concatenate([known, np.full((more, known.shape[1]), items)]).astype(np.int32)
    weights = np.concatenate([parent["neighbour_weights"], np.zeros((more, known.shape[1] * KINDS))]).astype(np.float32)
    return Cooccurrence(count, None, ids, weights.reshape(items, -1, KINDS)).arrays()

"""Users as they were before an event, beside the item that came: what a language model is adapted on.

Legend of shapes: V pairs, W the learned width, N items.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from recency_export.cases import case_histories, whole_cases
from recency_export.dataset import Dataset
from recency_export.model import Retrieval
from recency_export.train import user_vectors


@dataclass(frozen=True, slots=True)
class Pairs:
    """users float32 [V, W], target int64 [V], weight float32 [V]; popularity float32 [N], each item's share of the targets.

    seen_keys, seen_since   what each user had consumed since which event: sorted user · N + item, and an event number;
    owner, event            int64 [V]: whose pair it is, and the event's number
    """

    users: npt.NDArray[np.float32]
    target: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float32]
    popularity: npt.NDArray[np.float32]
    owner: npt.NDArray[np.int64]
    event: npt.NDArray[np.int64]
    seen_keys: npt.NDArray[np.int64]
    seen_since: npt.NDArray[np.int64]

    def consumed(self, rows: npt.NDArray[np.int64], items: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Whether the users of some pairs had consumed some items by then, [rows, items]."""
        if not len(self.seen_keys):
            return np.zeros((len(rows), len(items)), dtype=np.bool_)
        keys = self.owner[rows][:, None] * len(self.popularity) + items[None, :]
        at = np.minimum(np.searchsorted(self.seen_keys, keys), len(self.seen_keys) - 1)
        found: npt.NDArray[np.bool_] = (self.seen_keys[at] == keys) & (self.seen_since[at] < self.event[rows][:, None])
        return found


def training_pairs(model: Retrieval, data: Dataset, limit: int, most: int) -> Pairs:
    """The newest `most` positive events that the retrieval model may see, with the user vectors that it makes of what was
    before them."""
    inside = np.zeros(len(data.item), dtype=np.bool_)
    for start, end in zip(data.offsets[:-1], data.train_end, strict=True):
        inside[start:end] = True
    events = np.flatnonzero(inside & (data.positive > 0))
    newest = np.argsort(data.time_micros[events], kind="stable")[-most:]
    events = np.sort(events[newest])
    cases = whole_cases(data, events)
    model.eval()
    with torch.no_grad():
        users = user_vectors(model, model.items(), case_histories(data, cases, limit)).numpy()
    weight = data.positive[events]
    popularity = np.bincount(data.item[events], weights=weight, minlength=len(data.item_ids))
    keys, since = _seen(data)
    return Pairs(
        users=users,
        target=data.item[events].astype(np.int64),
        weight=weight,
        popularity=(popularity / max(popularity.sum(), 1e-9)).astype(np.float32),
        owner=cases.user,
        event=events,
        seen_keys=keys,
        seen_since=since,
    )


def _seen(data: Dataset) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Nothing where the catalogue is consumed again."""
    if data.consumed_again:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    events = np.flatnonzero(data.marks_seen)
    keys = data.user_of[events].astype(np.int64) * len(data.item_ids) + data.item[events]
    # The first of each: numbers of a user's events grow with time.
    unique, first = np.unique(keys, return_index=True)
    return unique, events[first]

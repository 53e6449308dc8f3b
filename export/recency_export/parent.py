"""The parent release as it serves, in torch: its own item matrix and tables, over the candidate's items.

An item that it does not know is answered for as the overlay does it: by its text and its own vectors, with no co-occurrence.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from recency_export.cooccurrence import KINDS, Cooccurrence, count_together, positive_sequences
from recency_export.dataset import Dataset, newest_from
from recency_export.serving import Serving
from recency_export.shared_tables import read_tables
from recency_export.trained import Trained, retrieval_of, rows_by_id
from recency_features.spaces import Directions


@dataclass(frozen=True, slots=True)
class Parent:
    """The release that serves: its folder, and its items row by row."""

    folder: Path
    item_ids: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path) -> Parent:
        """Opens a release's folder."""
        ids = json.loads((folder / "item_ids.json").read_text(encoding="utf-8"))
        return cls(folder, tuple(ids))


def parent_serving(
    parent: Parent,
    trained: Trained,
    item_ids: Sequence[str],
    text_vectors: npt.NDArray[np.float32],
    directions: Directions,
    data: Dataset,
    after: int,
) -> Serving:
    """`trained` is the full release whose weights the parent serves; `after` how far that one was trained."""
    tables = read_tables(parent.folder)
    projection = np.load(parent.folder / "projection.npy")
    known = np.isin(np.array(item_ids), np.array(parent.item_ids))
    matrix = rows_by_id(parent.item_ids, np.asarray(tables["items"]), item_ids)
    matrix[~known] = text_vectors[~known] @ projection
    for space in trained.spaces:
        if space.name in directions and directions[space.name].shape[1] == space.size:
            matrix[~known, : trained.model.learned_dim] += space.placed(directions[space.name][~known])
    users = retrieval_of(trained, item_ids, text_vectors).users
    together = _same(tables) if tuple(item_ids) == parent.item_ids else _counted(data, after, len(item_ids), trained)
    serving = Serving(np.ascontiguousarray(matrix, dtype=np.float32), users, together, trained.model, trained.ranker)
    fitted = {name: torch.from_numpy(np.array(array)) for name, array in trained.fitted.items()}
    serving.load_state_dict(fitted, strict=False)
    return serving.eval()


def _same(tables: dict[str, npt.NDArray[np.generic]]) -> Cooccurrence:
    """The very tables of the release."""

    def copied(name: str) -> npt.NDArray[np.float32] | None:
        return np.array(tables[name]) if name in tables else None

    ids, weights = tables.get("neighbour_ids"), copied("neighbour_weights")
    return Cooccurrence(
        count=np.expm1(np.asarray(tables["log_count"], dtype=np.float32)[:, 0]),
        dense=copied("pairs"),
        neighbour_ids=None if ids is None else np.array(ids, dtype=np.int32),
        neighbour_weights=None if weights is None else weights.reshape(len(weights), -1, KINDS),
    )


def _counted(data: Dataset, after: int, items: int, trained: Trained) -> Cooccurrence:
    """Counted again on what the parent had: its own are over other rows."""
    begin = newest_from(data.sequence, data.offsets, after)
    return count_together(positive_sequences(replace(data, train_end=begin), False), items, trained.ranker)

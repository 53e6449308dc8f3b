"""The items of one space as the learner has them: the full release's rows, then the fresh items in the order they came.

Legend of shapes: N items (fresh ones included), W learned width, D item vector width.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recency_export.shared_tables import item_ids_of, read_tables
from recency_features.spaces import Space, place, read_spaces
from recency_store.manifest import Manifest
from recency_store.protocol import Store
from recency_store.records import LearnedRow, StoredItem

F32 = npt.NDArray[np.float32]
_PAGE = 1_000
_ROOM = 256


@dataclass(frozen=True, slots=True)
class SpaceBase:
    """What a full release's folder says of its space; `trained_N` is how many events it was trained on by item."""

    manifest: Manifest
    item_ids: list[str]
    vectors_NW: F32
    trained_N: F32
    projection: F32
    spaces: tuple[Space, ...] = ()


def read_base(folder: Path, manifest: Manifest) -> SpaceBase:
    """Reads a full release's folder; ManifestError where the files do not fit."""
    tables = read_tables(folder)
    return SpaceBase(
        manifest=manifest,
        item_ids=item_ids_of(folder),
        vectors_NW=np.array(tables["items"][:, : manifest.learned_dim], dtype=np.float32),
        trained_N=np.expm1(tables["log_count"][:, 0]).astype(np.float32),
        projection=np.load(folder / "projection.npy", allow_pickle=False).astype(np.float32),
        spaces=read_spaces(folder, manifest),
    )


class Items:
    """Vectors, residuals, and which items an answer may hold."""

    def __init__(self, base: SpaceBase) -> None:
        self.manifest = base.manifest
        self.row_of = {item_id: row for row, item_id in enumerate(base.item_ids)}
        self.item_ids = list(base.item_ids)
        self.known = len(base.item_ids)
        self._projection = base.projection[:, : base.manifest.learned_dim]
        self._spaces = base.spaces
        self._base_NW = base.vectors_NW
        self._trained_N = base.trained_N
        self._taught_N = base.trained_N.copy()
        self._residual_NW = np.zeros_like(base.vectors_NW)
        self._saved_NW = np.zeros_like(base.vectors_NW)
        # Closed until the catalogue says otherwise.
        self._closed_N = np.ones(self.known, dtype=bool)
        self._waiting: set[str] = set()

    def __len__(self) -> int:
        return len(self.item_ids)

    @property
    def vectors(self) -> F32:
        """Learned vectors now, [N, W]."""
        vectors: F32 = self._base_NW[: len(self)] + self._residual_NW[: len(self)]
        return vectors

    @property
    def residuals(self) -> F32:
        """[N, W], a view."""
        return self._residual_NW[: len(self)]

    @property
    def closed(self) -> npt.NDArray[np.bool_]:
        """Items that are hidden or gone, [N]."""
        return self._closed_N[: len(self)]

    @property
    def trained(self) -> npt.NDArray[np.bool_]:
        """Items that the release was trained on, [N]."""
        trained_N: npt.NDArray[np.bool_] = self._trained_N[: len(self)] > 0
        return trained_N

    @property
    def taught(self) -> F32:
        """How many events taught each item, in training and since, [N]."""
        return self._taught_N[: len(self)]

    def count(self, rows: Sequence[int]) -> None:
        """Events since, by the row of their item."""
        np.add.at(self._taught_N, np.asarray(rows, dtype=np.intp), 1.0)

    def fresh_vector(self, item_id: str) -> F32 | None:
        """The vector of an item, by its id."""
        row = self.row_of.get(item_id)
        if row is None:
            return None
        vector: F32 = self._base_NW[row] + self._residual_NW[row]
        return vector

    def load(self, store: Store) -> None:
        """Takes in the whole catalogue."""
        after = ""
        while page := store.list_items(_PAGE, after):
            self.take_in(page)
            after = page[-1].item_id

    def take_in(self, items: Iterable[StoredItem]) -> None:
        """New states of items; one that the space lacks gets a row as soon as it has a vector of our language model."""
        for item in items:
            row = self.row_of.get(item.item_id)
            self._waiting.discard(item.item_id)
            if not item.deleted and (row is None or row >= self.known):
                if item.text_vector and item.text_encoder == self.manifest.text_encoder_digest:
                    row = self._put_fresh(item) if row is None else self._replace(row, item)
                else:
                    self._waiting.add(item.item_id)
            if row is not None:
                self._closed_N[row] = not item.visible

    def take_in_waiting(self, store: Store) -> None:
        """Looks again at items that had no vector yet: writing one makes no new revision."""
        if self._waiting:
            self.take_in(store.get_items(sorted(self._waiting)[:_PAGE]).values())

    def restore(self, rows: Iterable[LearnedRow]) -> None:
        """Residuals as they are stored. One of an item that is not here any more is left alone."""
        for row in rows:
            place = self.row_of.get(row.item_id)
            if place is not None:
                self._residual_NW[place] = self._saved_NW[place] = np.frombuffer(row.residual, dtype="<f4")

    def due(self, residual_NW: F32, save_norm: float, always: Collection[int]) -> Sequence[int]:
        """The rows whose residual has to be saved: those that must, and those that drifted far enough."""
        drift_N = np.linalg.norm(residual_NW - self._saved_NW[: len(self)], axis=1)
        return sorted({*np.flatnonzero(drift_N >= save_norm).tolist(), *always})

    def rows(self, residual_NW: F32, places: Sequence[int]) -> list[LearnedRow]:
        """Rows as the store keeps them."""
        return [LearnedRow(self.item_ids[row], residual_NW[row].astype("<f4").tobytes()) for row in places]

    def gone(self, item_ids: Collection[str]) -> list[LearnedRow]:
        """Rows that say that nothing was learned of items, for those of the ids that are not here any more."""
        nothing = np.zeros(self.manifest.learned_dim, dtype="<f4").tobytes()
        return [LearnedRow(item_id, nothing) for item_id in sorted(item_ids) if item_id not in self.row_of]

    def keep(self, residual_NW: F32, saved: Sequence[int]) -> None:
        """Makes residuals the ones that hold, `saved` of them as they are stored."""
        self._residual_NW[: len(self)] = residual_NW
        places = np.asarray(saved, dtype=np.intp)
        self._saved_NW[places] = residual_NW[places]

    def _put_fresh(self, item: StoredItem) -> int:
        row = len(self.item_ids)
        if row == len(self._base_NW):
            self._base_NW, self._residual_NW, self._saved_NW = (
                _grown(array) for array in (self._base_NW, self._residual_NW, self._saved_NW)
            )
            self._trained_N, self._taught_N, self._closed_N = (
                _grown(array) for array in (self._trained_N, self._taught_N, self._closed_N)
            )
        self.item_ids.append(item.item_id)
        self.row_of[item.item_id] = row
        return self._replace(row, item)

    def _replace(self, row: int, item: StoredItem) -> int:
        self._base_NW[row] = place(item, self._projection, self._spaces)
        return row


def _grown(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    rest = np.zeros((max(_ROOM, len(array) // 2), *array.shape[1:]), dtype=array.dtype)
    return np.concatenate([array, rest])

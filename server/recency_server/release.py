"""One live release: what of its folder the gateway reads, and the overlay of what is newer than it.

Legend: N items of the release, R rows for fresh items, D item vector width, T columns of trends. Index i < N is the
release's own item, from N on a fresh one; an index never changes its item while the release lives.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from recency_features.overlay import HIDDEN, Overlay
from recency_features.spaces import Space, place
from recency_features.tokens import Tokens
from recency_features.trends import Trends
from recency_inference.client import RawTensor
from recency_server.catalog import Entry
from recency_server.release_trends import ReleaseTrends
from recency_store.manifest import Manifest
from recency_store.records import ReleaseRecord, StoredItem

# Rows for fresh items grow in these steps, so that shapes seldom change.
_FRESH_STEPS = (1, 16, 64, 256, 1024, 4096, 16_384)
MAX_FRESH = _FRESH_STEPS[-1]
# Items by which it is measured how far scores spread.
_SAMPLE = 2_000

F32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ReleaseContent:
    """What a release folder holds, read: items_ND is mapped, not copied; trends is the fold up to trained-through."""

    record: ReleaseRecord
    manifest: Manifest
    item_ids: list[str]
    items_ND: F32
    projection: F32
    tokens: Tokens
    trends: Trends
    spaces: tuple[Space, ...] = ()


class Release:
    """A release that serves, or is being made ready to. All methods run on the event loop, except `block_all`."""

    def __init__(self, content: ReleaseContent) -> None:
        self.record = content.record
        self.manifest = content.manifest
        self.number = content.manifest.release
        self.tokens = content.tokens
        self.projection = content.projection
        self.spaces = content.spaces
        self.item_ids = list(content.item_ids)
        self.index_of = {item_id: index for index, item_id in enumerate(content.item_ids)}
        self.item_count = len(content.item_ids)
        self._items_ND = content.items_ND
        # Requests that hold it.
        self.held = 0
        # Items of the catalogue that wait for their text vector: id → (revision, time of the change), oldest first.
        self.pending: dict[str, tuple[int, int]] = {}
        self._fresh_RD: F32 = np.zeros((_FRESH_STEPS[0], self._items_ND.shape[1]), dtype=np.float32)
        # What fresh items' texts and own vectors say, and what the item learner added to each; it may know an item before
        # we do.
        self._told_RD = self._fresh_RD.copy()
        self._residuals: dict[str, F32] = {}
        size = self.item_count + len(self._fresh_RD)
        self._blocked = np.ones(size, dtype=bool)
        self._windowed: dict[int, Entry] = {}
        self.trends = ReleaseTrends(content.manifest, content.item_ids, content.trends, size)
        # What business rules add to scores, by item, and the same by index.
        self.lifts: Mapping[str, float] = {}
        self._lift: F32 = np.zeros(size, dtype=np.float32)
        self._lifted_items = 0
        self._since_N = np.zeros(size, dtype=np.int64)
        self._stale: set[str] = {"item_bias", "item_trend", "fresh_vectors"}
        self._tensors: dict[str, RawTensor] = {}

    @property
    def fresh_count(self) -> int:
        """How many items came after the release."""
        return len(self.item_ids) - self.item_count

    @property
    def row_count(self) -> int:
        """N + R: how long the overlay is."""
        return len(self._blocked)

    def vectors_of(self, indices: Sequence[int]) -> F32:
        """The item vectors [K, D] of some indices, fresh ones included."""
        wanted = np.asarray(indices, dtype=np.intp)
        known = wanted < self.item_count
        found_KD = np.empty((len(wanted), self._items_ND.shape[1]), dtype=np.float32)
        found_KD[known] = self._items_ND[wanted[known]]
        found_KD[~known] = self._fresh_RD[wanted[~known] - self.item_count]
        return found_KD

    @property
    def since_micros(self) -> npt.NDArray[np.int64]:
        """Since when each item has been there to be shown, by index; 0 for one that is not there any more."""
        return self._since_N[: len(self.item_ids)]

    def taken_up(self, item_ids: Iterable[str]) -> dict[str, float]:
        """How often each item was taken up lately, decayed; those that the release knows."""
        known = {item_id: index for item_id in item_ids if (index := self.index_of.get(item_id)) is not None}
        return dict(zip(known, self.trends.counts(list(known.values())).tolist(), strict=True))

    def spread(self, vector_D: F32) -> float:
        """How far a vector's scores spread over the items: the standard deviation over a sample of the release's own."""
        return math.sqrt(max(0.0, float(vector_D @ self._covariance_DD @ vector_D)))

    @cached_property
    def _covariance_DD(self) -> F32:
        sample_SD = self._items_ND[:: max(1, self.item_count // _SAMPLE)]
        covariance_DD: F32 = np.cov(sample_SD, rowvar=False, bias=True).astype(np.float32)
        return covariance_DD

    def oldest_pending_micros(self) -> int | None:
        """Since when an item waits to be embedded, None where none does."""
        return next(iter(self.pending.values()))[1] if self.pending else None

    def take_in(self, item: StoredItem, entry: Entry | None, now_micros: int) -> None:
        """Takes in a new state of an item: shown or not; and one that the release does not have gets a row as soon as it
        has a vector by this release's language model."""
        index = self.index_of.get(item.item_id)
        self.show(item.item_id, entry, now_micros)
        if entry is None:
            self.pending.pop(item.item_id, None)
        elif index is None or index >= self.item_count:
            if item.text_encoder == self.manifest.text_encoder_digest and item.text_vector:
                self.put_fresh(item.item_id, place(item, self.projection, self.spaces), entry, now_micros)
                self.pending.pop(item.item_id, None)
            elif index is not None or self.fresh_count + len(self.pending) < MAX_FRESH:
                self.pending[item.item_id] = (item.revision, item.update_micros)

    def block_all(self, entries: Mapping[str, Entry], now_micros: int) -> None:
        """Sets for every item whether it may be shown. Only before the release is live; may run in a thread."""
        for index, item_id in enumerate(self.item_ids):
            self._show(index, entries.get(item_id), now_micros)

    def show(self, item_id: str, entry: Entry | None, now_micros: int) -> None:
        """Takes in a new state of an item, None where it was deleted."""
        index = self.index_of.get(item_id)
        if index is not None:
            self._show(index, entry, now_micros)
            self._stale.add("item_bias")

    def put_fresh(self, item_id: str, vector_D: F32, entry: Entry | None, now_micros: int) -> bool:
        """Adds an item that the release does not have, or replaces the vector that its text and own vectors give; what was
        learned is added to it. False where there is no room left."""
        index = self.index_of.get(item_id)
        if index is None:
            if self.fresh_count == MAX_FRESH:
                return False
            index = len(self.item_ids)
            self._make_room(index + 1 - self.item_count)
            self.trends.put(index, item_id)
            self.item_ids.append(item_id)
            self.index_of[item_id] = index
        if index >= self.item_count:
            self._told_RD[index - self.item_count] = vector_D
            self._add_learned(index - self.item_count, item_id)
            self._show(index, entry, now_micros)
            self._stale |= {"item_bias", "fresh_vectors"}
        return True

    @property
    def learned_count(self) -> int:
        """Of how many items that the release does not have a residual is known."""
        return len(self._residuals)

    def learn(self, residuals: Iterable[tuple[str, F32]]) -> None:
        """Takes in what the item learner adds to the vectors of items that the release does not have, [W] each."""
        for item_id, residual in residuals:
            self._residuals[item_id] = residual
            index = self.index_of.get(item_id)
            if index is not None and index >= self.item_count:
                self._add_learned(index - self.item_count, item_id)
        self._stale.add("fresh_vectors")

    def refresh(self, trends: Trends, trend_micros: int, now_micros: int) -> None:
        """Brings live biases up to a time: trends, and items whose time window opens or closes."""
        self.trends.refresh(trends, self.index_of, trend_micros)
        for index, entry in self._windowed.items():
            self._blocked[index] = not entry.shown_at(now_micros)
        self._stale |= {"item_bias", "item_trend"}

    def lift(self, lifts: Mapping[str, float]) -> None:
        """Takes in what business rules add to scores, -inf for what they leave out. Nothing is done where that is the
        mapping it has and no item has come."""
        if lifts is self.lifts and self._lifted_items == len(self.item_ids):
            return
        self.lifts, self._lifted_items = lifts, len(self.item_ids)
        self._lift = np.zeros_like(self._lift)
        for item_id, by in lifts.items():
            index = self.index_of.get(item_id)
            if index is not None:
                self._lift[index] = by
        self._stale.add("item_bias")

    def map_trends(self, trends: Trends, most: int) -> bool:
        """Finds so many of the live fold's rows before the release is live; True while there are more."""
        return self.trends.map(trends, self.index_of, most)

    def trained_trend(self) -> F32:
        """Trends at trained-through time, float32 [N+1, T]: the overlay of a release with nothing newer."""
        return self.trends.trained(self.item_count)

    def overlay(self) -> Overlay:
        """The overlay as it is now. Its arrays are not changed afterwards."""
        return Overlay(item_bias=self._item_bias(), item_trend=self.trends.now, fresh_vectors=self._fresh_RD.copy())

    def overlay_tensors(self) -> Mapping[str, RawTensor]:
        """The overlay as serialised tensors; what has not changed since the last call is not made again."""
        if self._stale:
            if "item_bias" in self._stale:
                self._tensors["item_bias"] = RawTensor.of(self._item_bias())
            if "item_trend" in self._stale:
                self._tensors["item_trend"] = RawTensor.of(self.trends.now)
            if "fresh_vectors" in self._stale:
                self._tensors["fresh_vectors"] = RawTensor.of(self._fresh_RD)
            self._stale = set()
        return self._tensors

    def as_trained(self) -> Mapping[str, RawTensor]:
        """The parts of the overlay that are other where trends are as they were when the release was trained."""
        return {
            "item_bias": RawTensor.of(np.where(self._blocked, np.float32(HIDDEN), self._lift)),
            "item_trend": RawTensor.of(self.trends.all_trained()),
        }

    def _item_bias(self) -> F32:
        bias: F32 = np.where(self._blocked, np.float32(HIDDEN), self.trends.bias + self._lift)
        return bias

    def _add_learned(self, row: int, item_id: str) -> None:
        self._fresh_RD[row] = self._told_RD[row]
        residual = self._residuals.get(item_id)
        if residual is not None:
            self._fresh_RD[row, : len(residual)] += residual

    def _show(self, index: int, entry: Entry | None, now_micros: int) -> None:
        self._since_N[index] = entry.since_micros if entry is not None else 0
        self._blocked[index] = entry is None or not entry.shown_at(now_micros)
        if entry is not None and entry.windowed:
            self._windowed[index] = entry
        else:
            self._windowed.pop(index, None)

    def _make_room(self, rows: int) -> None:
        if rows <= len(self._fresh_RD):
            return
        more = next(step for step in _FRESH_STEPS if step >= rows) - len(self._fresh_RD)
        self._fresh_RD = _grown(self._fresh_RD, more, 0)
        self._told_RD = _grown(self._told_RD, more, 0)
        self._blocked = _grown(self._blocked, more, True)
        self.trends.make_room(more)
        self._lift = _grown(self._lift, more, 0)
        self._since_N = _grown(self._since_N, more, 0)
        self._stale |= {"item_bias", "item_trend", "fresh_vectors"}


def _grown(array: npt.NDArray[Any], more: int, fill: Any) -> npt.NDArray[Any]:
    rest = np.full((more, *array.shape[1:]), fill, dtype=array.dtype)
    return np.concatenate([array, rest])

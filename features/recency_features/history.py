"""A user's events → the arrays that the models read. Training and serving both call this, training with the target's time
and only the events before it, serving with now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from recency_features.events import rule
from recency_features.spec import PAD

MICROS_PER_SECOND = 1_000_000


class Interaction(NamedTuple):
    """One event as the user encoder reads it."""

    item_id: str
    type: int
    time_micros: int


@dataclass(frozen=True, slots=True)
class HistoryArrays:
    """One user's history, unpadded, newest last: at most L positions.

    ids int32, types int32, ages_seconds float32 (not below 0), all [length].
    """

    ids: npt.NDArray[np.int32]
    types: npt.NDArray[np.int32]
    ages_seconds: npt.NDArray[np.float32]

    @property
    def length(self) -> int:
        """How many positions it has."""
        return int(self.ids.shape[0])


@dataclass(frozen=True, slots=True)
class KnownHistory:
    """The positions of one user's history with their times instead of ages, so that it can be kept between requests.

    ids int32, types int32, times_micros int64, all [length], newest last.
    """

    ids: npt.NDArray[np.int32]
    types: npt.NDArray[np.int32]
    times_micros: npt.NDArray[np.int64]

    def as_of(self, as_of_micros: int) -> HistoryArrays:
        """The same with ages at a time."""
        return HistoryArrays(self.ids, self.types, ages_seconds(self.times_micros, as_of_micros))


def ages_seconds(
    times_micros: npt.NDArray[np.int64], as_of_micros: int | npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """How old times are at a time, in seconds; a time later than it has age 0."""
    ages: npt.NDArray[np.float32] = (np.maximum(as_of_micros - times_micros, 0) / MICROS_PER_SECOND).astype(np.float32)
    return ages


def known_history(interactions: Sequence[Interaction], index_of: Mapping[str, int], limit: int) -> KnownHistory:
    """The newest `limit` interactions (given oldest first) that are in histories and whose item the release or the overlay
    knows."""
    kept: list[tuple[int, int, int]] = []
    for interaction in reversed(interactions):
        index = index_of.get(interaction.item_id)
        if index is None or not rule(interaction.type).in_history:
            continue
        kept.append((index, interaction.type, interaction.time_micros))
        if len(kept) == limit:
            break
    kept.reverse()
    return KnownHistory(
        ids=np.array([i for i, _, _ in kept], dtype=np.int32),
        types=np.array([t for _, t, _ in kept], dtype=np.int32),
        times_micros=np.array([time for _, _, time in kept], dtype=np.int64),
    )


def history_arrays(
    interactions: Sequence[Interaction], index_of: Mapping[str, int], as_of_micros: int, limit: int
) -> HistoryArrays:
    """The newest `limit` interactions (given oldest first) that are in histories and whose item the release or the overlay
    knows. An interaction later than `as_of_micros` has age 0."""
    return known_history(interactions, index_of, limit).as_of(as_of_micros)


@dataclass(frozen=True, slots=True)
class HistoryBatch:
    """Histories stacked and padded in front: ids, types int32 and ages_seconds float32 [B, L]; length int32 [B]."""

    ids: npt.NDArray[np.int32]
    types: npt.NDArray[np.int32]
    ages_seconds: npt.NDArray[np.float32]
    length: npt.NDArray[np.int32]


def stack_histories(histories: Sequence[HistoryArrays], rows: int, limit: int) -> HistoryBatch:
    """Stacks up to `rows` histories; rows past the given ones are empty histories."""
    ids = np.full((rows, limit), PAD, dtype=np.int32)
    types = np.zeros((rows, limit), dtype=np.int32)
    ages = np.zeros((rows, limit), dtype=np.float32)
    length = np.zeros(rows, dtype=np.int32)
    for row, history in enumerate(histories):
        n = history.length
        if n:
            ids[row, limit - n :] = history.ids
            types[row, limit - n :] = history.types
            ages[row, limit - n :] = history.ages_seconds
            length[row] = n
    return HistoryBatch(ids, types, ages, length)


def pad_ids(rows_of_ids: Sequence[Sequence[int]], rows: int, multiple: int = 16) -> npt.NDArray[np.int32]:
    """Id lists stacked to int32 [rows, width], padded behind with -1; width is a multiple of `multiple`, at least one."""
    longest = max((len(ids) for ids in rows_of_ids), default=0)
    width = max(1, -(-longest // multiple)) * multiple
    stacked = np.full((rows, width), PAD, dtype=np.int32)
    for row, ids in enumerate(rows_of_ids):
        stacked[row, : len(ids)] = ids
    return stacked


def own_counts(interactions: Iterable[Interaction]) -> dict[str, int]:
    """How often a user consumed each item: the interactions whose type marks an item as seen."""
    counts: dict[str, int] = {}
    for interaction in interactions:
        if rule(interaction.type).marks_seen:
            counts[interaction.item_id] = counts.get(interaction.item_id, 0) + 1
    return counts

"""A snapshot → sequences by user, and what is held out from the retrieval model.

Legend of shapes: V events, B windows in a batch, L positions, N items.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from recency.v1 import event_pb2
from recency_export.settings import HoldoutSettings
from recency_export.snapshot import Snapshot
from recency_features.events import EVENT_RULES, TYPE_COUNT
from recency_features.history import HistoryBatch, Interaction, history_arrays, stack_histories

# A catalogue of which more than this share of events were repeats is one that is consumed again.
REPEATS_COUNT_FROM = 0.05


def _by_type(field: str) -> npt.NDArray[np.float32]:
    """One column of the table of event types, indexed by type."""
    column = np.zeros(TYPE_COUNT, dtype=np.float32)
    for number, row in EVENT_RULES.items():
        column[number] = float(getattr(row, field))
    return column


@dataclass(frozen=True)
class Dataset:
    """Events of known items that stand in a history or mark an item as seen, by user and then by (time, log order).

    item, type, time_micros, sequence   a value an event
    user_numbers              int32 [users]: the snapshot's numbers of the users who have such events, ascending
    offsets                   int64 [users + 1]: user u's events are offsets[u]:offsets[u+1]
    train_end                 int64 [users]: the retrieval model sees the user's events before this one
    repeat_share              of the positive events, how many were of an item that the user had consumed before
    shown, shown_micros       items of known catalogue that impressions showed, and when, a value a showing
    """

    item_ids: tuple[str, ...]
    item: npt.NDArray[np.int32]
    type: npt.NDArray[np.int32]
    time_micros: npt.NDArray[np.int64]
    sequence: npt.NDArray[np.int64]
    user_numbers: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    train_end: npt.NDArray[np.int64]
    repeat_share: float
    shown: npt.NDArray[np.int32]
    shown_micros: npt.NDArray[np.int64]

    @property
    def users(self) -> int:
        """How many users have events."""
        return len(self.train_end)

    @property
    def consumed_again(self) -> bool:
        """Whether items that a user has consumed may be what they want next."""
        return self.repeat_share > REPEATS_COUNT_FROM

    @cached_property
    def index_of(self) -> dict[str, int]:
        """Item id → row of the item matrix."""
        return {item_id: row for row, item_id in enumerate(self.item_ids)}

    @cached_property
    def positive(self) -> npt.NDArray[np.float32]:
        """Each event's weight as a training target."""
        return _by_type("positive_weight")[self.type]

    @cached_property
    def readable(self) -> npt.NDArray[np.bool_]:
        """Whether each event is a position of a history."""
        return _by_type("in_history")[self.type] > 0

    @cached_property
    def marks_seen(self) -> npt.NDArray[np.bool_]:
        """Whether each event marks its item as consumed."""
        return _by_type("marks_seen")[self.type] > 0

    @cached_property
    def interactions(self) -> list[Interaction]:
        """The events as the functions that training and serving share take them."""
        rows = zip(self.item.tolist(), self.type.tolist(), self.time_micros.tolist(), strict=True)
        return [Interaction(self.item_ids[item], kind, micros) for item, kind, micros in rows]

    @cached_property
    def trending(self) -> list[Interaction]:
        """What the fold of trends takes, events and showings, in the order of time."""
        shown = zip(self.shown.tolist(), self.shown_micros.tolist(), strict=True)
        showings = [Interaction(self.item_ids[item], event_pb2.EVENT_TYPE_IMPRESSION, micros) for item, micros in shown]
        return sorted([*self.interactions, *showings], key=lambda one: one.time_micros)

    @cached_property
    def held_out(self) -> npt.NDArray[np.int64]:
        """The events that validate and fit the ranker: positive ones at or past their user's `train_end`."""
        past = [
            np.arange(end, stop, dtype=np.int64) for end, stop in zip(self.train_end, self.offsets[1:], strict=True)
        ]
        events: npt.NDArray[np.int64] = np.concatenate([*past, np.zeros(0, dtype=np.int64)])
        positive: npt.NDArray[np.bool_] = self.positive[events] > 0
        return events[positive]

    @cached_property
    def user_of(self) -> npt.NDArray[np.int64]:
        """Each event's user."""
        return np.repeat(np.arange(self.users), np.diff(self.offsets))


def build_dataset(snapshot: Snapshot, settings: HoldoutSettings, seed: int, after: int = -1) -> Dataset:
    """Sorts, filters, and draws the held-out events: the last of each user's, among those past the sequence `after`."""
    count = snapshot.item_count
    useful = (_by_type("in_history") > 0) | (_by_type("marks_seen") > 0)
    known_type = (snapshot.type >= 0) & (snapshot.type < TYPE_COUNT)
    kept = (snapshot.item < count) & known_type & useful[np.where(known_type, snapshot.type, 0)]
    rows = np.flatnonzero(kept)
    # lexsort is stable, so events of one time stay in the order of the log.
    rows = rows[np.lexsort((snapshot.time_micros[rows], snapshot.user[rows]))]
    user = snapshot.user[rows]
    numbers, starts = np.unique(user, return_index=True)
    offsets = np.append(starts, len(rows)).astype(np.int64)
    item, kind = snapshot.item[rows], snapshot.type[rows]
    return Dataset(
        item_ids=snapshot.item_ids[:count],
        item=item,
        type=kind,
        time_micros=snapshot.time_micros[rows],
        sequence=snapshot.sequence[rows],
        user_numbers=numbers,
        offsets=offsets,
        train_end=_train_end(offsets, newest_from(snapshot.sequence[rows], offsets, after), settings, seed),
        repeat_share=_repeat_share(user, item, kind),
        shown=snapshot.shown,
        shown_micros=np.repeat(snapshot.shown_micros, np.diff(snapshot.shown_offsets)),
    )


def newest_from(sequence: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64], after: int) -> npt.NDArray[np.int64]:
    """For each user, where the events begin that have come since `after` and are behind all earlier ones, int64 [users]."""
    known = np.where(sequence <= after, np.arange(1, len(sequence) + 1), 0)
    last = np.maximum.reduceat(np.append(known, 0), offsets[:-1]) if len(offsets) > 1 else np.zeros(0, dtype=np.int64)
    found: npt.NDArray[np.int64] = np.maximum(last, offsets[:-1]).astype(np.int64)
    return found


def _train_end(
    offsets: npt.NDArray[np.int64], begin: npt.NDArray[np.int64], settings: HoldoutSettings, seed: int
) -> npt.NDArray[np.int64]:
    held = np.minimum(settings.events_per_user, (offsets[1:] - begin) // settings.at_most_one_in)
    order = np.random.default_rng((seed, 1)).permutation(len(held))
    spent = np.cumsum(held[order])
    held[order[spent > settings.cases]] = 0
    ends: npt.NDArray[np.int64] = offsets[1:] - held
    return ends


def _repeat_share(user: npt.NDArray[np.int32], item: npt.NDArray[np.int32], kind: npt.NDArray[np.int32]) -> float:
    """Events that consume what the user had consumed before in an earlier visit to it, over all that consume.

    A click, a cart and a purchase of one item in a row are one consumption.
    """
    consuming = np.flatnonzero(_by_type("marks_seen")[kind] > 0)
    if not len(consuming):
        return 0.0
    user, item = user[consuming].astype(np.int64), item[consuming].astype(np.int64)
    same_run = np.append(False, (user[1:] == user[:-1]) & (item[1:] == item[:-1]))
    pairs = (user * (int(item.max()) + 1) + item)[~same_run]
    return 1.0 - len(np.unique(pairs)) / len(pairs)


@dataclass(frozen=True, slots=True)
class TrainingBatch:
    """Windows of histories with the next item at each position, 0 weight where there is none to predict.

    target int32, weight float32 [B, L]; first_target, first_weight [B]: what follows the empty history, for windows that
    begin with their user. seen_row, seen_item: pairs of (position as b · (L + 1) + place, item) that the user had consumed
    by then; place 0 is the empty history, place j + 1 position j.
    """

    history: HistoryBatch
    target: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float32]
    first_target: npt.NDArray[np.int64]
    first_weight: npt.NDArray[np.float32]
    seen_row: npt.NDArray[np.int64]
    seen_item: npt.NDArray[np.int64]


def training_batches(data: Dataset, limit: int, size: int, rng: np.random.Generator) -> Iterator[TrainingBatch]:
    """One epoch: every user's training events cut into windows of `limit` at a random offset, shuffled, `size` a batch."""
    windows: list[tuple[int, int, int]] = []
    for user in range(data.users):
        start, end = int(data.offsets[user]), int(data.train_end[user])
        events = start + np.flatnonzero(data.readable[start:end])
        if not len(events):
            continue
        # The window [from, to] has to - from inputs and predicts the events behind each; the first one may be empty.
        for cut in range(int(rng.integers(0, limit)), len(events) - 1 + limit, limit):
            first, last = max(0, cut - limit), min(cut, len(events) - 1)
            if last > first or (first == 0 and last == 0 and len(events) == 1):
                windows.append((user, int(events[first]), int(events[last])))
    order = rng.permutation(len(windows))
    for at in range(0, len(order), size):
        yield window_batch(data, [windows[i] for i in order[at : at + size]], limit, data.positive)


def window_batch(
    data: Dataset, windows: Sequence[tuple[int, int, int]], limit: int, weights: npt.NDArray[np.float32]
) -> TrainingBatch:
    """Windows (user, first event, last event) as arrays: each predicts the events behind its first, by their weights."""
    rows = len(windows)
    target = np.zeros((rows, limit), dtype=np.int64)
    weight = np.zeros((rows, limit), dtype=np.float32)
    first_target = np.zeros(rows, dtype=np.int64)
    first_weight = np.zeros(rows, dtype=np.float32)
    histories = []
    seen_rows: list[npt.NDArray[np.int64]] = []
    seen_items: list[npt.NDArray[np.int64]] = []
    for row, (user, first, last) in enumerate(windows):
        interactions = data.interactions[first:last]
        history = history_arrays(interactions, data.index_of, int(data.time_micros[last]), limit)
        histories.append(history)
        events = first + np.flatnonzero(data.readable[first : last + 1])
        places = np.arange(limit - history.length, limit)
        target[row, places] = data.item[events[1:]]
        weight[row, places] = weights[events[1:]]
        start = int(data.offsets[user])
        if first == start:
            first_target[row], first_weight[row] = data.item[events[0]], weights[events[0]]
        if not data.consumed_again:
            consumed = start + np.flatnonzero(data.marks_seen[start:last])
            # How many of them come before each predicted event.
            before = np.searchsorted(consumed, events[1:])
            seen_rows.append(np.repeat(row * (limit + 1) + places + 1, before))
            seen_items.extend(data.item[consumed[:count]].astype(np.int64) for count in before)
    return TrainingBatch(
        history=stack_histories(histories, rows, limit),
        target=target,
        weight=weight,
        first_target=first_target,
        first_weight=first_weight,
        seen_row=np.concatenate([*seen_rows, np.zeros(0, dtype=np.int64)]),
        seen_item=np.concatenate([*seen_items, np.zeros(0, dtype=np.int64)]),
    )


def write_dataset(path: Path, data: Dataset) -> None:
    """Writes an .npz file."""
    np.savez(
        path,
        item_ids=np.array(data.item_ids, dtype=np.str_),
        item=data.item,
        type=data.type,
        time_micros=data.time_micros,
        sequence=data.sequence,
        user_numbers=data.user_numbers,
        offsets=data.offsets,
        train_end=data.train_end,
        repeat_share=np.float64(data.repeat_share),
        shown=data.shown,
        shown_micros=data.shown_micros,
    )


def read_dataset(path: Path) -> Dataset:
    """Reads what `write_dataset` wrote."""
    with np.load(path, allow_pickle=False) as saved:
        return Dataset(
            item_ids=tuple(str(name) for name in saved["item_ids"]),
            item=saved["item"],
            type=saved["type"],
            time_micros=saved["time_micros"],
            sequence=saved["sequence"],
            user_numbers=saved["user_numbers"],
            offsets=saved["offsets"],
            train_end=saved["train_end"],
            repeat_share=float(saved["repeat_share"]),
            shown=saved["shown"],
            shown_micros=saved["shown_micros"],
        )

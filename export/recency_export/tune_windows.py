"""What one epoch of fine-tuning reads: windows that end in new events, and a sample of older ones beside them.

Legend of shapes: V events.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recency_export.dataset import Dataset, TrainingBatch, newest_from, window_batch
from recency_export.settings import TuneSettings

Window = tuple[int, int, int]
# One event in so many is never replayed: forgetting is measured on those.
_EXAM_ONE_IN = 50


@dataclass(frozen=True, slots=True)
class Targets:
    """Which events training may aim at, as weights float32 [V], and where each user's new events begin, int64 [users].

    new       past the parent, and not held out
    last      past the parent, and held out for validation: learned at the very end
    old       what the parent knows, but for the exam
    exam      events (indices) on which forgetting is measured
    """

    begin: npt.NDArray[np.int64]
    new: npt.NDArray[np.float32]
    last: npt.NDArray[np.float32]
    old: npt.NDArray[np.float32]
    exam: npt.NDArray[np.int64]


def targets_of(data: Dataset, after: int) -> Targets:
    """Splits the positive events. What is in the exam depends on user and item alone: the next release sees the same one."""
    begin = newest_from(data.sequence, data.offsets, after)
    index = np.arange(len(data.item))
    is_new = index >= np.repeat(begin, np.diff(data.offsets))
    held = index >= np.repeat(data.train_end, np.diff(data.offsets))
    items = np.array([zlib.crc32(name.encode()) for name in data.item_ids], dtype=np.uint64)
    mixed = (
        items[data.item] * np.uint64(2_654_435_761) + data.user_numbers[data.user_of].astype(np.uint64)
    ) % np.uint64(4_294_967_291)
    exam = ~is_new & (mixed % np.uint64(_EXAM_ONE_IN) == 0)
    positive = data.positive

    def weights(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
        return np.where(mask, positive, 0.0).astype(np.float32)

    return Targets(
        begin=begin,
        new=weights(is_new & ~held),
        last=weights(is_new & held),
        old=weights(~is_new & ~exam),
        exam=np.flatnonzero(exam & (positive > 0)),
    )


def aimed_windows(data: Dataset, weights: npt.NDArray[np.float32], limit: int) -> list[Window]:
    """Windows, each as long as a history may be, that end in the weighted events of each user and cover all of them."""
    windows: list[Window] = []
    aimed = np.flatnonzero((weights > 0) & data.readable)
    for user in np.unique(data.user_of[aimed]).tolist():
        start, stop = int(data.offsets[user]), int(data.offsets[user + 1])
        readable = start + np.flatnonzero(data.readable[start:stop])
        places = np.flatnonzero(weights[readable] > 0)
        first, last = int(places[0]), int(places[-1])
        while last >= first:
            begin = max(0, last - limit)
            windows.append((user, int(readable[begin]), int(readable[last])))
            # A window predicts what is behind its first event, and that one too where the user begins with it.
            last = begin if begin > 0 else -1
    return windows


def replayed_windows(
    data: Dataset, targets: Targets, wanted: float, limit: int, rng: np.random.Generator
) -> list[Window]:
    """Windows of what the parent knows, users drawn by how much they did, until they hold `wanted` targets."""
    windows: list[Window] = []
    sizes = targets.begin - data.offsets[:-1]
    if sizes.sum() == 0:
        return windows
    found = 0.0
    enough = min(wanted, float(targets.old.sum()))
    # Drawing with replacement could go on for ever for a few targets that are hard to hit.
    for at in rng.integers(0, int(sizes.sum()), 4 * int(enough / limit + 8)).tolist():
        if found >= enough:
            break
        user = int(np.searchsorted(np.cumsum(sizes), at, side="right"))
        start, stop = int(data.offsets[user]), int(targets.begin[user])
        readable = start + np.flatnonzero(data.readable[start:stop])
        if not len(readable):
            continue
        end = int(rng.integers(0, len(readable)))
        last = min(len(readable) - 1, end + limit // 2)
        first = max(0, last - limit)
        windows.append((user, int(readable[first]), int(readable[last])))
        found += float(targets.old[readable[first : last + 1]].sum())
    return windows


def tuning_batches(
    data: Dataset,
    targets: Targets,
    aimed: npt.NDArray[np.float32],
    settings: TuneSettings,
    limit: int,
    rng: np.random.Generator,
) -> Iterator[TrainingBatch]:
    """One epoch. Older events inside a window count as replay; nothing aims at what is held out, or in the exam."""
    new = aimed_windows(data, aimed, limit)
    wanted = max(settings.replay * float(aimed.sum()), float(settings.least_replay))
    windows = new + replayed_windows(data, targets, wanted, limit, rng)
    weights = aimed + targets.old
    order = rng.permutation(len(windows))
    for at in range(0, len(order), settings.windows_per_batch):
        yield window_batch(data, [windows[i] for i in order[at : at + settings.windows_per_batch]], limit, weights)

"""Requests whose answer is known, made of the log: what the model is validated on and everything behind it is fitted on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recency_export.dataset import Dataset
from recency_features.history import HistoryBatch, history_arrays, stack_histories


@dataclass(frozen=True, slots=True)
class Cases:
    """Requests whose answer is known: who asks when, and what came next.

    user, begin, end   int64 [cases]: the request knows the user's events begin:end
    at_micros          int64 [cases]: when it is made
    target             int64 [cases]: the item that came next, -1 where no single one did
    """

    user: npt.NDArray[np.int64]
    begin: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]
    at_micros: npt.NDArray[np.int64]
    target: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.user)

    def take(self, rows: npt.NDArray[np.int64]) -> Cases:
        """Some of them."""
        return Cases(self.user[rows], self.begin[rows], self.end[rows], self.at_micros[rows], self.target[rows])

    def followed_by(self, others: Cases) -> Cases:
        """These, then the others."""
        return Cases(
            np.concatenate([self.user, others.user]),
            np.concatenate([self.begin, others.begin]),
            np.concatenate([self.end, others.end]),
            np.concatenate([self.at_micros, others.at_micros]),
            np.concatenate([self.target, others.target]),
        )


def whole_cases(data: Dataset, events: npt.NDArray[np.int64]) -> Cases:
    """A case for each event to predict, with all of the user's earlier events."""
    user = data.user_of[events]
    return Cases(user, data.offsets[user], events, data.time_micros[events], data.item[events].astype(np.int64))


def short_cases(data: Dataset, events: npt.NDArray[np.int64], rng: np.random.Generator) -> Cases:
    """Cases with a handful of the user's last events, or none: how the same people would look if they were new."""
    whole = whole_cases(data, events)
    lengths = np.array([0, 0, 1, 1, 2, 3, 5, 8])[rng.integers(0, 8, len(events))]
    return Cases(whole.user, np.maximum(whole.begin, events - lengths), events, whole.at_micros, whole.target)


def case_histories(data: Dataset, cases: Cases, limit: int) -> HistoryBatch:
    """The histories as a request would bring them at the time, by the function that serves."""
    rows = zip(cases.begin.tolist(), cases.end.tolist(), cases.at_micros.tolist(), strict=True)
    histories = [history_arrays(data.interactions[begin:end], data.index_of, at, limit) for begin, end, at in rows]
    return stack_histories(histories, len(cases), limit)


def seen_items(data: Dataset, cases: Cases) -> list[npt.NDArray[np.int32]]:
    """For each case the items that the user had consumed by then, each once, those from before `begin` too; nothing where
    the catalogue is consumed again."""
    if data.consumed_again:
        return [np.zeros(0, dtype=np.int32)] * len(cases)
    starts = data.offsets[cases.user].tolist()
    return [
        np.unique(data.item[start:end][data.marks_seen[start:end]])
        for start, end in zip(starts, cases.end.tolist(), strict=True)
    ]

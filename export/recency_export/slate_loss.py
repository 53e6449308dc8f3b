"""Logged impressions as negatives: what was taken against everything else that was shown beside it.

What stands at the top is taken more often because it is looked at more often. So a taking counts by the inverse of the
chance that its place was looked at, estimated from the log: how often each place was taken, against the first one.

Legend of shapes: Q slates, S shown places (padded behind), N items, W learned width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from recency_export.cases import Cases, case_histories
from recency_export.dataset import Dataset
from recency_export.impressions import impression_cases, taken_after
from recency_export.model import Retrieval
from recency_export.settings import TuneSettings
from recency_export.snapshot import Snapshot

# Slates a step reads, and takings that a place is believed to have had before any was counted.
_A_STEP = 32
_PRIOR = 5.0


@dataclass(frozen=True, slots=True)
class Slates:
    """Requests with what was shown and what of it was taken.

    cases          who saw it and when, Q
    shown          int32 [Q, S], in order; -1 pads
    weight         float32 [Q, S]: of each taking, by its place; 0 where nothing was taken
    """

    cases: Cases
    shown: npt.NDArray[np.int32]
    weight: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.cases)


def slates_of(data: Dataset, snapshot: Snapshot, settings: TuneSettings) -> Slates:
    """The newest logged slates of which something was taken and something not. A taking that is held out is not told."""
    cases, shown = impression_cases(data, snapshot)
    width = max((len(items) for items in shown), default=0)
    ids = np.full((len(cases), width), -1, dtype=np.int32)
    taken = np.zeros((len(cases), width), dtype=np.bool_)
    for row, items in enumerate(shown):
        ids[row, : len(items)] = items
        taken[row, : len(items)] = np.isin(items, taken_after(data, cases, row, data.train_end))
    weight = np.where(taken, place_weights(taken, ids >= 0, settings.largest_position_weight), 0.0).astype(np.float32)
    teaches = taken.any(1) & (~taken & (ids >= 0)).any(1) if width else np.zeros(len(cases), dtype=np.bool_)
    rows = np.flatnonzero(teaches)
    return Slates(cases.take(rows), ids[rows], weight[rows])


def place_weights(
    taken: npt.NDArray[np.bool_], shown: npt.NDArray[np.bool_], largest: float
) -> npt.NDArray[np.float64]:
    """1 / chance of being looked at, by place, float [S]: 1 for the first, never falling, at most `largest`."""
    if not taken.size:
        return np.ones(taken.shape[1])
    rate = (taken.sum(0) + _PRIOR * taken.sum() / max(1, shown.sum())) / (shown.sum(0) + _PRIOR)
    looked = np.minimum.accumulate(rate / max(float(rate[0]), 1e-9))
    return np.clip(1.0 / np.maximum(looked, 1e-9), 1.0, largest)


def slate_loss(model: Retrieval, data: Dataset, slates: Slates, limit: int, rng: np.random.Generator) -> Tensor:
    """Cross-entropy over the shown items of some slates, the taken ones by their weight."""
    rows = np.sort(rng.choice(len(slates), min(_A_STEP, len(slates)), replace=False))
    history = case_histories(data, slates.cases.take(rows), limit)
    w_NW = model.items()
    u_QW = model.users(
        torch.nn.functional.embedding(torch.from_numpy(np.maximum(history.ids, 0).astype(np.int64)), w_NW),
        torch.from_numpy(history.types),
        torch.from_numpy(history.ages_seconds),
        torch.from_numpy(history.length),
        last_only=True,
    )
    shown_QS = torch.from_numpy(slates.shown[rows].astype(np.int64))
    logits_QS = (w_NW[shown_QS.clamp(min=0)] @ u_QW.unsqueeze(2)).squeeze(2).masked_fill(shown_QS < 0, -torch.inf)
    weight_QS = torch.from_numpy(slates.weight[rows])
    chosen_QS = torch.where(weight_QS > 0, torch.log_softmax(logits_QS, dim=1), torch.zeros(()))
    return -(chosen_QS * weight_QS).sum() / weight_QS.sum()

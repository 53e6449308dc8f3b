"""A candidate beside its parent on the same requests: what the gate judges.

Both are asked as they would be live: histories and trends as of each request, new items as their text has them where a
release does not know them, and co-occurrence tables without the events that are asked about.
Legend of shapes: Q cases, C candidates, N items.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from recency_export.calibration import sampled_observations
from recency_export.candidates import shortlist_features, shortlists
from recency_export.cases import Cases
from recency_export.dataset import Dataset
from recency_export.ranker import full_ranks
from recency_export.serving import Serving

SLATE = 10
_HEAD, _OTHERS = 100, 28


@dataclass(frozen=True, slots=True)
class Answers:
    """What one release answers to the cases.

    rank      int64 [Q], of the item that came next, full ranking, ties against it; 0 where none did
    top       int32 [Q, SLATE], the items of its slate, -1 pads
    logits, positive   float32, bool [O]: next events beside random items
    """

    rank: npt.NDArray[np.int64]
    top: npt.NDArray[np.int32]
    logits: npt.NDArray[np.float32]
    positive: npt.NDArray[np.bool_]

    @property
    def ndcg(self) -> npt.NDArray[np.float64]:
        """NDCG@10 of each case."""
        return np.where((self.rank > 0) & (self.rank <= SLATE), 1.0 / np.log2(np.maximum(self.rank, 1) + 1.0), 0.0)


def answers(serving: Serving, data: Dataset, cases: Cases, limit: int, seed: int) -> Answers:
    """Retrieval, then the ranker on its first hundred, as the graphs do it."""
    if not len(cases):
        nothing = np.zeros(0)
        return Answers(
            nothing.astype(np.int64), np.zeros((0, SLATE), np.int32), nothing.astype(np.float32), nothing.astype(bool)
        )
    found = shortlists(serving, data, cases, limit, _HEAD, 0, _OTHERS, seed)
    features = shortlist_features(serving, data, cases, found, limit)
    with torch.no_grad():
        logits = serving.ranker(torch.from_numpy(found.base), torch.from_numpy(features)).numpy()
    rank = np.where(cases.target >= 0, full_ranks(found, logits, np.arange(len(cases))), 0)
    # The slate holds the target too where it is good enough: its own place is the last column.
    width = found.head
    ids = np.concatenate([found.ids[:, :width], found.ids[:, -1:]], axis=1)
    usable = np.concatenate(
        [found.usable[:, :width], (found.usable[:, -1] & (found.target_rank <= width))[:, None]], axis=1
    )
    scored = np.where(usable, np.concatenate([logits[:, :width], logits[:, -1:]], axis=1), -np.inf)
    order = np.argsort(-scored, axis=1, kind="stable")[:, :SLATE]
    top = np.where(np.take_along_axis(usable, order, 1), np.take_along_axis(ids, order, 1), -1).astype(np.int32)
    if top.shape[1] < SLATE:
        top = np.pad(top, ((0, 0), (0, SLATE - top.shape[1])), constant_values=-1)
    observed = sampled_observations(found, logits)
    return Answers(rank, top, *observed)


def shown_counts(top: npt.NDArray[np.int32], items: int) -> npt.NDArray[np.float64]:
    """How many slates hold each item, float [N]."""
    return np.bincount(top[top >= 0], minlength=items).astype(np.float64)


def write_answers(path: Path, parts: Mapping[str, Answers], **arrays: npt.NDArray[Any]) -> None:
    """One .npz of several releases' answers, and whatever arrays belong to them."""
    columns = {
        f"{name}_{field.name}": getattr(part, field.name) for name, part in parts.items() for field in fields(part)
    }
    np.savez(path, **columns, **arrays)  # type: ignore[arg-type]


def read_answers(path: Path, name: str) -> Answers:
    """One of them."""
    with np.load(path, allow_pickle=False) as saved:
        return Answers(**{field.name: saved[f"{name}_{field.name}"] for field in fields(Answers)})

"""What the gate judges a candidate by, as plain arrays. Whoever fills it (the pipeline, `export evaluate`) says what was
measured; the gate says what it means.

Legend of shapes: Q cases, O observations, N items of the candidate, V new events, S logged slates' items.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from recency_store.manifest import Calibration

Floats = npt.NDArray[np.float64]
_SLATE = 10


def _none() -> Floats:
    return np.zeros(0)


@dataclass(frozen=True, slots=True)
class Gains:
    """NDCG@10 of each case under both releases: same cases, same order, neither release trained on their answers.

    candidate, parent   float [Q]; parent is empty where there is none
    group               int [Q], the case's user: cases of one user are drawn together. Empty: each case by itself
    """

    candidate: Floats = field(default_factory=_none)
    parent: Floats = field(default_factory=_none)
    group: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


@dataclass(frozen=True, slots=True)
class Observations:
    """What one release says of (request, item) pairs, and whether a positive event followed: logits [O], positive [O].

    `calibration` is that release's own. Empty where nothing was observed, or there is no parent.
    """

    logits: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    positive: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    calibration: Calibration = field(default_factory=Calibration)


@dataclass(frozen=True, slots=True)
class Exposure:
    """How often each item stands in the slates that both releases give the same users, and who speaks for it.

    item_ids            the candidate's items, N
    slates              how many slates each release gave; 0: as many as slates of ten make of the candidate's counts
    candidate, parent   float [N]: slates that hold the item; parent is NaN for an item that the parent lacks
    users, items        int [V]: who did something positive with which item (row) in the events that are new to the candidate
    """

    item_ids: tuple[str, ...] = ()
    slates: int = 0
    candidate: Floats = field(default_factory=_none)
    parent: Floats = field(default_factory=_none)
    users: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    items: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @property
    def slate_count(self) -> float:
        """How many slates the counts are of."""
        return self.slates or float(np.nansum(self.candidate)) / _SLATE


@dataclass(frozen=True, slots=True)
class LoggedActions:
    """Shown items with the probability that they were shown with: what an off-policy estimate is made of.

    reward, propensity            float [S]: what came of it, and the logged probability of showing it there
    candidate, parent             float [S]: the probability with which each release would have shown it there
    estimated                     float [S]: a model's estimate of the reward of what was shown
    candidate_value, parent_value float [S]: that model's estimate of the reward under each release, summed over its choices
    The last three may be empty: then there is no doubly robust estimate.
    """

    reward: Floats = field(default_factory=_none)
    propensity: Floats = field(default_factory=_none)
    candidate: Floats = field(default_factory=_none)
    parent: Floats = field(default_factory=_none)
    estimated: Floats = field(default_factory=_none)
    candidate_value: Floats = field(default_factory=_none)
    parent_value: Floats = field(default_factory=_none)


@dataclass(frozen=True, slots=True)
class Evidence:
    """A published candidate, its parent, and what is known about both. What is left empty is not judged, and said so.

    release, folder    the candidate's number and folder
    parent_folder      the parent's, or None for a first release
    targets            gRPC addresses of the Tritons that report the candidate ready
    clock              seconds that only go forward, for latencies
    """

    release: int
    folder: Path
    parent_folder: Path | None = None
    newest: Gains = field(default_factory=Gains)
    old: Gains = field(default_factory=Gains)
    observed: Observations = field(default_factory=Observations)
    parent_observed: Observations = field(default_factory=Observations)
    exposure: Exposure = field(default_factory=Exposure)
    logged: LoggedActions = field(default_factory=LoggedActions)
    targets: tuple[str, ...] = ()
    clock: Callable[[], float] = time.perf_counter

"""Asks the `recommender` for user vectors: one call for many users, each as they were before an event.

The inputs come from the functions that training and serving share; what the call does not need (biases, trends, exclusions)
is empty, and one place is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from recency_export.online_behaviour import Before
from recency_features.history import HistoryArrays, history_arrays, stack_histories
from recency_features.spec import BATCH_BUCKETS, PAD, RECOMMENDER, bucket
from recency_inference.client import Input, Outputs, RawTensor
from recency_store.manifest import Manifest

F32 = npt.NDArray[np.float32]
# The learned vector of an item that a release may lack; None where nobody has one.
FreshVector = Callable[[str], F32 | None]
# Rows for fresh items come in these steps, so that the shapes that a model sees are few.
_FRESH_STEPS = (1, 16, 64, 256, 1_024)
_TIMEOUT_SECONDS = 10.0


class Infer(Protocol):
    """The call of `recency_inference.client.BlockingInference`."""

    def infer(
        self, model: str, version: int, inputs: Mapping[str, Input], outputs: Sequence[str], timeout_seconds: float
    ) -> Outputs:
        """Runs one version of a model."""
        ...


@dataclass(frozen=True, slots=True)
class Moment:
    """A user at a time."""

    before: Before
    at_micros: int


class UserVectors:
    """The user encoder of one release."""

    def __init__(self, inference: Infer, manifest: Manifest, item_ids: Sequence[str]) -> None:
        self._inference = inference
        self._manifest = manifest
        self._known = {item_id: row for row, item_id in enumerate(item_ids)}
        self.release = manifest.release
        self._empty: dict[int, tuple[RawTensor, RawTensor]] = {}

    def ask(self, moments: Sequence[Moment], fresh: FreshVector, rows_per_call: int) -> F32:
        """The vectors of users in the learned dimensions, [moments, W]. `fresh` is asked for
        items that the release lacks; raises what the inference client raises."""
        found = np.zeros((len(moments), self._manifest.learned_dim), dtype=np.float32)
        for start in range(0, len(moments), rows_per_call):
            part = moments[start : start + rows_per_call]
            found[start : start + len(part)] = self._call(part, fresh)
        return found

    def _call(self, moments: Sequence[Moment], fresh: FreshVector) -> F32:
        manifest = self._manifest
        index_of, vectors = self._indices(moments, fresh)
        size = bucket(len(moments), BATCH_BUCKETS)
        limit = manifest.history_length
        histories: list[HistoryArrays] = [
            history_arrays(moment.before.interactions, index_of, moment.at_micros, limit) for moment in moments
        ]
        batch = stack_histories(histories, size, limit)
        rows = next((step for step in _FRESH_STEPS if step >= len(vectors)), len(vectors))
        fresh_RD = np.zeros((rows, manifest.dim), dtype=np.float32)
        for row, vector in enumerate(vectors):
            fresh_RD[row, : manifest.learned_dim] = vector
        bias, trend = self._empty_overlay(rows)
        inputs: dict[str, Input] = {
            "history_ids": batch.ids,
            "history_types": batch.types,
            "history_ages_seconds": batch.ages_seconds,
            "history_length": batch.length,
            "steer": np.zeros((size, manifest.dim), dtype=np.float32),
            "user_features": np.zeros((size, manifest.user_feature_dim), dtype=np.float32),
            "own_count_ids": np.full((size, 1), PAD, dtype=np.int32),
            "own_counts": np.zeros((size, 1), dtype=np.float32),
            "exclude_ids": np.full((size, 1), PAD, dtype=np.int32),
            "item_bias": bias,
            "item_trend": trend,
            "fresh_vectors": fresh_RD,
            "k": np.ones(1, dtype=np.int64),
        }
        version = manifest.model_versions[RECOMMENDER]
        answer = self._inference.infer(RECOMMENDER, version, inputs, ("user_vector",), _TIMEOUT_SECONDS)
        users: F32 = answer["user_vector"][: len(moments), : manifest.learned_dim]
        return users

    def _indices(self, moments: Sequence[Moment], fresh: FreshVector) -> tuple[dict[str, int], list[F32]]:
        """The indices of the items in these users' histories; those that the release lacks get overlay rows."""
        index_of: dict[str, int] = {}
        vectors: list[F32] = []
        for moment in moments:
            for interaction in moment.before.interactions:
                item_id = interaction.item_id
                if item_id in index_of:
                    continue
                if item_id in self._known:
                    index_of[item_id] = self._known[item_id]
                elif (vector := fresh(item_id)) is not None:
                    index_of[item_id] = len(self._known) + len(vectors)
                    vectors.append(vector)
        return index_of, vectors

    def _empty_overlay(self, rows: int) -> tuple[RawTensor, RawTensor]:
        if rows not in self._empty:
            count = len(self._known) + rows
            trends = self._manifest.trend_width
            self._empty[rows] = (
                RawTensor.of(np.zeros(count, dtype=np.float32)),
                RawTensor.of(np.zeros((count, trends), dtype=np.float32)),
            )
        return self._empty[rows]

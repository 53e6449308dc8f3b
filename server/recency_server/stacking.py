"""What one call of the models is sent: requests' rows, stacked and padded. Legend as in `recency_features.spec`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recency_features.history import ages_seconds
from recency_features.spec import BATCH_BUCKETS, K_BUCKETS, PAD, RECOMMENDER, bucket
from recency_inference.client import Input
from recency_server.release import Release
from recency_server.users import UserRows

_ID_COLUMNS = 16


@dataclass(slots=True, eq=False)
class Row:
    """One request's part of a batch. `ids` is what to leave out (recommender) or to score (scorer).

    `with_counts` sends what the user consumed how often. It speaks of those items alone, so where they are left out
    anyway it would change nothing and cost a comparison with every candidate.
    """

    release: Release
    user: UserRows
    as_of_micros: int
    ids: npt.NDArray[np.int32]
    steer_D: npt.NDArray[np.float32] | None
    k: int
    with_counts: bool = True


def fill(model: str, rows: list[Row], own_counts: int) -> dict[str, Input]:
    """The inputs of one call for rows of one release."""
    release = rows[0].release
    manifest = release.manifest
    size = bucket(len(rows), BATCH_BUCKETS)
    limit = manifest.history_length
    ids_BL = np.full((size, limit), PAD, dtype=np.int32)
    types_BL = np.zeros((size, limit), dtype=np.int32)
    times_BL = np.zeros((size, limit), dtype=np.int64)
    as_of_B = np.zeros((size, 1), dtype=np.int64)
    length_B = np.zeros(size, dtype=np.int32)
    named_BE = np.full((size, _columns(max(len(row.ids) for row in rows))), PAD, dtype=np.int32)
    widest = min(own_counts, max(len(row.user.own_ids) if row.with_counts else 0 for row in rows))
    own_ids_BK = np.full((size, _columns(widest)), PAD, dtype=np.int32)
    own_counts_BK = np.zeros(own_ids_BK.shape, dtype=np.float32)
    steer_BD = np.zeros((size, manifest.dim), dtype=np.float32)
    for b, row in enumerate(rows):
        user = row.user
        if user.length:
            ids_BL[b] = user.ids
            types_BL[b] = user.types
            times_BL[b] = user.times_micros
            length_B[b] = user.length
        as_of_B[b, 0] = row.as_of_micros
        named_BE[b, : len(row.ids)] = row.ids
        own = min(len(user.own_ids), widest)
        if own and row.with_counts:
            # Of more than are sent, those that the user took up last.
            own_ids_BK[b, :own] = user.own_ids[-own:]
            own_counts_BK[b, :own] = user.own_counts[-own:]
        if row.steer_D is not None:
            steer_BD[b] = row.steer_D
    ages_BL = ages_seconds(times_BL, as_of_B)
    ages_BL[ids_BL == PAD] = 0.0
    inputs: dict[str, Input] = {
        "history_ids": ids_BL,
        "history_types": types_BL,
        "history_ages_seconds": ages_BL,
        "history_length": length_B,
        "steer": steer_BD,
        "user_features": np.zeros((size, manifest.user_feature_dim), dtype=np.float32),
        "own_count_ids": own_ids_BK,
        "own_counts": own_counts_BK,
        "exclude_ids" if model == RECOMMENDER else "candidate_ids": named_BE,
        **release.overlay_tensors(),
    }
    if model == RECOMMENDER:
        # A catalogue smaller than the smallest bucket has no more to give than all of it.
        k = min(bucket(max(row.k for row in rows), K_BUCKETS), release.row_count)
        inputs["k"] = np.array([k], dtype=np.int64)
    return inputs


def _columns(longest: int) -> int:
    """Widths come in steps, so that the shapes that a model sees are few."""
    return max(1, -(-longest // _ID_COLUMNS)) * _ID_COLUMNS

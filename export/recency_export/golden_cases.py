"""Golden cases answered by torch: the reference that a release's graphs are held to wherever they run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from recency_export.made_up_cases import made_up_cases
from recency_export.parity import torch_recommend, torch_score
from recency_export.serving import Serving
from recency_features.golden import GoldenCase


def golden_cases(
    serving: Serving, item_ids: Sequence[str], trend_NT: npt.NDArray[np.float32], limit: int, seed: int
) -> list[GoldenCase]:
    """The cases over a release's items, with trends as they are at trained-through time."""
    return made_up_cases(
        lambda request: (*torch_recommend(serving, request), torch_score(serving, request)),
        item_ids,
        trend_NT,
        serving.items.shape[1],
        limit,
        seed,
    )

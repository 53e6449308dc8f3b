"""Fits what stands behind retrieval."""

from __future__ import annotations

from recency_export.dataset import Dataset
from recency_export.serving import Serving
from recency_export.settings import RankerSettings


def fit_ranker(serving: Serving, data: Dataset, settings: RankerSettings, seed: int) -> dict[str, float]:
    """."""
    return {}

"""Logit → probability, and the balance between a query and a history: numbers of the manifest that are fitted last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from recency_store.manifest import Calibration

if TYPE_CHECKING:
    from recency_export.candidates import Shortlists

_STEPS = 50


def calibrate(logits: npt.NDArray[np.float32], positive: npt.NDArray[np.bool_], source: str) -> Calibration:
    """probability = sigmoid(scale · logit + shift) by maximum likelihood (Newton's method, lightly regularised)."""
    if not positive.any() or positive.all():
        return Calibration()
    x = logits.astype(np.float64)
    centre, spread = float(x.mean()), max(float(x.std()), 1e-6)
    design = np.stack([(x - centre) / spread, np.ones_like(x)], axis=1)
    # The two classes' sizes, counted as if each had one observation more.
    truth = np.where(positive, (positive.sum() + 1) / (positive.sum() + 2), 1 / ((~positive).sum() + 2))
    weights = np.array([1.0, np.log((positive.sum() + 1) / ((~positive).sum() + 1))])
    for _ in range(_STEPS):
        probability = sigmoid(design @ weights)
        gradient = design.T @ (probability - truth) + 1e-3 * weights
        curvature = (design * (probability * (1 - probability))[:, None]).T @ design + 1e-3 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        weights -= np.clip(step, -2.0, 2.0)
        if float(np.abs(step).max()) < 1e-9:
            break
    scale = weights[0] / spread
    if not np.isfinite(weights).all() or scale <= 0:
        # A logit that says nothing (or the opposite): the base rate, for everything.
        return Calibration(0.0, float(np.log(positive.mean() / (1 - positive.mean()))), source)
    return Calibration(float(scale), float(weights[1] - scale * centre), source)


def sigmoid(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """1 / (1 + e⁻ˣ) without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)), dtype=np.float64)


def calibration_error(
    calibration: Calibration, logits: npt.NDArray[np.float32], positive: npt.NDArray[np.bool_], bins: int = 10
) -> float:
    """Expected calibration error: over bins of equally many, |mean probability − share of positives|, weighted by size."""
    if not len(logits):
        return 0.0
    probability = sigmoid(calibration.scale * logits.astype(np.float64) + calibration.shift)
    order = np.argsort(probability, kind="stable")
    parts = np.array_split(order, bins)
    apart = sum(len(part) * abs(probability[part].mean() - positive[part].mean()) for part in parts if len(part))
    return float(apart / len(logits))


def sampled_observations(
    found: Shortlists, logits: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Held-out next events (positive) beside random items (not): their logits and which they are."""
    random = np.zeros_like(found.usable)
    random[:, found.head : -1] = found.usable[:, found.head : -1]
    random[:, -1] = found.usable[:, -1]
    positive = np.zeros_like(found.usable)
    positive[:, -1] = True
    return logits[random], positive[random]


def query_scale(
    affinity_QN: npt.NDArray[np.float32], content_NK: npt.NDArray[np.float32], queries: npt.NDArray[np.int64]
) -> float:
    """How much larger the spread over items of a user's logit is than that of an item's text taken as a query."""
    if not len(affinity_QN) or len(content_NK) < 2:
        return 1.0
    by_user = float(np.median(affinity_QN.std(1)))
    by_query = float(np.median((content_NK[queries] @ content_NK.T).std(1)))
    return by_user / by_query if by_query > 1e-6 and by_user > 1e-6 else 1.0

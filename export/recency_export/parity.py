"""torch ↔ onnxruntime on made-up requests: overlay, fresh items, exclusions, steering, own counts and padding included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from recency_export.errors import ParityError
from recency_export.onnx_session import Arrays, feed, open_model
from recency_export.serving import Overlay, Recommender, Scorer, Serving, User
from recency_features.spec import PAD, RECOMMENDER, SCORER, TREND_COLUMNS, USER_FEATURE_DIM

# Relative to the size of the logits; float32 sums in another order differ by a hundredth of it.
TOLERANCE = 1e-3


def made_up_request(items: int, dim: int, fresh: int, batch: int, positions: int, seed: int) -> Arrays:
    """Every input of both models, for one batch."""
    rng = np.random.default_rng(seed)
    total = items + fresh
    length = rng.integers(0, positions + 1, batch)
    length[0] = 0 if batch > 1 else positions
    ids = np.full((batch, positions), PAD, dtype=np.int32)
    types = np.zeros((batch, positions), dtype=np.int32)
    ages = np.zeros((batch, positions), dtype=np.float32)
    for row, n in enumerate(length.tolist()):
        if n:
            ids[row, positions - n :] = rng.integers(0, total, n)
            types[row, positions - n :] = rng.integers(1, 13, n)
            ages[row, positions - n :] = np.sort(rng.exponential(1e5, n))[::-1]
    bias = rng.normal(0, 0.3, total).astype(np.float32)
    bias[rng.random(total) < 0.1] = -np.inf

    def some_ids(width: int) -> npt.NDArray[np.int32]:
        return np.where(rng.random((batch, width)) < 0.6, rng.integers(0, total, (batch, width)), PAD).astype(np.int32)

    return {
        "history_ids": ids,
        "history_types": types,
        "history_ages_seconds": ages,
        "history_length": length.astype(np.int32),
        "steer": (rng.normal(0, 0.05, (batch, dim))).astype(np.float32),
        "user_features": np.zeros((batch, USER_FEATURE_DIM), dtype=np.float32),
        "own_count_ids": some_ids(9),
        "own_counts": rng.integers(1, 5, (batch, 9)).astype(np.float32),
        "exclude_ids": some_ids(13),
        "candidate_ids": some_ids(21),
        "item_bias": bias,
        "item_trend": rng.gamma(1.0, 4.0, (total, TREND_COLUMNS)).astype(np.float32),
        "fresh_vectors": rng.normal(0, 0.1, (fresh, dim)).astype(np.float32),
        "k": np.array([min(100, total)], dtype=np.int64),
    }


def torch_recommend(serving: Serving, request: Arrays) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Ids and logits as torch gives them; k over the number of items is cut to it."""
    user, overlay = _tensors(request)
    with torch.no_grad():
        ids, logits, _ = Recommender(serving)(
            user, torch.from_numpy(request["exclude_ids"]), overlay, torch.zeros(int(request["k"][0]))
        )
    return ids.numpy(), logits.numpy()


def torch_score(serving: Serving, request: Arrays) -> npt.NDArray[np.float32]:
    """The candidates' logits as torch gives them."""
    user, overlay = _tensors(request)
    with torch.no_grad():
        logits: npt.NDArray[np.float32] = Scorer(serving)(
            user, torch.from_numpy(request["candidate_ids"]), overlay
        ).numpy()
    return logits


def _tensors(request: Arrays) -> tuple[User, Overlay]:
    user = User(*(torch.from_numpy(request[name]) for name in User._fields))
    return user, Overlay(*(torch.from_numpy(request[name]) for name in Overlay._fields))


def check_parity(serving: Serving, release: Path, seed: int) -> float:
    """Runs both graphs beside torch; ParityError where they part. Answers the largest difference seen."""
    items, dim = serving.items.shape
    recommender, scorer = (open_model(release / name / "model.onnx") for name in (RECOMMENDER, SCORER))
    worst = 0.0
    for number, (fresh, batch, positions) in enumerate(((1, 1, 50), (3, 5, 50), (2, 4, 7), (1, 2, 1))):
        request = made_up_request(items, dim, fresh, batch, positions, seed + number)
        ids, logits = torch_recommend(serving, request)
        found_ids, found_logits, _ = recommender.run(None, feed(request, RECOMMENDER))
        worst = max(worst, _apart(logits, found_logits, f"{RECOMMENDER}, request {number}"))
        scored = request | {"candidate_ids": found_ids}
        (again,) = scorer.run(None, feed(scored, SCORER))
        # The same items in both models; where two logits are equal, either order of ids is right.
        worst = max(worst, _apart(found_logits, again, f"{SCORER} on what {RECOMMENDER} found, request {number}"))
        worst = max(worst, _apart(torch_score(serving, scored), again, f"{SCORER}, request {number}"))
        (named,) = scorer.run(None, feed(request, SCORER))
        worst = max(
            worst, _apart(torch_score(serving, request), named, f"{SCORER}, request {number}, named candidates")
        )
        if (np.sort(ids < 0) != np.sort(found_ids < 0)).any():
            raise ParityError(f"{release}: {RECOMMENDER} fills other places than torch; report this")
    return worst


def _apart(expected: npt.NDArray[np.float32], found: npt.NDArray[np.float32], where: str) -> float:
    finite = np.isfinite(expected)
    if (finite != np.isfinite(found)).any() or np.isnan(found).any():
        raise ParityError(f"{where}: torch and onnxruntime disagree on which logits are finite; report this")
    if not finite.any():
        return 0.0
    difference = float(np.abs(expected[finite] - found[finite]).max() / max(1.0, float(np.abs(expected[finite]).max())))
    if difference > TOLERANCE:
        raise ParityError(
            f"{where}: logits differ by {difference:.2g} of their size, more than {TOLERANCE}; report this"
        )
    return difference

"""A run's two pictures: how it was fine-tuned, and the candidate beside its parent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from recency_export.compare import Answers
from recency_export.gate_settings import Sampling
from recency_export.judgement import paired_interval
from recency_export.plots import Pair, plot_comparison, plot_training

TRAINING, COMPARISON = "training.png", "comparison.png"
_KINDS = {"newest": "newest events", "old": "old events"}


def plot_run(
    folder: Path,
    curve: Path,
    parts: Mapping[str, Answers],
    users: Mapping[str, npt.NDArray[np.int64]],
    title: str,
    sampling: Sampling,
) -> None:
    """Writes both into `folder`. `parts` are `candidate_<kind>` and `parent_<kind>`, `users` whose cases those are."""
    read = json.loads(curve.read_text(encoding="utf-8"))
    plot_training(folder / TRAINING, read["loss"], read["checked_epochs"], read["ndcg"])
    pairs = []
    for kind, label in _KINDS.items():
        ours, theirs = parts[f"candidate_{kind}"].ndcg, parts[f"parent_{kind}"].ndcg
        if len(ours):
            change = paired_interval(ours - theirs, users[kind], sampling)
            pairs.append(Pair(f"{label}\n({len(ours)} cases)", float(ours.mean()), float(theirs.mean()), change))
    plot_comparison(folder / COMPARISON, title, pairs)

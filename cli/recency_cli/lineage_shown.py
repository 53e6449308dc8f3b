"""What `recency release show` says of where a release comes from: its training run, its pictures, and how it did beside its
parent."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PICTURES = ("training.png", "comparison.png", "metrics.png")
_PARENT = "_parent_"


def lineage(manifest: Mapping[str, Any], folder: Path | None, data: Path) -> dict[str, Any]:
    """The run with the command that opens it, and the pictures that lie in the release's folder."""
    run = str(manifest.get("run", ""))
    shown = [str(folder / name) for name in PICTURES if folder is not None and (folder / name).is_file()]
    return {"run": run, "open_run": open_command(run, data), "pictures": shown}


def open_command(run: str, data: Path) -> str:
    """What to type to see a run; empty where there is none."""
    backend, _, place = run.partition(":")
    if backend == "tensorboard":
        return f"tensorboard --logdir {shlex.quote(str(data / place))}"
    if backend == "wandb":
        name = place.rpartition("/")[2]
        return f"wandb sync {shlex.quote(str(data / 'runs' / 'wandb'))}/offline-run-*-{name}"
    return ""


def beside_parent(metrics: Mapping[str, float]) -> list[tuple[str, float, float]]:
    """(metric, this release, its parent) of every metric that was measured for both: `newest_ndcg_at_10` beside
    `newest_parent_ndcg_at_10`."""
    pairs = []
    for name, theirs in sorted(metrics.items()):
        own = name.replace(_PARENT, "_", 1)
        if _PARENT in name and own in metrics:
            pairs.append((own, metrics[own], theirs))
    return pairs

"""Tells the experiment tracker what a bootstrap came to: the curve of the training, the metrics, the pictures."""

from __future__ import annotations

import json
from pathlib import Path

from recency_export.tracking import TrackingSettings, open_run


def report_bootstrap(settings: TrackingSettings, runs: Path | None, release: int, workspace: Path) -> str:
    """Writes the run of a release whose stages are done; answers what its manifest says of it. Nothing without `runs`."""
    if runs is None:
        return ""
    run = open_run(settings, runs, f"release-{release}")
    try:
        curve = json.loads((workspace / "fine_tune" / "curve.json").read_text(encoding="utf-8"))
        for epoch, loss in enumerate(curve["loss"], 1):
            run.scalars(epoch, {"loss": loss})
        for epoch, ndcg in zip(curve["checked_epochs"], curve["ndcg"], strict=True):
            run.scalars(epoch, {"validation_retrieval_ndcg_at_10": ndcg})
        run.summary(json.loads((workspace / "evaluate" / "metrics.json").read_text(encoding="utf-8")))
        for picture in sorted((workspace / "evaluate").glob("*.png")):
            run.figure(picture.stem, picture)
    finally:
        run.close()
    return run.url

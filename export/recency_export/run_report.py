"""Tells the experiment tracker what a run came to: the curve of the fine-tuning, the metrics, how long each stage took."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from recency_export.run_plots import COMPARISON, TRAINING
from recency_export.tracking import Run, TrackingSettings, open_run

if TYPE_CHECKING:
    from recency_export.run_work import RunWork


@contextmanager
def tracked(work: RunWork, runs: Path | None) -> Iterator[Run]:
    """The tracker's run of the plan's release: the same whenever the run goes on. Nowhere, without a folder for it."""
    settings = work.config.tracking if runs is not None else TrackingSettings(backend="none")
    run = open_run(settings, runs or Path(), f"release-{work.plan.release}")
    try:
        yield run
    finally:
        run.close()


def report_run(work: RunWork, run: Run, metrics: Mapping[str, float]) -> None:
    """Curves, metrics and seconds."""
    curve = json.loads((work.workspace / "fine_tune" / "curve.json").read_text(encoding="utf-8"))
    for epoch, loss in enumerate(curve["loss"], 1):
        run.scalars(epoch, {"loss": loss})
    for epoch, ndcg in zip(curve["checked_epochs"], curve["ndcg"], strict=True):
        run.scalars(epoch, {"newest_retrieval_ndcg_at_10": ndcg})
    for picture in (TRAINING, COMPARISON):
        path = work.workspace / "evaluate" / picture
        if path.is_file():
            run.figure(path.stem, path)
    seconds = {f"seconds_{time.stage}": time.seconds for time in work.times if not time.skipped}
    run.summary(dict(metrics) | seconds)

"""What a run's evaluation found → what the gate judges."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recency_export.compare import Answers, read_answers
from recency_export.evidence import Evidence, Exposure, Gains, Observations
from recency_store.manifest import Calibration, read_manifest

if TYPE_CHECKING:
    from recency_export.run_work import RunWork


def evidence_of(work: RunWork, folder: Path, targets: tuple[str, ...]) -> Evidence:
    """`folder` is the published candidate's; `targets` the Tritons that have it ready."""
    path = work.workspace / "evaluate" / "cases.npz"
    kinds = ("candidate_newest", "parent_newest", "candidate_old", "parent_old")
    newest, before, old, old_before = (read_answers(path, kind) for kind in kinds)
    with np.load(path, allow_pickle=False) as saved:
        arrays = {name: saved[name] for name in saved.files}
    return Evidence(
        release=work.plan.release,
        folder=folder,
        parent_folder=work.folder_of(work.parent),
        newest=Gains(newest.ndcg, before.ndcg, arrays["newest_user"]),
        old=Gains(old.ndcg, old_before.ndcg, arrays["old_user"]),
        observed=_observed(newest, read_manifest(folder).calibration),
        parent_observed=_observed(before, work.parent_manifest.calibration),
        exposure=Exposure(
            item_ids=work.desk.item_ids,
            slates=len(arrays["candidate_slates_rank"]),
            candidate=arrays["candidate_exposure"],
            parent=arrays["parent_exposure"],
            users=arrays["new_users"],
            items=arrays["new_items"],
        ),
        targets=targets,
    )


def _observed(found: Answers, calibration: Calibration) -> Observations:
    return Observations(found.logits, found.positive, calibration)

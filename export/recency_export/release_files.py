"""The files and the manifest of a run's candidate, from what its stages left."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recency_export.publish import stage_files
from recency_export.workspace import files_under
from recency_features.spec import RECOMMENDER, SCORER, TEXT_ENCODER, TREND_COLUMNS, USER_FEATURE_DIM
from recency_store.manifest import Calibration, Manifest

if TYPE_CHECKING:
    from recency_export.run_work import RunWork

_NOT_PUBLISHED = ("facts.json", "calibration.json", "cases.npz")


def candidate_files(work: RunWork) -> dict[str, Path]:
    """Name in the release → where it lies now. The language model is there only where it is another than the parent's."""
    workspace = work.workspace
    files = stage_files(workspace / "onnx", workspace / "evaluate")
    files = {name: path for name, path in files.items() if name not in _NOT_PUBLISHED}
    files["training/weights.npz"] = workspace / "fine_tune" / "weights.npz"
    files["training/ranker.npz"] = workspace / "rank" / "ranker.npz"
    files["tokenizer.json"] = work.folder_of(work.parent) / "tokenizer.json"
    if work.adapts:
        stage = workspace / "language_model"
        kept = ("text_encoder/", "training/", "tokenizer.json")
        files |= {name: stage / name for name in files_under(stage) if name.startswith(kept)}
    return files


def candidate_manifest(work: RunWork, run: str) -> Manifest:
    """The candidate's manifest, its files apart; `run` is where the tracker keeps the run."""
    plan, config, parent, workspace = work.plan, work.config, work.parent_manifest, work.workspace
    facts = _read(workspace / "onnx" / "facts.json")
    fit = _read(workspace / "rank" / "fit.json")
    encoder, digest = parent.model_versions[TEXT_ENCODER], parent.text_encoder_digest
    if work.adapts:
        encoder, digest = plan.release, _read(workspace / "language_model" / "language_model.json")["digest"]
    return Manifest(
        release=plan.release,
        parent=plan.parent,
        dim=parent.dim,
        learned_dim=parent.learned_dim,
        history_length=parent.history_length,
        trend_half_lives_seconds=parent.trend_half_lives_seconds,
        trend_columns=TREND_COLUMNS,
        user_feature_dim=USER_FEATURE_DIM,
        model_versions={RECOMMENDER: plan.release, SCORER: plan.release, TEXT_ENCODER: encoder},
        text_encoder_digest=digest,
        calibration=Calibration(**_read(workspace / "evaluate" / "calibration.json")),
        run=run,
        seed=config.seed,
        settings={
            "model": asdict(work.desk.trained.model),
            "ranker": asdict(work.desk.trained.ranker),
            "tune": asdict(config.tune),
            "clean": asdict(config.clean),
            "language_model": asdict(config.language_model),
            "threads": config.threads,
            "ranker_events": fit["ranker_events"],
        },
        metrics=_read(workspace / "evaluate" / "metrics.json"),
        **facts,
    )


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))

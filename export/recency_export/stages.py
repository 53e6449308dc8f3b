"""The bodies of the stages that need torch; `pipeline.py` lists them and imports this only when one runs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from recency_export.calibration import calibrate, calibration_error, query_scale, sampled_observations
from recency_export.candidates import affinities
from recency_export.cases import whole_cases
from recency_export.cooccurrence import count_together, positive_sequences
from recency_export.dataset import Dataset, read_dataset
from recency_export.evaluate import rank_metrics
from recency_export.golden_cases import golden_cases
from recency_export.impressions import LEAST_TAKEN, shown_observations
from recency_export.model import (
    Retrieval,
    item_matrix,
    principal_directions,
    projection_matrix,
    read_weights,
    write_weights,
)
from recency_export.parity import check_parity
from recency_export.plots import plot_metrics, plot_training
from recency_export.ranker import Fit, fit_ranker, ranked_metrics
from recency_export.references import reference_metrics
from recency_export.serving import Serving
from recency_export.settings import BootstrapConfig
from recency_export.snapshot import Snapshot, read_snapshot
from recency_export.to_onnx import export_graphs
from recency_export.train import Advance, fine_tune
from recency_export.trend_state import release_trends
from recency_features.golden import write_golden
from recency_features.spaces import write_spaces
from recency_features.spec import TREND_COLUMNS
from recency_store.manifest import Calibration

# The ranker and the trend gain read live trends already; a bias on top of them measured no better (docs/decisions/0022).
TREND_BIAS_WEIGHT = 0.0


def run_fine_tune(
    config: BootstrapConfig,
    workspace: Path,
    folder: Path,
    checkpoint: Path,
    advance: Advance,
    parquet: Path | None = None,
) -> None:
    """Writes weights.npz and curve.json; with several workers these read the log from `parquet`."""
    torch.set_num_threads(config.threads)
    snapshot, data = _inputs(workspace)
    if config.train.workers > 1 and parquet is not None:
        from recency_export.ray_train import fine_tune_with_ray, shared_inputs

        shared = shared_inputs(
            parquet, snapshot, data, config.model, config.train, config.seed, config.threads, checkpoint
        )
        model, curve = fine_tune_with_ray(shared, checkpoint.parent / "ray", advance)
    else:
        model, curve = fine_tune(
            data,
            snapshot.text_vectors,
            config.model,
            config.train,
            config.seed,
            checkpoint,
            advance,
            directions=snapshot.directions,
        )
    write_weights(model, str(folder / "weights.npz"))
    _write(folder / "curve.json", asdict(curve))


def run_rank(config: BootstrapConfig, workspace: Path, folder: Path, advance: Advance) -> None:
    """Writes ranker.npz (everything behind retrieval) and fit.json (calibration, query scale, validation)."""
    torch.set_num_threads(config.threads)
    snapshot, data = _inputs(workspace)
    serving = _serving(config, snapshot, data, workspace, held_out_too=False)
    fit = fit_ranker(serving, data, config.ranker, config.model.history_length, config.seed, advance)
    np.savez(
        folder / "ranker.npz",
        **{name: tensor.numpy() for name, tensor in sorted(_fitted(serving).items())},  # type: ignore[arg-type]
    )
    calibration, metrics = _judge(fit, *shown_observations(serving, data, snapshot, config.model.history_length))
    _write(
        folder / "fit.json",
        {
            "calibration": asdict(calibration),
            "query_scale": _query_scale(config, serving, data),
            "metrics": metrics,
        },
    )


def _judge(
    fit: Fit | None, shown_logits: npt.NDArray[np.float32], taken: npt.NDArray[np.bool_]
) -> tuple[Calibration, dict[str, float]]:
    """The calibration (on impressions where enough were logged), and how the fitted parts do on users whom they were not
    fitted on."""
    shown_calibration = calibrate(shown_logits, taken, "impressions") if taken.sum() >= LEAST_TAKEN else None
    if fit is None:
        return shown_calibration or Calibration(), {}
    whole, short = np.arange(fit.whole), np.arange(fit.whole, len(fit.cases))
    logits, positive = sampled_observations(fit.found, fit.held_logits)
    calibration = calibrate(logits, positive, "sampled")
    metrics = {
        **rank_metrics(fit.found.target_rank[whole]).as_dict("validation_retrieval"),
        **ranked_metrics(fit.found, fit.held_logits, whole).as_dict("validation"),
        **ranked_metrics(fit.found, fit.held_logits, short).as_dict("validation_short_history"),
        "validation_calibration_error": calibration_error(calibration, logits, positive),
        "validation_cases": float(fit.whole),
    }
    if shown_calibration is not None:
        metrics["impressions_calibration_error"] = calibration_error(shown_calibration, shown_logits, taken)
    return shown_calibration or calibration, metrics


def _query_scale(config: BootstrapConfig, serving: Serving, data: Dataset) -> float:
    """From users as they are at their first held-out event, and items' own texts as queries."""
    items = serving.items.detach().numpy()
    events = data.held_out[:: max(1, len(data.held_out) // 200)]
    vectors, _ = affinities(serving, data, whole_cases(data, events), config.model.history_length)
    queries = np.arange(0, len(items), max(1, len(items) // 200))
    return query_scale(vectors.numpy() @ items.T, items[:, config.model.learned_dim :], queries)


def run_export(config: BootstrapConfig, workspace: Path, folder: Path) -> None:
    """Writes the graphs, items.bin, item_ids.json, projection.npy, spaces.npz where there are any, trends.npz, golden.json
    and facts.json."""
    torch.set_num_threads(config.threads)
    snapshot, data = _inputs(workspace)
    serving = assemble(config, workspace)
    export_graphs(serving, folder)
    ids = list(snapshot.item_ids[: snapshot.item_count])
    _write(folder / "item_ids.json", ids)
    model, content = _retrieval(config, snapshot, workspace)
    np.save(folder / "projection.npy", projection_matrix(model, content))
    write_spaces(folder, model.items.spaces)
    trends = release_trends(snapshot, serving.half_lives)
    (folder / "trends.npz").write_bytes(trends.to_bytes())
    newest = int(snapshot.time_micros.max()) if len(snapshot.time_micros) else 0
    trend_NT = trends.columns(np.arange(len(ids)), newest, TREND_COLUMNS)
    write_golden(folder / "golden.json", golden_cases(serving, ids, trend_NT, config.model.history_length, config.seed))
    fit = json.loads((workspace / "rank" / "fit.json").read_text(encoding="utf-8"))
    facts = {
        "trained_through_sequence": snapshot.last_sequence,
        "trained_through_micros": newest,
        "catalog_sequence": snapshot.last_sequence,
        "item_count": len(ids),
        "event_count": len(data.item),
        "text_dim": int(snapshot.text_vectors.shape[1]),
        "query_scale": fit["query_scale"],
        "trend_bias_weight": TREND_BIAS_WEIGHT,
        "repeat_share": data.repeat_share,
        "calibration": fit["calibration"],
    }
    _write(folder / "facts.json", facts)


def run_evaluate(config: BootstrapConfig, workspace: Path, folder: Path) -> None:
    """Writes metrics.json and the plots: ours beside the reference models on the held-out events."""
    _, data = _inputs(workspace)
    curve = json.loads((workspace / "fine_tune" / "curve.json").read_text(encoding="utf-8"))
    metrics = json.loads((workspace / "rank" / "fit.json").read_text(encoding="utf-8"))["metrics"]
    references = reference_metrics(data, config.ranker.dense_items)
    for name, found in references.items():
        metrics |= found.as_dict(f"validation_{name}")
    plot_training(folder / "training.png", curve["loss"], curve["checked_epochs"], curve["ndcg"])
    shown = {"NDCG@10": "ndcg_at_10", "HR@10": "hit_rate_at_10", "MRR@10": "mrr_at_10"}
    bars = {
        model: {label: metrics[f"{prefix}_{key}"] for label, key in shown.items()}
        for model, prefix in [
            ("Recency", "validation"),
            ("retrieval alone", "validation_retrieval"),
            *((name.replace("_", " "), f"validation_{name}") for name in references),
        ]
        if f"{prefix}_ndcg_at_10" in metrics
    }
    plot_metrics(folder / "metrics.png", f"{len(data.held_out)} held-out events, full ranking", bars)
    _write(folder / "metrics.json", metrics)


def check_release(config: BootstrapConfig, workspace: Path, release: Path) -> None:
    """The published graphs against torch."""
    check_parity(assemble(config, workspace), release, config.seed)


def assemble(config: BootstrapConfig, workspace: Path) -> Serving:
    """The release's models in torch, from what the stages left."""
    snapshot, data = _inputs(workspace)
    serving = _serving(config, snapshot, data, workspace, held_out_too=True)
    with np.load(workspace / "rank" / "ranker.npz", allow_pickle=False) as saved:
        fitted = {name: torch.from_numpy(saved[name]) for name in saved.files}
    serving.load_state_dict(fitted, strict=False)
    return serving.eval()


def _fitted(serving: Serving) -> dict[str, torch.Tensor]:
    state = serving.state_dict()
    return {name: tensor for name, tensor in state.items() if name == "trend_gain" or name.startswith("ranker.")}


def _serving(
    config: BootstrapConfig, snapshot: Snapshot, data: Dataset, workspace: Path, held_out_too: bool
) -> Serving:
    torch.manual_seed(config.seed)
    model, content = _retrieval(config, snapshot, workspace)
    tables = count_together(positive_sequences(data, held_out_too), snapshot.item_count, config.ranker)
    return Serving(item_matrix(model, content), model.users, tables, config.model, config.ranker).eval()


def _retrieval(config: BootstrapConfig, snapshot: Snapshot, workspace: Path) -> tuple[Retrieval, Any]:
    model = Retrieval(snapshot.text_vectors, config.model, snapshot.directions)
    read_weights(model, str(workspace / "fine_tune" / "weights.npz"))
    return model.eval(), principal_directions(snapshot.text_vectors, config.model.content_dim)


def _inputs(workspace: Path) -> tuple[Snapshot, Dataset]:
    return read_snapshot(workspace / "snapshot" / "snapshot.npz"), read_dataset(workspace / "dataset" / "dataset.npz")


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, sort_keys=True), encoding="utf-8")

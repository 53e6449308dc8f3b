"""The bodies of a run's stages that need torch; `run.py` lists them and imports this only when one runs.

Everything a stage reads lies in the run's workspace or in a release's folder, so that a killed run goes on from there.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recency_export.calibration import calibrate, calibration_error
from recency_export.cases import Cases, whole_cases
from recency_export.compare import Answers, answers, shown_counts, write_answers
from recency_export.cooccurrence import count_together, positive_sequences
from recency_export.dataset import Dataset, read_dataset
from recency_export.errors import NoParent
from recency_export.evaluate import rank_metrics
from recency_export.golden_cases import golden_cases
from recency_export.model import Retrieval, projection_matrix
from recency_export.parent import Parent, parent_serving
from recency_export.parity import check_parity
from recency_export.plan import Plan
from recency_export.ranker import fit_ranker
from recency_export.run_plots import plot_run
from recency_export.serving import Serving
from recency_export.settings import BootstrapConfig
from recency_export.slate_loss import slates_of
from recency_export.snapshot import Snapshot, read_snapshot
from recency_export.to_onnx import export_graphs
from recency_export.train import Advance, fine_tune
from recency_export.trained import Trained, read_trained, retrieval_of, serving_of
from recency_export.trend_state import release_trends
from recency_export.tune import Lesson, tune
from recency_export.tune_windows import targets_of
from recency_features.golden import write_golden
from recency_features.spaces import write_spaces
from recency_features.spec import TREND_COLUMNS
from recency_store.manifest import Calibration

# Cases of next events that calibrate anew; with fewer the parent's calibration is kept.
_LEAST_CALIBRATION_CASES = 1_000
# Users whose slates are compared, to see which items gained.
_SLATES = 300

WEIGHTS, JUDGED = "weights.npz", "judged.npz"


class Desk:
    """What every stage opens: the run's snapshot and dataset, and the release whose weights it starts from."""

    def __init__(self, config: BootstrapConfig, workspace: Path, plan: Plan, space: Path, adapted: bool) -> None:
        torch.set_num_threads(config.threads)
        self.config, self.workspace, self.plan = config, workspace, plan
        self.snapshot: Snapshot = read_snapshot(workspace / "clean" / "snapshot.npz")
        self.data: Dataset = read_dataset(workspace / "dataset" / "dataset.npz")
        self.trained: Trained = _as_configured(read_trained(space), config)
        vectors = workspace / "language_model" / "text_vectors.npy"
        self.text_vectors = np.load(vectors) if adapted else self.snapshot.text_vectors

    @property
    def item_ids(self) -> tuple[str, ...]:
        """The catalogue, row by row."""
        return self.data.item_ids

    @property
    def limit(self) -> int:
        """The longest history."""
        return self.trained.model.history_length

    def retrieval(self, name: str) -> Retrieval:
        """The retrieval model with the weights that fine-tuning left under this name."""
        model = Retrieval(self.text_vectors, self.trained.model, self.snapshot.directions)
        with np.load(self.workspace / "fine_tune" / name, allow_pickle=False) as saved:
            model.load_state_dict({key: torch.from_numpy(saved[key]) for key in saved.files})
        return model.eval()

    def serving(self, name: str, held_out_too: bool) -> Serving:
        """The release's models, with tables that count the held-out events or not."""
        path = self.workspace / "rank" / "ranker.npz"
        with np.load(path, allow_pickle=False) as saved:
            fitted = {key: saved[key] for key in saved.files}
        tables = count_together(positive_sequences(self.data, held_out_too), len(self.item_ids), self.trained.ranker)
        return serving_of(self.retrieval(name), self.trained.content, fitted, tables, self.trained)

    @cached_property
    def published(self) -> Serving:
        """What is published: it has seen everything."""
        return self.serving(WEIGHTS, held_out_too=True)


def _as_configured(trained: Trained, config: BootstrapConfig) -> Trained:
    """Dropout may be set otherwise than it was; a shape may not."""
    wanted = replace(config.model, dropout=trained.model.dropout, residual_dropout=trained.model.residual_dropout)
    if wanted != trained.model:
        raise NoParent(
            f"export.model is {wanted}, and release {trained.manifest.release} is {trained.model}: weights of another shape "
            "cannot be fine-tuned; set it back, or train anew with: recency export bootstrap"
        )
    return replace(trained, model=config.model)


def run_fine_tune(desk: Desk, folder: Path, checkpoint: Path, advance: Advance) -> None:
    """Writes judged.npz (has not seen the held-out events), weights.npz (has) and curve.json."""
    config, data = desk.config, desk.data
    model = retrieval_of(desk.trained, desk.item_ids, desk.text_vectors, desk.snapshot.directions)
    targets = targets_of(data, desk.plan.after)
    if float(targets.new.sum()) > config.tune.whole_training_share * float(targets.old.sum()):
        model, curve = fine_tune(
            data, desk.text_vectors, desk.trained.model, config.train, config.seed, checkpoint, advance, model
        )
        judged = published = model.state_dict()
    else:
        slates = slates_of(data, desk.snapshot, config.tune)
        lesson = Lesson(model, data, targets, slates, config.train, config.tune, desk.limit, config.seed)
        tuned = tune(lesson, advance)
        judged, published, curve = tuned.judged, tuned.published, tuned.curve
    for name, state in ((JUDGED, judged), (WEIGHTS, published)):
        np.savez(folder / name, **{key: tensor.numpy() for key, tensor in sorted(state.items())})
    _write(folder / "curve.json", asdict(curve))


def run_rank(desk: Desk, folder: Path, advance: Advance) -> None:
    """Writes ranker.npz: the parent's, or where the log has outgrown it (or it was never fitted) a new one; and fit.json."""
    config, data, fitted = desk.config, desk.data, dict(desk.trained.fitted)
    known = float(desk.trained.manifest.settings.get("ranker_events", desk.trained.manifest.event_count))
    never = not fitted["ranker.scale"].any()
    facts: dict[str, Any] = {"ranker_events": int(known), "refitted": False}
    if never or len(data.item) >= config.tune.refit_ranker_growth * known:
        model = desk.retrieval(JUDGED)
        tables = count_together(positive_sequences(data, False), len(desk.item_ids), desk.trained.ranker)
        serving = serving_of(model, desk.trained.content, fitted, tables, desk.trained)
        if fit_ranker(serving, data, desk.trained.ranker, desk.limit, config.seed, advance) is not None:
            state = serving.state_dict()
            fitted = {name: state[name].numpy() for name in fitted}
            facts = {"ranker_events": len(data.item), "refitted": True}
    np.savez(folder / "ranker.npz", **dict(sorted(fitted.items())))  # type: ignore[arg-type]
    _write(folder / "fit.json", facts)


def run_export(desk: Desk, folder: Path) -> None:
    """Writes the graphs, items.bin, item_ids.json, projection.npy, spaces.npz where there are any, trends.npz, golden.json
    and facts.json; checks the graphs against torch."""
    snapshot, data, trained = desk.snapshot, desk.data, desk.trained
    serving = desk.published
    export_graphs(serving, folder)
    check_parity(serving, folder, desk.config.seed)
    ids = list(desk.item_ids)
    _write(folder / "item_ids.json", ids)
    model = desk.retrieval(WEIGHTS)
    np.save(folder / "projection.npy", projection_matrix(model, trained.content))
    write_spaces(folder, model.items.spaces)
    trends = release_trends(snapshot, serving.half_lives)
    (folder / "trends.npz").write_bytes(trends.to_bytes())
    newest = int(snapshot.time_micros.max()) if len(snapshot.time_micros) else 0
    trend_NT = trends.columns(np.arange(len(ids)), newest, TREND_COLUMNS)
    write_golden(folder / "golden.json", golden_cases(serving, ids, trend_NT, desk.limit, desk.config.seed))
    facts = {
        "trained_through_sequence": snapshot.last_sequence,
        "trained_through_micros": newest,
        "catalog_sequence": snapshot.last_sequence,
        "item_count": len(ids),
        "event_count": len(data.item),
        "text_dim": int(desk.text_vectors.shape[1]),
        "query_scale": trained.manifest.query_scale,
        "trend_bias_weight": trained.manifest.trend_bias_weight,
        "repeat_share": data.repeat_share,
    }
    _write(folder / "facts.json", facts)


def run_evaluate(desk: Desk, parent: Parent, space: Parent, folder: Path, advance: Advance) -> None:
    """Writes cases.npz (candidate and parent on the newest events, on old ones, and who stands in whose slates),
    metrics.json and calibration.json, training.png and comparison.png.

    On the newest events the parent answers as `space`, the full release that its weights are of: an item release has learned
    these very events, and its tables count them."""
    config, data = desk.config, desk.data
    targets = targets_of(data, desk.plan.after)
    newest = whole_cases(data, data.held_out)
    old = whole_cases(data, _some(targets.exam, config.tune.old_cases, config.seed))
    positive = np.flatnonzero((targets.new > 0) | (targets.last > 0))
    asking = _asking(data, positive, config.seed)
    judged, published = desk.serving(JUDGED, held_out_too=False), desk.published

    def beside(release: Parent) -> Serving:
        snapshot = desk.snapshot
        vectors, directions = snapshot.text_vectors, snapshot.directions
        return parent_serving(release, desk.trained, desk.item_ids, vectors, directions, data, desk.plan.after)

    serves = beside(parent)
    unlearned = serves if space == parent else beside(space)
    parts: dict[str, Answers] = {}
    # The newest events are asked of the state that has not seen them, all else of what is published.
    for number, (kind, cases, candidate, before) in enumerate(
        (
            ("newest", newest, judged, unlearned),
            ("old", old, published, serves),
            ("slates", asking, published, serves),
        )
    ):
        for place, (name, serving) in enumerate((("candidate", candidate), ("parent", before))):
            parts[f"{name}_{kind}"] = answers(serving, data, cases, desk.limit, config.seed)
            advance(2 * number + place + 1, 6, f"{name}, {kind}")
    exposed = shown_counts(parts["parent_slates"].top, len(desk.item_ids))
    write_answers(
        folder / "cases.npz",
        parts,
        newest_user=newest.user,
        old_user=old.user,
        new_users=data.user_of[positive],
        new_items=data.item[positive].astype(np.int64),
        candidate_exposure=shown_counts(parts["candidate_slates"].top, len(desk.item_ids)),
        parent_exposure=exposed,
    )
    calibration = _calibration(parts["candidate_newest"], len(newest), desk.trained.manifest.calibration)
    _write(folder / "calibration.json", asdict(calibration))
    _write(folder / "metrics.json", _metrics(desk, parts, calibration))
    plot_run(
        folder,
        desk.workspace / "fine_tune" / "curve.json",
        parts,
        {"newest": newest.user, "old": old.user},
        f"release {desk.plan.release} beside release {desk.plan.parent}",
        config.gate.sampling,
    )


def _calibration(newest: Answers, cases: int, parents: Calibration) -> Calibration:
    """Anew where there is enough to go by; a calibration on impressions is the better one, and is kept."""
    if cases < _LEAST_CALIBRATION_CASES or parents.source == "impressions":
        return parents
    return calibrate(newest.logits, newest.positive, "sampled")


def _metrics(desk: Desk, parts: dict[str, Answers], calibration: Calibration) -> dict[str, float]:
    dropped = json.loads((desk.workspace / "clean" / "dropped.json").read_text(encoding="utf-8"))
    facts = json.loads((desk.workspace / "dataset" / "facts.json").read_text(encoding="utf-8"))
    metrics = {f"dropped_{name}": float(count) for name, count in dropped.items()}
    metrics |= {name: float(facts[name]) for name in ("new_events", "sessions")}
    for kind, name in (("newest", "newest"), ("old", "old")):
        for who in ("candidate", "parent"):
            found = rank_metrics(parts[f"{who}_{kind}"].rank)
            if found.cases:
                prefix = f"{name}_parent" if who == "parent" else name
                metrics |= found.as_dict(prefix)
                metrics[f"{name}_cases"] = float(found.cases)
    newest = parts["candidate_newest"]
    if len(newest.logits):
        metrics["newest_calibration_error"] = calibration_error(calibration, newest.logits, newest.positive)
    return metrics


def _some(events: np.ndarray[Any, Any], most: int, seed: int) -> np.ndarray[Any, Any]:
    if len(events) <= most:
        return events
    return np.sort(np.random.default_rng((seed, 23)).choice(events, most, replace=False))


def _asking(data: Dataset, events: np.ndarray[Any, Any], seed: int) -> Cases:
    """Requests as they came: users as they were before some of the new events. Where those are few, others as they are
    now: a handful of requests would make every slate weigh a lot."""
    came = whole_cases(data, _some(events, _SLATES, seed))
    wanted = min(_SLATES - len(came), data.users)
    users = np.sort(np.random.default_rng((seed, 24)).choice(data.users, wanted, replace=False))
    now = int(data.time_micros.max()) if len(data.time_micros) else 0
    them = Cases(
        users.astype(np.int64),
        data.offsets[users],
        data.offsets[users + 1],
        np.full(wanted, now, dtype=np.int64),
        np.full(wanted, -1, dtype=np.int64),
    )
    return replace(came, target=np.full(len(came), -1, dtype=np.int64)).followed_by(them)


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, sort_keys=True), encoding="utf-8")

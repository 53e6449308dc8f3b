"""The stages of a full release: what each reads and writes. `run.py` runs them.

Importing this imports no torch: a stage that needs it does so itself.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recency_export.lineage import release_folder
from recency_export.pipeline import Stage
from recency_export.plan import Plan
from recency_export.progress import Progress
from recency_export.settings import BootstrapConfig
from recency_export.workspace import Receipt, peak_bytes
from recency_features.spec import TEXT_ENCODER
from recency_store.manifest import Manifest
from recency_store.protocol import Store
from recency_store.records import ReleaseRecord

if TYPE_CHECKING:
    from recency_export.run_stages import Desk
    from recency_export.text_encoder import CatalogueEncoder


@dataclass(frozen=True, slots=True)
class StageTime:
    """What one stage took; `skipped` where an earlier run had done it."""

    stage: str
    seconds: float
    peak_bytes: int
    skipped: bool


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What became of a run. `record` is None where nothing new had happened since the last release."""

    record: ReleaseRecord | None
    metrics: dict[str, float] = field(default_factory=dict)
    stages: tuple[StageTime, ...] = ()
    served_after_seconds: float | None = None


@dataclass
class RunWork:
    """What a run's stages share."""

    store: Store
    config: BootstrapConfig
    report: Progress
    plan: Plan
    workspace: Path
    releases: Path
    parent: ReleaseRecord
    space: ReleaseRecord
    receipts: dict[str, Receipt] = field(default_factory=dict)
    inputs: str = ""
    times: list[StageTime] = field(default_factory=list)
    opened_encoder: CatalogueEncoder | None = None

    def folder_of(self, record: ReleaseRecord) -> Path:
        """Where a release lies."""
        return release_folder(record, self.releases)

    @cached_property
    def parent_manifest(self) -> Manifest:
        """The manifest of the release that serves."""
        return Manifest.from_json(self.parent.manifest_json, f"release {self.parent.release}")

    @cached_property
    def desk(self) -> Desk:
        """What the stages from fine-tuning on open, once for all of them."""
        from recency_export.run_stages import Desk

        return Desk(self.config, self.workspace, self.plan, self.folder_of(self.space), self.adapts)

    def encoder(self, folder: Path) -> CatalogueEncoder:
        """The language model of a release, opened once."""
        if self.opened_encoder is None:
            from recency_export.text_encoder import CatalogueEncoder

            self.opened_encoder = CatalogueEncoder(folder, self.config.threads)
        return self.opened_encoder

    def timed(self, stage: str, do: Callable[[], Any]) -> Any:
        """A step without a folder of its own."""
        self.report.started(stage)
        begun = time.monotonic()
        made = do()
        seconds = time.monotonic() - begun
        self.times.append(StageTime(stage, seconds, peak_bytes(), False))
        self.report.done(stage, seconds, False)
        return made

    @property
    def adapts(self) -> bool:
        """Whether the language model is fine-tuned too."""
        return self.config.language_model.method != "frozen"

    def advance(self, stage: str) -> Callable[[int, int, str], None]:
        """A stage's way to say how far it is."""

        def advance(done: int, total: int, note: str = "") -> None:
            self.report.advanced(stage, done, total, note)

        return advance


def _snapshot(work: RunWork, folder: Path) -> None:
    from recency_export.snapshot import take_snapshot, write_snapshot

    manifest = work.parent_manifest
    encoder = work.folder_of(work.store.get_release(manifest.model_versions[TEXT_ENCODER]))

    def encode(texts: Sequence[str]) -> Any:
        # Loaded only where an item has come by another way than a gateway, which encodes what it takes.
        return work.encoder(encoder)(texts)

    advance = work.advance("snapshot")
    snapshot = take_snapshot(
        work.store,
        work.plan.through,
        manifest.text_encoder_digest,
        manifest.text_dim,
        encode,
        lambda done, total: advance(done, total, "texts"),
    )
    write_snapshot(folder / "snapshot.npz", snapshot)


def _clean(work: RunWork, folder: Path) -> None:
    from recency_export.clean import clean
    from recency_export.snapshot import read_snapshot, write_snapshot

    snapshot = read_snapshot(work.workspace / "snapshot" / "snapshot.npz")
    cleaned, dropped = clean(snapshot, work.config.clean, work.plan.now_micros)
    write_snapshot(folder / "snapshot.npz", cleaned)
    _write(folder / "dropped.json", dropped)
    if work.adapts:
        from recency_export.language_stage import write_texts

        write_texts(work.store, cleaned, folder / "texts.json")


def _dataset(work: RunWork, folder: Path) -> None:
    from recency_export.clean import sessions
    from recency_export.dataset import build_dataset, write_dataset
    from recency_export.settings import HoldoutSettings
    from recency_export.snapshot import read_snapshot

    config, plan = work.config, work.plan
    snapshot = read_snapshot(work.workspace / "clean" / "snapshot.npz")
    tune = config.tune
    holdout = HoldoutSettings(tune.holdout_per_user, tune.holdout_one_in, tune.holdout_cases)
    data = build_dataset(snapshot, holdout, config.seed, plan.after)
    write_dataset(folder / "dataset.npz", data)
    facts = {
        "events": len(data.item),
        "new_events": int((data.sequence > plan.after).sum()),
        "users": data.users,
        "items": len(data.item_ids),
        "sessions": sessions(data.user_of, data.time_micros, config.clean.session_gap_seconds),
        "held_out": len(data.held_out),
    }
    _write(folder / "facts.json", facts)


def _language_model(work: RunWork, folder: Path) -> None:
    from recency_export.language_stage import run_language_model
    from recency_export.text_encoder import find_encoder

    run_language_model(
        work.config,
        work.workspace / "clean",
        work.workspace / "dataset",
        work.folder_of(work.space),
        find_encoder(work.config.encoder_folder),
        folder,
        work.advance("language_model"),
        work.folder_of(work.store.get_release(work.parent_manifest.model_versions[TEXT_ENCODER])),
    )


def _fine_tune(work: RunWork, folder: Path) -> None:
    from recency_export.run_stages import run_fine_tune

    checkpoints = work.workspace / "fine_tune.checkpoints"
    run_fine_tune(work.desk, folder, checkpoints / f"{work.inputs[:16]}.pt", work.advance("fine_tune"))
    shutil.rmtree(checkpoints, ignore_errors=True)


def _rank(work: RunWork, folder: Path) -> None:
    from recency_export.run_stages import run_rank

    run_rank(work.desk, folder, work.advance("rank"))


def _export_onnx(work: RunWork, folder: Path) -> None:
    from recency_export.run_stages import run_export as write_graphs

    write_graphs(work.desk, folder)


def _evaluate(work: RunWork, folder: Path) -> None:
    from recency_export.parent import Parent
    from recency_export.run_stages import run_evaluate

    parent, space = (Parent.read(work.folder_of(record)) for record in (work.parent, work.space))
    run_evaluate(work.desk, parent, space, folder, work.advance("evaluate"))


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, sort_keys=True), encoding="utf-8")


# The plan's key names every setting, the parent and the events: what a stage reads of earlier stages is all it adds.
STAGES: tuple[Stage[RunWork], ...] = (
    Stage("snapshot", _snapshot, (), lambda work: []),
    Stage("clean", _clean, ("snapshot",), lambda work: []),
    Stage("dataset", _dataset, ("clean",), lambda work: []),
    Stage("language_model", _language_model, ("clean", "dataset"), lambda work: []),
    Stage("fine_tune", _fine_tune, ("clean", "dataset", "language_model"), lambda work: []),
    Stage("rank", _rank, ("clean", "dataset", "fine_tune"), lambda work: []),
    Stage("onnx", _export_onnx, ("clean", "dataset", "fine_tune", "rank"), lambda work: []),
    Stage("evaluate", _evaluate, ("clean", "dataset", "fine_tune", "rank"), lambda work: []),
)

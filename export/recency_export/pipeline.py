"""`bootstrap`: from what the store holds to release 1, as a list of stages.

Each stage reads the folders of earlier ones and writes its own; `workspace.once` skips what is done. Only the snapshot reads
the store (and writes text vectors back), and only publishing touches the world.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from recency_export.erased import drop_erased
from recency_export.exporter_lease import only_exporter
from recency_export.progress import Progress
from recency_export.settings import BootstrapConfig
from recency_export.text_encoder import encoder_digest, find_encoder
from recency_export.workspace import Receipt, digest_of, once
from recency_features.spec import RECOMMENDER, SCORER, TEXT_ENCODER, TREND_COLUMNS, USER_FEATURE_DIM
from recency_store.manifest import Calibration, Manifest
from recency_store.protocol import Store
from recency_store.records import Lease, ReleaseRecord, ReleaseState

# Raised whenever a stage computes something else from the same inputs, so that old receipts no longer match.
STAGES_VERSION = 7


@dataclass
class Work:
    """What the stages share: where to read and write, and how to tell where they are."""

    store: Store
    config: BootstrapConfig
    report: Progress
    encoder_folder: Path
    encoder_digest: str
    receipts: dict[str, Receipt] = field(default_factory=dict)
    # The digest of what the running stage is made from.
    inputs: str = ""

    @property
    def workspace(self) -> Path:
        """Where the stages' folders lie."""
        return self.config.workspace

    def folder(self, stage: str) -> Path:
        """A done stage's folder."""
        return self.config.workspace / stage

    def advance(self, stage: str) -> Callable[[int, int, str], None]:
        """A stage's way to say how far it is."""

        def advance(done: int, total: int, note: str = "") -> None:
            self.report.advanced(stage, done, total, note)

        return advance


class Job(Protocol):
    """What stages are run for: the first release, or a later one."""

    receipts: dict[str, Receipt]
    inputs: str

    @property
    def workspace(self) -> Path:
        """Where the stages' folders lie."""
        ...

    @property
    def report(self) -> Progress:
        """Whom they tell where they are."""
        ...


AnyJob = TypeVar("AnyJob", bound=Job)


@dataclass(frozen=True, slots=True)
class Stage(Generic[AnyJob]):
    """One step: `build(work, folder)` writes `folder`. It is done again when `reads`, or what `depends` names, changed."""

    name: str
    build: Callable[[AnyJob, Path], None]
    reads: tuple[str, ...]
    depends: Callable[[AnyJob], Sequence[Any]]


def run_stage(work: AnyJob, stage: Stage[AnyJob], *also: Any) -> bool:
    """Does a stage, or finds it done by an earlier run; answers which. `also` is more that it depends on."""
    work.report.started(stage.name)
    begun = time.monotonic()
    reads = [work.receipts[name].digest for name in stage.reads if name in work.receipts]
    work.inputs = digest_of(STAGES_VERSION, stage.name, reads, list(stage.depends(work)), *also)
    receipt, skipped = once(work.workspace, stage.name, work.inputs, lambda folder: stage.build(work, folder))
    work.receipts[stage.name] = receipt
    work.report.done(stage.name, time.monotonic() - begun, skipped)
    return skipped


def bootstrap(
    store: Store,
    releases: Path,
    config: BootstrapConfig,
    report: Progress,
    now_micros: Callable[[], int] = lambda: time.time_ns() // 1_000,
    *,
    runs: Path | None = None,
) -> ReleaseRecord:
    """Trains on what the store holds, and publishes and activates a release. Killed anywhere, the next call goes on. `runs`
    is where the experiment tracker keeps its runs; None leaves it out.

    ExporterBusy where another exporter is at work here or for this store."""
    folder = find_encoder(config.encoder_folder)
    with only_exporter(store, config.workspace, config.run.lease_seconds, now_micros) as lease:
        drop_erased(store, config.workspace)
        work = Work(store, config, report, folder, encoder_digest(folder))
        for stage in STAGES:
            run_stage(work, stage)
        report.started("publish")
        begun = time.monotonic()
        record = _publish(work, releases, now_micros(), lease, runs)
        report.done("publish", time.monotonic() - begun, False)
        return record


def _export_text_encoder(work: Work, folder: Path) -> None:
    from recency_export.text_encoder import export_encoder

    export_encoder(work.encoder_folder, folder)


def _snapshot(work: Work, folder: Path) -> None:
    from recency_export.snapshot import take_snapshot, write_snapshot
    from recency_export.text_encoder import CatalogueEncoder

    encode = CatalogueEncoder(work.folder("text_encoder"), work.config.threads)
    through = work.store.last_sequence()
    advance = work.advance("snapshot")
    snapshot = take_snapshot(
        work.store,
        through,
        work.encoder_digest,
        encode.text_dim,
        encode,
        lambda done, total: advance(done, total, "texts"),
    )
    write_snapshot(folder / "snapshot.npz", snapshot)


def _store_marks(store: Store) -> list[Any]:
    """What tells this state of this store from another: its newest number, its newest events, its first items."""
    last = store.last_sequence()
    items = [(item.item_id, item.revision, digest_of(item.payload.hex())) for item in store.list_items(100)]
    return [last, [event.event_id for event in store.read_log(max(0, last - 100), 100)], items]


def _dataset(work: Work, folder: Path) -> None:
    from recency_export.dataset import build_dataset, write_dataset
    from recency_export.snapshot import read_snapshot

    snapshot = read_snapshot(work.folder("snapshot") / "snapshot.npz")
    write_dataset(folder / "dataset.npz", build_dataset(snapshot, work.config.holdout, work.config.seed))


def _fine_tune(work: Work, folder: Path) -> None:
    from recency_export.stages import run_fine_tune

    # Named by its inputs: a checkpoint of other data or settings is not gone on from.
    checkpoints = work.config.workspace / "fine_tune.checkpoints"
    checkpoint = checkpoints / f"{work.inputs[:16]}.pt"
    parquet = None
    if work.config.train.workers > 1:
        from recency_export.parquet import compact

        parquet = work.config.workspace.parent / "parquet"
        compact(work.store, parquet)
    run_fine_tune(work.config, work.config.workspace, folder, checkpoint, work.advance("fine_tune"), parquet)
    shutil.rmtree(checkpoints, ignore_errors=True)


def _rank(work: Work, folder: Path) -> None:
    from recency_export.stages import run_rank

    run_rank(work.config, work.config.workspace, folder, work.advance("rank"))


def _export_onnx(work: Work, folder: Path) -> None:
    from recency_export.stages import run_export

    run_export(work.config, work.config.workspace, folder)


def _evaluate(work: Work, folder: Path) -> None:
    from recency_export.stages import run_evaluate

    run_evaluate(work.config, work.config.workspace, folder)


def _reserve(work: Work, folder: Path) -> None:
    (folder / "number.json").write_text(json.dumps({"release": work.store.next_release()}), encoding="utf-8")


def _model(work: Work) -> list[Any]:
    config = work.config
    return [config.model, config.seed, config.threads]


# What a stage reads is everything it opens, not only what was last: an event may change the trends and no weight.
STAGES = (
    Stage("text_encoder", _export_text_encoder, (), lambda work: [work.encoder_digest]),
    Stage("snapshot", _snapshot, ("text_encoder",), lambda work: _store_marks(work.store)),
    Stage("dataset", _dataset, ("snapshot",), lambda work: [work.config.holdout, work.config.seed]),
    Stage("fine_tune", _fine_tune, ("snapshot", "dataset"), lambda work: [*_model(work), work.config.train]),
    Stage("rank", _rank, ("snapshot", "dataset", "fine_tune"), lambda work: [*_model(work), work.config.ranker]),
    Stage(
        "onnx",
        _export_onnx,
        ("snapshot", "dataset", "fine_tune", "rank"),
        lambda work: [*_model(work), work.config.ranker],
    ),
    Stage("evaluate", _evaluate, ("dataset", "fine_tune", "rank"), lambda work: [work.config.ranker]),
    Stage("number", _reserve, ("onnx", "evaluate", "text_encoder"), lambda work: []),
)


def _publish(work: Work, releases: Path, now_micros: int, lease: Lease, runs: Path | None) -> ReleaseRecord:
    from recency_export.bootstrap_run import report_bootstrap
    from recency_export.publish import publish, stage_files
    from recency_export.stages import check_release

    number = int(json.loads((work.folder("number") / "number.json").read_text(encoding="utf-8"))["release"])
    files = stage_files(work.folder("onnx"), work.folder("evaluate"))
    encoder_version = _encoder_version(work.store, work.encoder_digest, number)
    encoder_files = stage_files(work.folder("text_encoder"))
    files["tokenizer.json"] = encoder_files["tokenizer.json"]
    if encoder_version == number:
        files["text_encoder/model.onnx"] = encoder_files["text_encoder/model.onnx"]
    # What a later release is fine-tuned from (`trained.py`).
    files["training/weights.npz"] = work.folder("fine_tune") / "weights.npz"
    files["training/ranker.npz"] = work.folder("rank") / "ranker.npz"
    run = report_bootstrap(work.config.tracking, runs, number, work.workspace)
    manifest = replace(_manifest(work, number, encoder_version), run=run)
    return publish(
        work.store,
        releases,
        {name: path for name, path in files.items() if name != "facts.json"},
        manifest,
        now_micros,
        lambda folder: check_release(work.config, work.config.workspace, folder),
        lease,
        work.config.place,
    )


def _encoder_version(store: Store, digest: str, number: int) -> int:
    """The Triton version of the text encoder: an earlier release's, where that has the same language model."""
    for record in reversed(store.list_releases()):
        if record.release < number and record.state is not ReleaseState.REJECTED:
            earlier = Manifest.from_json(record.manifest_json, f"release {record.release}")
            if earlier.text_encoder_digest == digest:
                return earlier.model_versions[TEXT_ENCODER]
    return number


def _manifest(work: Work, number: int, encoder_version: int) -> Manifest:
    facts = json.loads((work.folder("onnx") / "facts.json").read_text(encoding="utf-8"))
    metrics = json.loads((work.folder("evaluate") / "metrics.json").read_text(encoding="utf-8"))
    config = work.config
    return Manifest(
        release=number,
        parent=0,
        dim=config.model.learned_dim + config.model.content_dim,
        learned_dim=config.model.learned_dim,
        history_length=config.model.history_length,
        trend_half_lives_seconds=tuple(config.ranker.trend_half_lives_seconds),
        trend_columns=TREND_COLUMNS,
        user_feature_dim=USER_FEATURE_DIM,
        model_versions={RECOMMENDER: number, SCORER: number, TEXT_ENCODER: encoder_version},
        text_encoder_digest=work.encoder_digest,
        calibration=Calibration(**facts.pop("calibration")),
        seed=config.seed,
        settings={
            "model": asdict(config.model),
            "train": asdict(config.train),
            "holdout": asdict(config.holdout),
            "ranker": asdict(config.ranker),
            "threads": config.threads,
        },
        metrics=metrics,
        **facts,
    )

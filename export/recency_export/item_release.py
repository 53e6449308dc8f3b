"""An item release: the same graphs over new tables. What the item learner has learned and the items that came since go into
the matrix, co-occurrence and trends are counted up to now; weights, language model and calibration stay. No torch.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from recency_export.errors import LearnerBehind, ParityError
from recency_export.item_tables import Log, counted_tables, learned_matrix, read_log
from recency_export.lineage import release_folder
from recency_export.made_up_cases import made_up_cases
from recency_export.onnx_session import Arrays, feed, open_model
from recency_export.progress import Progress
from recency_export.publish import link_or_copy, publish_candidate, stage_files
from recency_export.settings import RankerSettings
from recency_export.shared_tables import ITEMS_BIN, Place, item_ids_of, place_tables, read_tables, write_tables
from recency_features.golden import GoldenCase, write_golden
from recency_features.spaces import SPACES, place, read_spaces
from recency_features.spec import RECOMMENDER, SCORER
from recency_features.trends import Trends
from recency_store.errors import UnknownRelease
from recency_store.manifest import Manifest, verify
from recency_store.protocol import Store
from recency_store.records import Learned, ReleaseRecord, StoredItem

_PAGE = 1_000
# How long the item learner may take to catch up with the log before it is taken as it is.
CATCH_UP_SECONDS = 5.0
_POLL_SECONDS = 0.05
# What an item release takes from its parent as it is, where that has it.
_KEPT = ("projection.npy", SPACES, "tokenizer.json")


@dataclass(frozen=True, slots=True)
class _Parent:
    """The release that it is made from, and the full release whose space that is."""

    folder: Path
    space_folder: Path
    manifest: Manifest
    item_ids: list[str]


def item_release(
    store: Store,
    releases: Path,
    workspace: Path,
    parent: ReleaseRecord,
    report: Progress,
    now_micros: int,
    key: str = "",
    place: str = "",
) -> ReleaseRecord:
    """Publishes an item release of `parent` as CANDIDATE. The same `key` again goes on with the same number, and answers
    the record of what is published already. ManifestError where the parent cannot be read; ParityError."""
    number = store.next_release(key)
    try:
        return store.get_release(number)
    except UnknownRelease:
        pass
    folder = workspace / "item"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    manifest = build_item_release(store, parent, number, folder, report, releases)
    with _told(report, "publish"):
        verify(publish_candidate(store, releases, stage_files(folder), manifest, now_micros, place))
    shutil.rmtree(folder, ignore_errors=True)
    return store.get_release(number)


def build_item_release(
    store: Store, parent: ReleaseRecord, number: int, folder: Path, report: Progress, releases: Path | None = None
) -> Manifest:
    """Writes the files of an item release to `folder`; answers the manifest, its files apart. Nothing else is written."""
    with _told(report, "learned"):
        base = _read_parent(store, parent, releases)
        learned = store.learned(base.manifest.item_space)
        if learned.position and store.erasures(learned.position):
            raise LearnerBehind(
                "what the item learner has learned holds somebody who was erased since; it learns anew without them where "
                "it runs (`recency export online`): then try again"
            )
        through = max(learned.position, base.manifest.trained_through_sequence)
        texts = _items_with_text(store, base.manifest.text_encoder_digest)
        known = set(base.item_ids)
        fresh = [item_id for item_id in texts if item_id not in known]
        item_ids = base.item_ids + fresh
    with _told(report, "tables"):
        row_of = {item_id: row for row, item_id in enumerate(item_ids)}
        folded = base.manifest.trained_through_sequence
        # What the parent has folded holds people who were erased since: all is folded anew.
        erased = bool(store.erasures(folded))
        log = read_log(store, through, 0 if erased else folded, row_of)
        places = _write_tables(base, item_ids, texts, learned, log, folder)
    with _told(report, "graphs"):
        _write_graphs(base.folder, places, folder)
        (folder / "item_ids.json").write_text(json.dumps(item_ids, indent=1), encoding="utf-8")
        for name in base.manifest.files.keys() & {*_KEPT}:
            link_or_copy(base.folder / name, folder / name)
        parents = Trends.from_bytes((base.folder / "trends.npz").read_bytes())
        trends = Trends(parents.half_lives) if erased else parents
        trends.fold(log.unfolded)
        trends.fold(log.taken_back, sign=-1.0)
        (folder / "trends.npz").write_bytes(trends.to_bytes())
    manifest = _manifest(base, parent, number, item_ids, learned, through, log, len(fresh))
    with _told(report, "golden"):
        rows = np.array([trends.row_of.get(item_id, -1) for item_id in item_ids], dtype=np.intp)
        trend_NT = trends.columns(rows, manifest.trained_through_micros, manifest.trend_width)
        write_golden(folder / "golden.json", _golden(folder, item_ids, trend_NT, manifest))
    (folder / "metrics.json").write_text(json.dumps(manifest.metrics, indent=1, sort_keys=True), encoding="utf-8")
    return manifest


def wait_for_learner(store: Store, space: int, through: int, seconds: float) -> bool:
    """Waits until the item learner has learned the log up to a sequence; whether it has."""
    give_up = time.monotonic() + seconds
    # Only the position is asked for: no version is newer than this.
    while store.learned(space, 1 << 62).position < through:
        if time.monotonic() > give_up:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _read_parent(store: Store, record: ReleaseRecord, releases: Path | None) -> _Parent:
    manifest = Manifest.from_json(record.manifest_json, f"release {record.release}")
    space = record if manifest.item_space == record.release else store.get_release(manifest.item_space)
    folder, space_folder = release_folder(record, releases), release_folder(space, releases)
    return _Parent(folder, space_folder, manifest, item_ids_of(folder))


def _items_with_text(store: Store, digest: str) -> dict[str, StoredItem]:
    """The catalogue's items that the language model has read, in the order in which they were last written."""
    found: list[StoredItem] = []
    after = ""
    while page := store.list_items(_PAGE, after):
        found.extend(item for item in page if item.text_vector and item.text_encoder == digest)
        after = page[-1].item_id
    return {item.item_id: item for item in sorted(found, key=lambda item: item.revision)}


def _write_tables(
    base: _Parent, item_ids: list[str], texts: dict[str, StoredItem], learned: Learned, log: Log, folder: Path
) -> dict[str, Place]:
    parent = read_tables(base.folder)
    own = read_tables(base.space_folder)["items"][:, : base.manifest.learned_dim]
    projection = np.load(base.folder / "projection.npy", allow_pickle=False).astype(np.float32)
    spaces = read_spaces(base.folder, base.manifest)
    matrix = learned_matrix(
        item_ids,
        parent["items"],
        dict(zip(item_ids_of(base.space_folder), own, strict=True)),
        texts,
        learned.rows,
        lambda item: place(item, projection, spaces),
        base.manifest,
    )
    settings = RankerSettings(**base.manifest.settings.get("ranker", {}))
    counted = counted_tables(parent, log.sequences, len(item_ids), settings)
    return write_tables({"items": matrix, **counted}, folder / ITEMS_BIN)


def _write_graphs(parent: Path, places: dict[str, Place], folder: Path) -> None:
    for name in (RECOMMENDER, SCORER):
        model = onnx.load_model(str(parent / name / "model.onnx"), load_external_data=False)
        place_tables(model, places)
        (folder / name).mkdir()
        (folder / name / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
        os.link(folder / ITEMS_BIN, folder / name / ITEMS_BIN)


def _golden(folder: Path, item_ids: list[str], trend_NT: Any, manifest: Manifest) -> list[GoldenCase]:
    """Cases that the new graphs answer; what both models say of one item has to be one thing."""
    recommender, scorer = (open_model(folder / name / "model.onnx") for name in (RECOMMENDER, SCORER))

    def answer(request: Arrays) -> tuple[Any, Any, Any]:
        ids, logits, _ = recommender.run(None, feed(request, RECOMMENDER))
        (again,) = scorer.run(None, feed(request | {"candidate_ids": ids}, SCORER))
        finite = np.isfinite(logits)
        if not np.allclose(logits[finite], again[finite], atol=1e-3, rtol=1e-3):
            raise ParityError(f"{folder}: recommender and scorer disagree about the same items; report this")
        return ids, logits, scorer.run(None, feed(request, SCORER))[0]

    return made_up_cases(answer, item_ids, trend_NT, manifest.dim, manifest.history_length, manifest.release)


def _manifest(
    base: _Parent,
    parent: ReleaseRecord,
    number: int,
    item_ids: list[str],
    learned: Learned,
    through: int,
    log: Log,
    fresh: int,
) -> Manifest:
    """The parent's, but for what is another: weights, so the run that trained them and what they measured, are the same."""
    versions = base.manifest.model_versions | {RECOMMENDER: number, SCORER: number}
    metrics = base.manifest.metrics | {"learned_items": float(len(learned.rows)), "fresh_items": float(fresh)}
    return replace(
        base.manifest,
        release=number,
        parent=parent.release,
        kind="item",
        space=base.manifest.item_space,
        trained_through_sequence=through,
        trained_through_micros=max(log.newest_micros, base.manifest.trained_through_micros),
        learned_through_sequence=learned.position,
        catalog_sequence=through,
        item_count=len(item_ids),
        event_count=log.events,
        model_versions=versions,
        metrics=metrics,
        files={},
    )


@contextmanager
def _told(report: Progress, stage: str) -> Iterator[None]:
    """Tells a stage's beginning and end."""
    begun = time.monotonic()
    report.started(stage)
    yield
    report.done(stage, time.monotonic() - begun, False)

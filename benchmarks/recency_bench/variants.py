"""Releases that differ wherever a mixed answer would show, made of one release's bytes in a moment.

In each the rows of every table of items.bin stand in another order, and the items have exchanged their names: the slate
of a user without events is any other variant's with the names exchanged, and ids of one release over rows of another give
neither's. No variant knows a trend, nor folds one from events that came after the base: trends are the log's, and would not
exchange their names.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recency_export.onnx_session import feed, open_model
from recency_export.shared_tables import ITEMS_BIN, item_ids_of, read_tables, write_tables
from recency_features.golden import GoldenCase, golden_request, read_golden, write_golden
from recency_features.spec import RECOMMENDER, SCORER
from recency_features.trends import Trends
from recency_store.manifest import MANIFEST, Manifest, file_entry, read_manifest

_CHANGED = frozenset({ITEMS_BIN, "item_ids.json", "golden.json", "trends.npz"})
_SAME = ("recommender/model.onnx", "scorer/model.onnx", "projection.npy", "tokenizer.json")


class Variants:
    """Makes variants of the release in `base`, numbered by their releases, under `releases`."""

    def __init__(self, base: Path, releases: Path, exchangeable: Collection[str], through: int) -> None:
        """`exchangeable` are the items that are shown at any time: the others keep their names. `through` is the end of the
        log: what it holds is behind every variant."""
        self._base = base
        self._releases = releases
        self._through = through
        self._manifest = read_manifest(base)
        self._tables = {name: np.array(table) for name, table in read_tables(base).items()}
        self._item_ids = item_ids_of(base)
        self._golden = _without_trends(base, self._manifest, self._item_ids)
        self._exchangeable = sorted(set(self._item_ids) & set(exchangeable))

    def names(self, release: int) -> dict[str, str]:
        """The base's item → the item that has its place in a release."""
        mixed = np.random.default_rng(release).permutation(len(self._exchangeable))
        exchanged = {item_id: self._exchangeable[mixed[i]] for i, item_id in enumerate(self._exchangeable)}
        return {item_id: exchanged.get(item_id, item_id) for item_id in self._item_ids}

    def make(self, release: int, parent: int) -> Manifest:
        """Writes the folder of a release, whole before it has its name."""
        staging = self._releases / f".{release}.staging"
        shutil.rmtree(staging, ignore_errors=True)
        for model in ("recommender", "scorer"):
            (staging / model).mkdir(parents=True)
        for name in _SAME:
            _link_or_copy(self._base / name, staging / name)
        names = self.names(release)
        order = np.random.default_rng([release, 1]).permutation(len(self._item_ids))
        write_tables(reordered(self._tables, order), staging / ITEMS_BIN)
        (staging / "item_ids.json").write_text(
            json.dumps([names[self._item_ids[row]] for row in order]), encoding="utf-8"
        )
        write_golden(staging / "golden.json", [_renamed(case, names.__getitem__) for case in self._golden])
        (staging / "trends.npz").write_bytes(Trends(self._manifest.trend_half_lives_seconds).to_bytes())
        base = self._manifest
        manifest = replace(
            base,
            release=release,
            parent=parent,
            trained_through_sequence=self._through,
            model_versions=base.model_versions | {"recommender": release, "scorer": release},
            files={name: base.files[name] for name in _SAME} | {name: file_entry(staging / name) for name in _CHANGED},
        )
        (staging / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
        staging.rename(self._releases / str(release))
        return manifest


def reordered(tables: dict[str, npt.NDArray[Any]], order: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[Any]]:
    """The tables of a catalogue whose row i is the old row order[i]."""
    count = len(order)
    new = {name: tables[name][order] for name in ("items", "log_count")}
    if "pairs" in tables:
        pairs = tables["pairs"].reshape(count, count, -1)
        new["pairs"] = pairs[order][:, order].reshape(count * count, -1)
    if "neighbour_ids" in tables:
        # One row more than there are items: what stands for no neighbour.
        place = np.append(np.argsort(order), count).astype(tables["neighbour_ids"].dtype)
        new["neighbour_ids"] = place[tables["neighbour_ids"][order]]
        new["neighbour_weights"] = tables["neighbour_weights"][order]
    return new


def _without_trends(base: Path, manifest: Manifest, item_ids: list[str]) -> list[GoldenCase]:
    """The base's golden cases as its graphs answer them where nothing is known of trends."""
    recommender, scorer = (open_model(base / name / "model.onnx") for name in (RECOMMENDER, SCORER))
    still_NT = np.zeros((len(item_ids), manifest.trend_width), dtype=np.float32)
    cases = []
    for case in read_golden(base / "golden.json"):
        request = golden_request(case, item_ids, still_NT, manifest.dim, manifest.history_length)
        ids_k, logits_k, _ = (output[0] for output in recommender.run(None, feed(request, RECOMMENDER)))
        (logits_C,) = scorer.run(None, feed(request, SCORER))[0]
        found = len(case.expected_item_ids)
        cases.append(
            replace(
                case,
                expected_item_ids=tuple(item_ids[row] for row in ids_k[:found]),
                expected_logits=tuple(map(float, logits_k[:found])),
                expected_candidate_logits=tuple(map(float, logits_C[: len(case.candidate_item_ids)])),
            )
        )
    return cases


def _renamed(case: GoldenCase, name: Callable[[str], str]) -> GoldenCase:
    return replace(
        case,
        history=tuple((name(item_id), event_type, age) for item_id, event_type, age in case.history),
        exclude_item_ids=tuple(map(name, case.exclude_item_ids)),
        expected_item_ids=tuple(map(name, case.expected_item_ids)),
        candidate_item_ids=tuple(map(name, case.candidate_item_ids)),
    )


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)

"""An item release is its parent's graphs over other tables."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from recency_export.cooccurrence import count_together
from recency_export.errors import LearnerBehind
from recency_export.item_release import item_release
from recency_export.item_tables import counted_tables
from recency_export.onnx_session import feed, open_model
from recency_export.parity import check_parity, made_up_request
from recency_export.progress import Silent
from recency_export.serving import Serving
from recency_export.settings import RankerSettings
from recency_export.shared_tables import TABLES, place_tables, read_tables, write_tables
from recency_export.stages import assemble
from recency_export.to_onnx import export_graphs
from recency_features.golden import disagreement, golden_request, read_golden
from recency_features.spaces import SPACES, Space, write_spaces
from recency_features.trends import Trends
from recency_store.errors import ManifestError
from recency_store.manifest import file_entry, verify
from recency_store.memory import MemoryStore
from recency_store.records import LearnedRow, ReleaseState

from .conftest import NOW_MICROS, Bootstrapped, make_event, make_item, shop

FRESH = ("item-900", "item-901")


@dataclass(frozen=True)
class Made:
    store: MemoryStore
    folder: Path
    parent: Path
    item_ids: list[str]


@pytest.fixture(scope="module")
def made(bootstrapped: Bootstrapped, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The shop's release after two new lamps, some clicks, and what a learner made of them."""
    root = tmp_path_factory.mktemp("item-release")
    store = shop()
    store.put_release(replace(bootstrapped.record, release=store.next_release()))
    revision_of = {item.item_id: item.revision for item in store.list_items(500)}
    for item in bootstrapped.store.list_items(500):
        store.set_text_vectors([(item.item_id, revision_of[item.item_id], item.text_vector)], item.text_encoder)
    lamp = bootstrapped.store.get_items(["item-000"])["item-000"]
    store.upsert_items(
        [
            replace(make_item(int(name[-3:])), text_vector=lamp.text_vector, text_encoder=lamp.text_encoder)
            for name in FRESH
        ],
        NOW_MICROS,
    )
    store.append([make_event(90_000 + n, f"user-{n}", FRESH[n % 2], NOW_MICROS + n) for n in range(20)])
    lease = store.acquire_lease("learner", "test", 10**9, NOW_MICROS)
    assert lease is not None
    rows = [LearnedRow(name, np.full(64, 0.1, dtype="<f4").tobytes()) for name in ("item-900", "item-007")]
    store.put_learned(1, 0, store.last_sequence(), NOW_MICROS + 19, rows, lease)
    store.delete_items(["item-011"], NOW_MICROS)
    record = item_release(
        store, root / "releases", root / "work", store.get_release(1), Silent(), NOW_MICROS + 99, "one"
    )
    assert (record.release, record.state, record.parent) == (2, ReleaseState.CANDIDATE, 1)
    folder = Path(record.url)
    return Made(store, folder, bootstrapped.folder, json.loads((folder / "item_ids.json").read_text()))


def test_it_says_what_it_is(made: Made) -> None:
    manifest, parent = verify(made.folder), verify(made.parent)
    assert (manifest.kind, manifest.space, manifest.item_space) == ("item", 1, 1)
    assert manifest.model_versions == {"recommender": 2, "scorer": 2, "text_encoder": 1}
    assert manifest.learned_through_sequence == manifest.trained_through_sequence > parent.trained_through_sequence
    assert manifest.trained_through_micros == NOW_MICROS + 19
    assert manifest.calibration == parent.calibration
    assert "text_encoder/model.onnx" not in manifest.files


def test_its_graphs_are_the_parents_but_for_the_shapes_and_places_of_the_tables(made: Made) -> None:
    for name in ("recommender", "scorer"):
        bare = []
        for folder in (made.parent, made.folder):
            model = onnx.load_model(str(folder / name / "model.onnx"), load_external_data=False)
            for tensor in model.graph.initializer:
                if tensor.name in TABLES:
                    del tensor.dims[:], tensor.external_data[:]
            bare.append(model.SerializeToString(deterministic=True))
        assert bare[0] == bare[1]
        assert (made.folder / name / "items.bin").samefile(made.folder / "items.bin")


def test_fresh_items_are_rows_and_residuals_are_in_the_matrix_and_what_was_deleted_keeps_its_row(made: Made) -> None:
    before, after = (read_tables(folder)["items"] for folder in (made.parent, made.folder))
    assert made.item_ids[200:] == list(FRESH)
    assert "item-011" in made.item_ids
    projection = np.load(made.folder / "projection.npy")
    text = np.frombuffer(made.store.get_items(["item-900"])["item-900"].text_vector, dtype="<f4") @ projection
    moved = np.zeros((202, 128), dtype=np.float32)
    moved[[7, 200], :64] = 0.1
    np.testing.assert_allclose(after, np.concatenate([before, [text, text]]) + moved, atol=1e-5)


def test_co_occurrence_and_trends_are_counted_up_to_what_was_learned(made: Made) -> None:
    manifest = verify(made.folder)
    tables = read_tables(made.folder)
    assert tables["pairs"].shape == (202 * 202, 3)
    np.testing.assert_allclose(np.expm1(tables["log_count"][200:, 0]), [10, 10], rtol=1e-5)
    trends = Trends.from_bytes((made.folder / "trends.npz").read_bytes())
    rows = np.array([trends.row_of[name] for name in FRESH])
    np.testing.assert_allclose(trends.counts(rows, manifest.trained_through_micros)[:, 2], [10, 10], rtol=1e-4)


def test_the_graphs_over_new_tables_compute_what_torch_computes(bootstrapped: Bootstrapped, made: Made) -> None:
    serving = assemble(bootstrapped.config, bootstrapped.config.workspace)
    tables = read_tables(made.folder)
    serving.tables = type(serving.tables)(**{name: torch.from_numpy(np.array(table)) for name, table in tables.items()})
    assert check_parity(serving, made.folder, seed=17) < 1e-4


def test_its_golden_cases_replay_and_reach_the_fresh_items(made: Made) -> None:
    manifest = verify(made.folder)
    trends = Trends.from_bytes((made.folder / "trends.npz").read_bytes())
    trend_NT = trends.columns(
        np.array([trends.row_of[i] for i in made.item_ids]), manifest.trained_through_micros, manifest.trend_width
    )
    recommender, scorer = (open_model(made.folder / m / "model.onnx") for m in ("recommender", "scorer"))
    cases = read_golden(made.folder / "golden.json")
    for case in cases:
        request = golden_request(case, made.item_ids, trend_NT, manifest.dim, manifest.history_length)
        ids, logits, _ = recommender.run(None, feed(request, "recommender"))
        (scored,) = scorer.run(None, feed(request, "scorer"))
        assert not disagreement(case, made.item_ids, ids[0], logits[0], scored[0])
    assert any(set(FRESH) & set(case.expected_item_ids) for case in cases)


def test_the_same_key_again_is_the_same_release(made: Made, tmp_path: Path) -> None:
    again = item_release(
        made.store, made.folder.parent, tmp_path, made.store.get_release(1), Silent(), NOW_MICROS + 500, "one"
    )
    assert again == made.store.get_release(2)
    assert len(made.store.list_releases()) == 2


def test_an_item_release_of_an_item_release_keeps_the_space_and_counts_nothing_twice(
    made: Made, tmp_path: Path
) -> None:
    record = item_release(
        made.store, tmp_path, tmp_path / "work", made.store.get_release(2), Silent(), NOW_MICROS, "two"
    )
    manifest, folder = verify(Path(record.url)), Path(record.url)
    assert (manifest.parent, manifest.space) == (2, 1)
    for name, table in read_tables(made.folder).items():
        np.testing.assert_allclose(read_tables(folder)[name], table, atol=1e-6)


@pytest.mark.parametrize("dense", [True, False])
def test_tables_that_are_too_large_to_count_again_are_extended(dense: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    sequences = [rng.integers(0, 30, 12).astype(np.int32) for _ in range(40)]
    settings = RankerSettings(dense_items=30 if dense else 0, neighbours=5)
    parent = {"items": np.zeros((30, 4), dtype=np.float32), **count_together(sequences, 30, settings).arrays()}
    monkeypatch.setattr("recency_export.item_tables._RECOUNT_DENSE", 10)
    monkeypatch.setattr("recency_export.item_tables._RECOUNT_LISTS", 10)
    found = counted_tables(parent, sequences, 33, settings)
    assert len(found["log_count"]) == 33
    if dense:
        pairs = found["pairs"].reshape(33, 33, 3)
        np.testing.assert_array_equal(pairs[:30, :30], parent["pairs"].reshape(30, 30, 3))
        assert not pairs[30:].any()
        assert not pairs[:, 30:].any()
    else:
        assert (found["neighbour_ids"][30:] == 33).all()
        assert not (found["neighbour_ids"] == 30).any()
        np.testing.assert_array_equal(found["neighbour_weights"][:30], parent["neighbour_weights"])


def test_neighbour_lists_take_the_number_of_items_from_the_data(bootstrapped: Bootstrapped, tmp_path: Path) -> None:
    """A graph with neighbour lists, too, runs over a catalogue of another size."""
    torch_serving = assemble(bootstrapped.config, bootstrapped.config.workspace)
    rng = np.random.default_rng(1)
    settings = RankerSettings(dense_items=0, neighbours=5)

    def lists(items: int) -> dict[str, np.ndarray]:
        sequences = [rng.integers(0, items, 12).astype(np.int32) for _ in range(60)]
        counted = count_together(sequences, items, settings).arrays()
        return {"items": rng.normal(0, 0.3, (items, 128)).astype(np.float32), **counted}

    def over(tables: dict[str, np.ndarray]) -> Serving:
        torch_serving.tables = type(torch_serving.tables)(**{n: torch.from_numpy(t) for n, t in tables.items()})
        return torch_serving

    export_graphs(over(lists(50)), tmp_path)
    other = lists(37)
    places = write_tables(other, tmp_path / "other.bin")
    for name in ("recommender", "scorer"):
        model = onnx.load_model(str(tmp_path / name / "model.onnx"), load_external_data=False)
        place_tables(model, places)
        (tmp_path / name / "model.onnx").write_bytes(model.SerializeToString())
        (tmp_path / name / "items.bin").unlink()
        (tmp_path / name / "items.bin").write_bytes((tmp_path / "other.bin").read_bytes())
    assert check_parity(over(other), tmp_path, seed=5) < 1e-4
    request = made_up_request(37, 128, 1, 2, 50, 3)
    assert open_model(tmp_path / "recommender" / "model.onnx").run(None, feed(request, "recommender"))[0].max() <= 37


def test_a_parent_of_an_older_software_is_refused_with_what_to_do(bootstrapped: Bootstrapped, tmp_path: Path) -> None:
    model = onnx.load_model(str(bootstrapped.folder / "recommender" / "model.onnx"), load_external_data=False)
    for tensor in model.graph.initializer:
        tensor.name = f"model.serving.{tensor.name}"
    (tmp_path / "recommender").mkdir()
    (tmp_path / "recommender" / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ManifestError, match="publish a full release again"):
        read_tables(tmp_path)


def test_making_one_imports_no_torch() -> None:
    code = (
        "import sys, recency_export.item_release, recency_export.online;"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_fresh_items_own_vector_is_in_its_row_and_the_space_goes_along(
    bootstrapped: Bootstrapped, tmp_path: Path
) -> None:
    parent = tmp_path / "releases" / "1"
    shutil.copytree(bootstrapped.folder, parent, copy_function=os.link, ignore=shutil.ignore_patterns("manifest.json"))
    projection_SW = np.random.default_rng(0).normal(0.0, 1.0, (2, 64)).astype(np.float32)
    write_spaces(parent, (Space("image/v1", np.array([0.5, 0.0], dtype=np.float32), projection_SW),))
    manifest = verify(bootstrapped.folder)
    manifest = replace(manifest, files={**manifest.files, SPACES: file_entry(parent / SPACES)})
    (parent / "manifest.json").write_text(manifest.to_json(), encoding="utf-8")
    store = shop()
    record = replace(
        bootstrapped.record, release=store.next_release(), manifest_json=manifest.to_json(), url=str(parent)
    )
    store.put_release(record)
    lamp = bootstrapped.store.get_items(["item-000"])["item-000"]
    new = replace(make_item(900), text_vector=lamp.text_vector, text_encoder=lamp.text_encoder)
    new.item.vectors["image/v1"].values.extend([3.0, 4.0])
    store.upsert_items([new], NOW_MICROS)
    made = item_release(store, tmp_path / "releases", tmp_path / "work", record, Silent(), NOW_MICROS + 9, "own")
    folder = Path(made.url)
    assert SPACES in verify(folder).files
    row = read_tables(folder)["items"][json.loads((folder / "item_ids.json").read_text()).index("item-900")]
    text = np.frombuffer(lamp.text_vector, dtype="<f4") @ np.load(folder / "projection.npy")
    np.testing.assert_allclose(row[64:], text[64:], atol=1e-5)
    np.testing.assert_allclose(row[:64], text[:64] + np.array([0.1, 0.8]) @ projection_SW, atol=1e-5)


def test_what_an_erased_user_had_taught_is_not_folded_in(made: Made, tmp_path: Path) -> None:
    store, before = made.store, len(made.store.list_releases())
    store.erase_user("user-3", NOW_MICROS + 200)
    with pytest.raises(LearnerBehind, match="recency export online"):
        item_release(store, tmp_path, tmp_path / "work", store.get_release(1), Silent(), NOW_MICROS + 300, "erased")
    assert len(store.list_releases()) == before

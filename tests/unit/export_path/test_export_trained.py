"""A published release, back in torch."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recency_export.parity import check_parity
from recency_export.serving import RATE
from recency_export.snapshot import read_snapshot
from recency_export.trained import FITTED, read_trained, retrieval_of, serving_of
from recency_store.errors import ManifestError
from recency_store.manifest import MANIFEST, file_entry, read_manifest

from .conftest import Bootstrapped


def test_a_published_release_is_assembled_again_to_what_its_graphs_compute(bootstrapped: Bootstrapped) -> None:
    snapshot = read_snapshot(bootstrapped.config.workspace / "snapshot" / "snapshot.npz")
    trained = read_trained(bootstrapped.folder)
    model = retrieval_of(trained, trained.item_ids, snapshot.text_vectors)
    again = serving_of(model, trained.content, trained.fitted, _tables(bootstrapped), trained)
    check_parity(again, bootstrapped.folder, seed=5)


def _tables(bootstrapped: Bootstrapped):
    from recency_export.cooccurrence import count_together, positive_sequences
    from recency_export.dataset import read_dataset

    data = read_dataset(bootstrapped.config.workspace / "dataset" / "dataset.npz")
    return count_together(positive_sequences(data, True), 200, bootstrapped.config.ranker)


def test_an_item_that_the_release_does_not_know_starts_from_its_text(bootstrapped: Bootstrapped) -> None:
    snapshot = read_snapshot(bootstrapped.config.workspace / "snapshot" / "snapshot.npz")
    trained = read_trained(bootstrapped.folder)
    ids = ["unknown", trained.item_ids[7]]
    model = retrieval_of(trained, ids, snapshot.text_vectors[[3, 7]])
    found = model.items().detach().numpy()
    np.testing.assert_allclose(found[0], snapshot.text_vectors[3] @ trained.weights["items.projection"], atol=1e-6)
    whole = retrieval_of(trained, trained.item_ids, snapshot.text_vectors).items().detach().numpy()
    np.testing.assert_allclose(found[1], whole[7], atol=1e-6)


def test_weights_that_went_bad_are_named(bootstrapped: Bootstrapped, tmp_path: Path) -> None:
    folder = tmp_path / "1"
    shutil.copytree(bootstrapped.folder, folder)
    (folder / "training" / "weights.npz").write_bytes(b"half")
    with pytest.raises(ManifestError, match=r"training/weights\.npz"):
        read_trained(folder)


def test_a_release_from_before_rates_is_read_with_a_feature_that_does_not_speak(
    bootstrapped: Bootstrapped, tmp_path: Path
) -> None:
    trained = read_trained(bootstrapped.folder)
    folder = tmp_path / "1"
    shutil.copytree(bootstrapped.folder, folder)
    narrow = ("ranker.mean", "ranker.scale", "ranker.hidden.weight")
    before = {name: np.delete(trained.fitted[name], RATE, axis=-1) for name in narrow}
    np.savez(folder / FITTED, **{**trained.fitted, **before})
    manifest = read_manifest(folder)
    files = {**manifest.files, FITTED: file_entry(folder / FITTED)}
    older = replace(manifest, trend_columns=0, format=2, files=files)
    (folder / MANIFEST).write_text(older.to_json(), encoding="utf-8")
    again = read_trained(folder)
    assert again.manifest.trend_width == 3
    # Nothing was shown in this shop, so what was taken out had never spoken.
    for name in narrow[1:]:
        expected = np.array(trained.fitted[name])
        expected[..., RATE] = 0.0
        np.testing.assert_array_equal(again.fitted[name], expected)

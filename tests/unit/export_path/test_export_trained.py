"""A published release, back in torch."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from recency_export.parity import check_parity
from recency_export.snapshot import read_snapshot
from recency_export.trained import read_trained, retrieval_of, serving_of
from recency_store.errors import ManifestError

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

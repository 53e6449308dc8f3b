"""Training by two workers under a real Ray gives what one process gives, near enough; one process needs no Ray."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recency_export.dataset import read_dataset
from recency_export.errors import MissingExtra
from recency_export.parquet import compact
from recency_export.ray_train import Shared, fine_tune_with_ray, own_users, shared_inputs
from recency_export.settings import TrainSettings
from recency_export.snapshot import read_snapshot
from recency_export.train import fine_tune

TRAIN = TrainSettings(epochs=3, check_every=3, workers=2)


@pytest.fixture(scope="module")
def shared(bootstrapped, tmp_path_factory) -> Shared:
    folder = tmp_path_factory.mktemp("ray")
    compact(bootstrapped.store, folder / "parquet", range_size=500)
    workspace = bootstrapped.config.workspace
    return shared_inputs(
        folder / "parquet",
        read_snapshot(workspace / "snapshot" / "snapshot.npz"),
        read_dataset(workspace / "dataset" / "dataset.npz"),
        bootstrapped.config.model,
        TRAIN,
        seed=3,
        threads=1,
        checkpoint=folder / "checkpoints" / "ray.pt",
    )


def events_of(data, held: bool) -> set[int]:
    wanted = np.arange(len(data.item)) >= np.repeat(data.train_end, np.diff(data.offsets))
    return set(data.sequence[wanted == held].tolist())


def test_the_workers_parts_are_the_whole_dataset(shared: Shared, bootstrapped) -> None:
    whole = read_dataset(bootstrapped.config.workspace / "dataset" / "dataset.npz")
    parts = [own_users(shared, rank, 3) for rank in range(3)]
    assert sum(part.users for part in parts) == whole.users
    assert all(part.users for part in parts)
    for held in (False, True):
        found = [events_of(part, held) for part in parts]
        assert set().union(*found) == events_of(whole, held)
        assert sum(map(len, found)) == len(events_of(whole, held))
    assert {part.repeat_share for part in parts} == {whole.repeat_share}


@pytest.mark.timeout(300)  # Ray starts processes that each import torch
def test_two_workers_learn_what_one_process_learns(shared: Shared, bootstrapped, tmp_path: Path) -> None:
    data = read_dataset(bootstrapped.config.workspace / "dataset" / "dataset.npz")
    alone, curve = fine_tune(data, shared.text_vectors, shared.model, TRAIN, 3, tmp_path / "alone.pt", lambda *_: None)
    together, its_curve = fine_tune_with_ray(shared, tmp_path / "storage", lambda *_: None)
    assert len(its_curve.loss) == TRAIN.epochs
    # Dropout and the order of windows differ; what they lead to does not.
    assert np.allclose(its_curve.loss, curve.loss, rtol=0.05)
    assert its_curve.ndcg[0] == pytest.approx(curve.ndcg[0])
    ours, theirs = (model.items.eval()().detach().numpy() for model in (alone, together))
    near = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    assert near.mean() > 0.9
    # The checkpoint is there for a killed training to go on from: three epochs of three are done.
    resumed, resumed_curve = fine_tune(
        own_users(shared, 0, 1), shared.text_vectors, shared.model, TRAIN, 3, shared.checkpoint, lambda *_: None
    )
    assert resumed_curve.loss == its_curve.loss
    assert np.array_equal(resumed.items.residual.detach().numpy(), together.items.residual.detach().numpy())


def test_without_ray_the_error_names_the_extra(shared: Shared, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"recency-server\[ray\]"):
        fine_tune_with_ray(replace(shared), tmp_path, lambda *_: None)


def test_one_process_imports_no_ray() -> None:
    code = "import recency_export.stages, recency_export.ray_train, sys; print('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"

"""What a bootstrap publishes."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from recency_export.errors import MissingWeights, ParityError
from recency_export.pipeline import bootstrap
from recency_export.progress import Silent
from recency_export.publish import publish
from recency_features import spec
from recency_features.trends import Trends
from recency_store.manifest import read_manifest, verify
from recency_store.memory import MemoryStore
from recency_store.records import ReleaseState

from .conftest import NOW_MICROS, Bootstrapped, shop, small_config


class Killed(BaseException):
    """What no code catches, as SIGKILL."""


class DiesInTraining(Silent):
    def advanced(self, stage: str, done: int, total: int, note: str = "") -> None:
        if stage == "fine_tune" and done == 3:
            raise Killed


class Skips(Silent):
    def __init__(self) -> None:
        self.skipped: list[str] = []

    def done(self, stage: str, seconds: float, skipped: bool) -> None:
        if skipped:
            self.skipped.append(stage)


def test_a_bootstrap_publishes_an_active_release_whose_every_file_matches_its_checksum(
    bootstrapped: Bootstrapped,
) -> None:
    manifest = verify(bootstrapped.folder)
    assert bootstrapped.record.state is ReleaseState.ACTIVE
    assert bootstrapped.record.release == manifest.release == 1
    assert manifest.item_count == 200
    assert manifest.model_versions == {"recommender": 1, "scorer": 1, "text_encoder": 1}
    assert manifest.trained_through_sequence == bootstrapped.store.last_sequence()
    assert manifest.calibration.source == "sampled"
    assert manifest.query_scale > 0
    assert set(manifest.files) == {
        *("recommender/model.onnx", "scorer/model.onnx", "text_encoder/model.onnx", "items.bin", "item_ids.json"),
        *("projection.npy", "tokenizer.json", "trends.npz", "golden.json"),
        *("training.png", "metrics.png", "metrics.json", "training/weights.npz", "training/ranker.npz"),
    }


def test_the_item_matrix_lies_first_in_the_shared_file_and_a_new_item_projects_to_where_an_unclicked_one_is(
    bootstrapped: Bootstrapped,
) -> None:
    manifest = read_manifest(bootstrapped.folder)
    matrix = np.fromfile(bootstrapped.folder / "items.bin", dtype="<f4", count=200 * manifest.dim).reshape(200, -1)
    projection = np.load(bootstrapped.folder / "projection.npy")
    raw = np.stack([np.frombuffer(i.text_vector, dtype="<f4") for i in bootstrapped.store.list_items(500)])
    assert projection.shape == (manifest.text_dim, manifest.dim)
    content = slice(manifest.learned_dim, None)
    np.testing.assert_allclose((raw @ projection)[:, content], matrix[:, content], atol=1e-5)
    for model in ("recommender", "scorer"):
        assert (bootstrapped.folder / model / "items.bin").samefile(bootstrapped.folder / "items.bin")


@pytest.mark.parametrize("model", [spec.RECOMMENDER, spec.SCORER, spec.TEXT_ENCODER])
def test_the_graphs_have_the_tensors_of_the_table(bootstrapped: Bootstrapped, model: str) -> None:
    names = {"tensor(int32)": "INT32", "tensor(int64)": "INT64", "tensor(float)": "FP32"}
    session = onnxruntime.InferenceSession(str(bootstrapped.folder / model / "model.onnx"))
    found = [(i.name, names[i.type], len(i.shape)) for i in session.get_inputs()]
    assert found == [(t.name, t.datatype, len(t.dims)) for t in spec.INPUTS[model]]
    outputs = [(o.name, names[o.type], len(o.shape)) for o in session.get_outputs()]
    assert outputs == [(t.name, t.datatype, len(t.dims)) for t in spec.OUTPUTS[model]]


def test_trends_hold_the_whole_log(bootstrapped: Bootstrapped) -> None:
    trends = Trends.from_bytes((bootstrapped.folder / "trends.npz").read_bytes())
    manifest = read_manifest(bootstrapped.folder)
    counts = trends.counts(np.arange(200), manifest.trained_through_micros)
    assert counts[:, 2].sum() > 0.1 * manifest.event_count


def test_killed_in_training_it_goes_on_to_the_very_release_that_an_undisturbed_run_makes(
    bootstrapped: Bootstrapped, tmp_path: Path
) -> None:
    store = shop()
    config = small_config(tmp_path / "workspace", bootstrapped.config.encoder_folder or Path())
    with pytest.raises(Killed):
        bootstrap(store, tmp_path / "releases", config, DiesInTraining(), lambda: NOW_MICROS + 1)
    assert store.list_releases() == []
    report = Skips()
    record = bootstrap(store, tmp_path / "releases", config, report, lambda: NOW_MICROS + 2)
    assert report.skipped == ["text_encoder", "snapshot", "dataset"]
    manifests = [Path(r.url, "manifest.json").read_bytes() for r in (record, bootstrapped.record)]
    assert manifests[0] == manifests[1]


def test_a_second_call_on_the_same_data_changes_nothing(bootstrapped: Bootstrapped) -> None:
    report = Skips()
    before = bootstrapped.store.list_releases()
    releases = bootstrapped.folder.parent
    again = bootstrap(bootstrapped.store, releases, bootstrapped.config, report, lambda: NOW_MICROS + 9)
    assert again == bootstrapped.record
    assert bootstrapped.store.list_releases() == before
    assert "fine_tune" in report.skipped


def test_a_release_that_fails_its_check_is_rejected_with_the_reason_and_the_active_one_stays(tmp_path: Path) -> None:
    store = MemoryStore()
    (tmp_path / "items.bin").write_bytes(b"1234")
    files = dict.fromkeys(("items.bin", "recommender/items.bin", "scorer/items.bin"), tmp_path / "items.bin")
    manifest = dataclasses.replace(_bare_manifest(), release=store.next_release())
    publish(store, tmp_path / "releases", files, manifest, NOW_MICROS, lambda folder: None)

    def fails(folder: Path) -> None:
        raise ParityError("logits differ")

    broken = dataclasses.replace(manifest, release=store.next_release())
    with pytest.raises(ParityError):
        publish(store, tmp_path / "releases", files, broken, NOW_MICROS, fails)
    assert store.get_release(broken.release).state is ReleaseState.REJECTED
    assert store.get_release(broken.release).reason == "logits differ"
    active = store.active_release()
    assert active is not None
    assert active.release == manifest.release


def _bare_manifest():  # type: ignore[no-untyped-def]
    from recency_store.manifest import Manifest

    kept = {"release": 1, "trend_half_lives_seconds": (1.0,), "model_versions": {}, "text_encoder_digest": ""}
    numbers = {f.name: 0 for f in dataclasses.fields(Manifest) if f.default is f.default_factory is dataclasses.MISSING}
    return Manifest(**{**numbers, **kept})


def test_missing_weights_say_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match="pip install"):
        bootstrap(MemoryStore(), tmp_path, small_config(tmp_path / "w", tmp_path / "nowhere"), Silent())


def test_importing_the_exporter_imports_no_torch() -> None:
    code = "import sys, recency_export.pipeline; assert not {'torch', 'transformers', 'onnx'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_metrics_are_in_the_manifest_and_beside_the_reference_models(bootstrapped: Bootstrapped) -> None:
    metrics = json.loads((bootstrapped.folder / "metrics.json").read_text())
    assert read_manifest(bootstrapped.folder).metrics == metrics
    assert metrics["validation_ndcg_at_10"] > metrics["validation_decayed_popularity_ndcg_at_10"]


def test_trends_may_forget_in_hours(bootstrapped: Bootstrapped) -> None:
    from recency_export.snapshot import read_snapshot
    from recency_export.stages import assemble
    from recency_export.trend_state import release_trends

    config, hours = bootstrapped.config, (3_600.0, 7_200.0, 10_800.0)
    ranker = dataclasses.replace(config.ranker, trend_half_lives_seconds=hours)
    served = assemble(dataclasses.replace(config, ranker=ranker), config.workspace).half_lives
    assert served == hours
    snapshot = read_snapshot(config.workspace / "snapshot" / "snapshot.npz")
    newest = int(snapshot.time_micros.max())
    trends = [release_trends(snapshot, lives) for lives in (served, config.ranker.trend_half_lives_seconds)]
    short, long = (kept.counts(np.arange(200), newest).sum() for kept in trends)
    assert 0 < short < 0.1 * long
    for wrong in ((1.0, 2.0), (2.0, 1.0, 3.0), (0.0, 1.0, 2.0), (1.0, 2.0, float("inf"))):
        with pytest.raises(ValueError, match="3 numbers of seconds, growing"):
            dataclasses.replace(config.ranker, trend_half_lives_seconds=wrong)

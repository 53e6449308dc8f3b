"""A release says which run made it, and the run holds its curve, its figures and its pictures."""

from pathlib import Path

from recency_export.pipeline import bootstrap
from recency_export.progress import Silent
from recency_export.settings import BootstrapConfig
from recency_store.manifest import read_manifest

from .conftest import NOW_MICROS, shop


def test_a_bootstrap_keeps_its_curve_metrics_and_pictures_in_the_run_that_its_manifest_names(
    prepared_config: BootstrapConfig, tmp_path: Path
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    runs = tmp_path / "runs"
    record = bootstrap(
        shop(items=40, users=60), tmp_path / "releases", prepared_config, Silent(), lambda: NOW_MICROS, runs=runs
    )
    manifest = read_manifest(Path(record.url))
    assert manifest.run == "tensorboard:runs/release-1"
    assert str(tmp_path) not in manifest.to_json()
    read = EventAccumulator(str(runs / "release-1"))
    read.Reload()
    assert len(read.Scalars("loss")) == prepared_config.train.epochs
    assert read.Scalars("loss")[-1].value < read.Scalars("loss")[0].value
    assert set(read.Tags()["images"]) == {"training", "metrics"}
    summary = {tag.removeprefix("summary/") for tag in read.Tags()["scalars"] if tag.startswith("summary/")}
    assert summary == set(manifest.metrics)

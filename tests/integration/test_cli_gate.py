"""`recency export evaluate` and what `recency release` says of a release that the gate refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import gated_release as gated
import pytest
from gated_release import NAMES, write_gated
from typer.testing import CliRunner

from recency.v1 import event_pb2
from recency_cli.lineage_shown import open_command
from recency_cli.main import app
from recency_export.gate import GateSettings, judge
from recency_export.log_evidence import evidence_from_log
from recency_export.plots import plot_training
from recency_store.errors import RejectedRelease
from recency_store.manifest import Manifest
from recency_store.records import ReleaseRecord, ReleaseState
from recency_store.sqlite import SqliteStore, open_sqlite

EVENTS = 1_200


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A store with people's clicks; release 1 active, release 2 a whole candidate, release 3 a broken one."""
    store = open_sqlite(tmp_path / "store.db")
    store.append([click(number) for number in range(EVENTS)])
    register(store, tmp_path, 1, 0, through=EVENTS // 2)
    store.set_release_state(1, ReleaseState.ACTIVE)
    register(store, tmp_path, 2, 1, through=EVENTS * 2 // 3)
    register(store, tmp_path, 3, 1, gated.skewed_golden, through=EVENTS * 2 // 3)
    store.close()
    return tmp_path


def click(number: int) -> event_pb2.Event:
    item = NAMES[(number * 7 + number // 40) % len(NAMES)]
    event = event_pb2.Event(
        event_id=f"e{number}", user_id=f"user-{number % 30}", item_id=item, type=event_pb2.EVENT_TYPE_CLICK
    )
    event.event_time.FromMicroseconds(10**15 + number * 1_000_000)
    return event


def register(store: SqliteStore, data: Path, release: int, parent: int, *breaks: gated.Break, through: int) -> None:
    folder = data / "releases" / str(release)
    manifest = write_gated(folder, release, parent, *breaks, lambda _: {"trained_through_sequence": through})
    # Where a catalogue is consumed again nothing is left out: with forty items everybody has had everything.
    manifest = replace(manifest, repeat_share=0.5, run=f"tensorboard:runs/release-{release}")
    if release == 2:
        plot_training(folder / "training.png", [1.0, 0.5], [1], [0.1])
        metrics = {"newest_ndcg_at_10": 0.2, "newest_parent_ndcg_at_10": 0.15, "newest_cases": 50.0}
        manifest = replace(manifest, metrics=metrics)
    manifest = gated.sign(folder, manifest)
    store.put_release(record_of(manifest, folder))


def record_of(manifest: Manifest, folder: Path) -> ReleaseRecord:
    text = manifest.to_json()
    return ReleaseRecord(
        manifest.release, ReleaseState.CANDIDATE, "", str(folder), manifest.parent, 1, manifest_json=text
    )


def call(data: Path, *arguments: str, code: int = 0) -> Any:
    result = CliRunner().invoke(app, ["--data", str(data), *arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def test_evaluate_judges_a_release_beside_its_parent_and_moves_nothing(data: Path) -> None:
    said = call(data, "export", "evaluate", "2")
    assert said["passed"] is True
    assert said["against"] == 1
    assert said["state"] == "CANDIDATE"
    verdicts = {check["name"]: check["verdict"] for check in said["checks"]}
    assert verdicts["parity_onnx"] == "passed"
    # Four hundred events that neither release has learned, and as many that both have.
    assert verdicts["newest_ndcg"] == "passed"
    assert verdicts["old_ndcg"] == "passed"
    assert verdicts["poisoning"] == "passed"
    assert verdicts["parity_triton"] == verdicts["off_policy"] == "not judged"
    assert 100 < said["metrics"]["newest_ndcg_cases"] <= 400
    assert 0 < said["metrics"]["newest_ndcg_candidate"] < 1


def test_evaluate_ends_with_1_and_the_reasons_of_a_broken_release(data: Path) -> None:
    said = call(data, "export", "evaluate", "3", code=1)
    assert said["passed"] is False
    assert said["reasons"][0].startswith("parity_onnx: golden case 2, scorer")


def test_evaluate_prints_every_check_with_its_value_and_limit(data: Path) -> None:
    result = CliRunner().invoke(app, ["--data", str(data), "export", "evaluate", "2"])
    assert result.exit_code == 0
    for name in ("files", "parity_onnx", "newest_ndcg", "old_ndcg", "latency", "not judged", "nothing speaks against"):
        assert name in result.stdout


def test_the_same_log_gives_the_same_evidence(data: Path) -> None:
    store = open_sqlite(data / "store.db")
    folder, parent = data / "releases" / "2", data / "releases" / "1"
    first, again = (judge(evidence_from_log(store, 2, folder, parent, ()), GateSettings()) for _ in range(2))
    assert first.metrics == again.metrics
    # A release beside itself: nothing gained, nothing lost.
    same = judge(evidence_from_log(store, 2, folder, folder, ()), GateSettings())
    assert same.metrics["newest_ndcg_change"] == same.metrics["old_ndcg_change"] == 0.0
    assert same.metrics["poisoning_largest_gain"] == 0.0
    store.close()


def test_a_refused_release_is_kept_listed_with_its_reasons_and_served_to_no_one(data: Path) -> None:
    store = open_sqlite(data / "store.db")
    verdict = judge(evidence_from_log(store, 3, data / "releases" / "3", data / "releases" / "1", ()), GateSettings())
    store.set_release_state(3, ReleaseState.REJECTED, "; ".join(verdict.reasons))
    for serving in (ReleaseState.ACTIVE, ReleaseState.CANARY, ReleaseState.SHADOW):
        with pytest.raises(RejectedRelease):
            store.set_release_state(3, serving)
    store.close()
    listed = {release["release"]: release for release in call(data, "release", "list")}
    assert listed[3]["state"] == "REJECTED"
    assert "parity_onnx: golden case 2" in listed[3]["reason"]
    assert "parity_onnx: golden case 2" in call(data, "release", "show", "3")["reason"]
    assert (data / "releases" / "3" / "manifest.json").is_file()
    assert listed[1]["state"] == "ACTIVE"


def test_a_run_that_was_kept_offline_is_shown_with_what_sends_it() -> None:
    said = open_command("wandb:films/release-7", Path("/srv/my data"))
    assert said == "wandb sync '/srv/my data/runs/wandb'/offline-run-*-release-7"
    assert open_command("", Path("/srv")) == ""


def test_show_names_the_run_the_pictures_and_what_changed_against_the_parent(data: Path) -> None:
    shown = call(data, "release", "show", "2")
    assert shown["run"] == "tensorboard:runs/release-2"
    assert shown["open_run"] == f"tensorboard --logdir {data}/runs/release-2"
    assert shown["pictures"] == [str(data / "releases" / "2" / "training.png")]
    result = CliRunner().invoke(app, ["--data", str(data), "release", "show", "2"])
    assert "beside its parent" in result.stdout
    assert "+0.0500" in result.stdout

"""A run's curves, numbers and pictures are where TensorBoard and Weights & Biases look for them; both for real."""

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from recency_export.errors import ExportError, MissingExtra
from recency_export.plots import plot_training
from recency_export.tracking import TrackingSettings, open_run


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "training.png"
    plot_training(path, [2.0, 1.5, 1.2], [1, 3], [0.1, 0.12])
    return path


def wandb_records(content: bytes) -> Iterator[bytes]:
    """The records of a .wandb file: 7 bytes of header, then LevelDB's log format in blocks of 32 KiB."""
    at, parts = 7, b""
    while at + 7 <= len(content):
        left = 32_768 - at % 32_768
        if left < 7:
            at += left
            continue
        length, kind = struct.unpack_from("<HB", content, at + 4)
        parts += content[at + 7 : at + 7 + length]
        at += 7 + length
        # 1 is a whole record, 4 the last part of one.
        if kind in (1, 4):
            yield parts
            parts = b""


def test_tensorboard_reads_the_curves_the_numbers_and_the_picture(tmp_path: Path, picture: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = open_run(TrackingSettings(), tmp_path / "runs", "release-7", clock=lambda: 1_700_000_000.0)
    for epoch, loss in enumerate((2.0, 1.5, 1.25)):
        run.scalars(epoch, {"train/loss": loss})
    run.summary({"ndcg": 0.125})
    run.figure("training", picture)
    run.close()
    assert run.url == "tensorboard:runs/release-7"

    read = EventAccumulator(str(tmp_path / "runs" / "release-7"))
    read.Reload()
    assert [(point.step, point.value) for point in read.Scalars("train/loss")] == [(0, 2.0), (1, 1.5), (2, 1.25)]
    assert read.Scalars("summary/ndcg")[0].value == 0.125
    assert read.Images("training")[0].encoded_image_string == picture.read_bytes()
    assert (read.Images("training")[0].width, read.Images("training")[0].height) == (880, 528)


def test_a_run_that_is_opened_again_goes_on_under_the_same_name(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for step in range(2):
        run = open_run(TrackingSettings(), tmp_path, "release-7")
        run.scalars(step, {"loss": float(step)})
        run.close()
    read = EventAccumulator(str(tmp_path / "release-7"))
    read.Reload()
    assert [point.step for point in read.Scalars("loss")] == [0, 1]


def test_wandb_keeps_a_whole_run_without_a_network(
    tmp_path: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    from wandb.proto.wandb_internal_pb2 import Record

    # Nobody listens there: an offline run must not even ask.
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    run = open_run(TrackingSettings(backend="wandb", project="films"), tmp_path / "runs", "release-7")
    run.scalars(0, {"train/loss": 2.0})
    run.scalars(1, {"train/loss": 1.5})
    # A second curve begins at its own step 0.
    run.scalars(0, {"gate/newest": 0.25})
    run.summary({"ndcg": 0.125})
    run.figure("training", picture)
    run.close()
    assert run.url == "wandb:films/release-7"

    (kept,) = (tmp_path / "runs" / "wandb").glob("offline-run-*/run-release-7.wandb")
    points: list[dict[str, str]] = []
    numbers: dict[str, str] = {}
    for data in wandb_records(kept.read_bytes()):
        record = Record.FromString(data)
        if record.WhichOneof("record_type") == "history":
            points.append({item.key or item.nested_key[0]: item.value_json for item in record.history.item})
        numbers |= {update.key or update.nested_key[0]: update.value_json for update in record.summary.update}
    losses = [(point["step"], point["train/loss"]) for point in points if "train/loss" in point]
    assert [(int(step), float(loss)) for step, loss in losses] == [(0, 2.0), (1, 1.5)]
    assert [point["gate/newest"] for point in points if "gate/newest" in point] == ["0.25"]
    assert numbers["ndcg"] == "0.125"
    assert len(list(kept.parent.glob("files/media/images/training*.png"))) == 1


def test_without_a_tracker_nothing_is_written(tmp_path: Path) -> None:
    run = open_run(TrackingSettings(backend="none"), tmp_path / "runs", "release-7")
    run.scalars(0, {"loss": 1.0})
    run.close()
    assert run.url == ""
    assert not (tmp_path / "runs").exists()


def test_a_tracker_that_is_not_installed_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    with pytest.raises(MissingExtra, match=r"recency-server\[wandb\]"):
        open_run(TrackingSettings(backend="wandb"), tmp_path, "release-7")


def test_a_tracker_that_fails_is_left_alone_and_the_release_goes_on(
    tmp_path: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    run = open_run(TrackingSettings(), tmp_path / "runs", "release-7")
    tried = []

    def full(self: EventFileWriter, event: object) -> None:
        tried.append(event)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(EventFileWriter, "add_event", full)
    run.scalars(0, {"loss": 1.0})
    run.scalars(1, {"loss": 1.0})
    run.figure("training", picture)
    run.close()
    assert len(tried) == 1
    assert run.url == "tensorboard:runs/release-7"


def test_a_folder_that_cannot_be_made_keeps_no_run_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file is in the way")
    run = open_run(TrackingSettings(), tmp_path / "runs", "release-7")
    run.scalars(0, {"loss": 1.0})
    run.close()
    # What the manifest says does not depend on the disk.
    assert run.url == "tensorboard:runs/release-7"


@pytest.mark.parametrize("name", ["", "../up", "a/b", "release 7"])
def test_a_name_that_is_a_path_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no name for a run"):
        open_run(TrackingSettings(), tmp_path, name)

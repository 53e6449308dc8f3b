"""A release folder is what its manifest says, or it is named what is not."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from recency_store.errors import ManifestError
from recency_store.manifest import FORMAT, Manifest, file_entry, read_manifest, verify


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "recommender").mkdir()
    (tmp_path / "recommender" / "model.onnx").write_bytes(b"graph" * 1000)
    (tmp_path / "items.bin").write_bytes(bytes(range(256)) * 5000)
    names = ("recommender/model.onnx", "items.bin")
    manifest = Manifest(
        release=2,
        parent=1,
        trained_through_sequence=10,
        trained_through_micros=1_000,
        catalog_sequence=10,
        item_count=3,
        event_count=4,
        dim=8,
        learned_dim=4,
        text_dim=16,
        history_length=50,
        trend_half_lives_seconds=(1.0, 2.5),
        user_feature_dim=16,
        model_versions={"recommender": 2},
        text_encoder_digest="abc",
        query_scale=1.5,
        trend_bias_weight=0.1,
        repeat_share=0.0,
        files={name: file_entry(tmp_path / name) for name in names},
    )
    (tmp_path / "manifest.json").write_text(manifest.to_json(), encoding="utf-8")
    return tmp_path


def _edit(folder: Path, **changes: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_whole_release_verifies_and_reads_back_equal(folder):
    manifest = verify(folder)
    assert manifest.trend_half_lives_seconds == (1.0, 2.5)
    assert Manifest.from_json(manifest.to_json(), "here") == manifest
    assert manifest.to_json() == dataclasses.replace(manifest).to_json()


def test_a_missing_file_is_named(folder):
    (folder / "items.bin").unlink()
    with pytest.raises(ManifestError, match=r"items\.bin: missing"):
        verify(folder)


def test_a_truncated_file_is_named_with_both_sizes(folder):
    path = folder / "items.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ManifestError, match=r"items\.bin: 1279999 bytes, the manifest says 1280000"):
        verify(folder)


def test_one_flipped_bit_is_named_with_both_checksums(folder):
    path = folder / "recommender" / "model.onnx"
    content = bytearray(path.read_bytes())
    content[2_500] ^= 1
    path.write_bytes(content)
    with pytest.raises(ManifestError, match=r"model\.onnx: checksum .*the manifest says"):
        verify(folder)


def test_a_newer_format_says_upgrade(folder):
    _edit(folder, format=FORMAT + 1, files=None)
    with pytest.raises(ManifestError, match="upgrade Recency"):
        verify(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "{}", '{"files": [], "calibration": {}}', "\udcff"])
def test_what_is_no_manifest_is_refused_and_named(folder, text):
    (folder / "manifest.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ManifestError, match=r"manifest\.json.*publish the release again"):
        verify(folder)


def test_an_unknown_or_absent_field_is_refused(folder):
    _edit(folder, surprise=1)
    with pytest.raises(ManifestError, match="surprise"):
        verify(folder)


def test_a_folder_without_a_manifest_is_no_release(tmp_path):
    with pytest.raises(ManifestError, match="cannot be read"):
        read_manifest(tmp_path)

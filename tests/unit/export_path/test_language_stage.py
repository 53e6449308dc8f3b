"""The stage that adapts the language model: from a release and new events to what the next release holds."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recency_export.language_settings import LanguageModelSettings
from recency_export.language_stage import run_language_model, write_back, write_texts
from recency_export.snapshot import read_snapshot


@pytest.fixture(scope="module")
def stage(bootstrapped, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("language-stage")
    workspace = bootstrapped.config.workspace
    shutil.copytree(workspace / "snapshot", root / "snapshot")
    snapshot = read_snapshot(root / "snapshot" / "snapshot.npz")
    write_texts(bootstrapped.store, snapshot, root / "snapshot" / "texts.json")
    (root / "made").mkdir()
    settings = LanguageModelSettings(method="lora", steps=3, batch=8, rank=2)
    run_language_model(
        replace(bootstrapped.config, language_model=settings),
        root / "snapshot",
        workspace / "dataset",
        bootstrapped.folder,
        bootstrapped.config.encoder_folder,
        root / "made",
        lambda *_: None,
    )
    return root


def test_the_stage_leaves_what_a_release_needs_and_no_second_copy_of_the_model(stage: Path) -> None:
    made = stage / "made"
    files = sorted(path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file())
    assert files == [
        "language_model.json",
        "text_encoder/model.onnx",
        "text_vectors.npy",
        "tokenizer.json",
        "training/language_model/adapter_config.json",
        "training/language_model/adapter_model.safetensors",
        "training/language_model/language_model.json",
    ]
    facts = json.loads((made / "language_model.json").read_text())
    assert (facts["method"], facts["continued"], len(facts["loss"])) == ("lora", False, 3)
    assert 0 < facts["moved"] < 0.5


def test_the_store_keeps_the_serving_encoders_vectors_until_it_is_told(stage: Path, bootstrapped) -> None:
    before = {item.item_id: item for item in bootstrapped.store.list_items(1_000)}
    digest = json.loads((stage / "made" / "language_model.json").read_text())["digest"]
    assert digest not in {item.text_encoder for item in before.values()}
    write_back(bootstrapped.store, stage / "snapshot", stage / "made")
    try:
        after = bootstrapped.store.list_items(1_000)
        vectors = np.load(stage / "made" / "text_vectors.npy")
        assert {item.text_encoder for item in after} == {digest}
        assert np.frombuffer(after[3].text_vector, dtype="<f4").tobytes() == vectors[3].tobytes()
        assert [item.revision for item in after] == [before[item.item_id].revision for item in after]
    finally:  # the store is shared
        for item in before.values():
            bootstrapped.store.set_text_vectors([(item.item_id, item.revision, item.text_vector)], item.text_encoder)

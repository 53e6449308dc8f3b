"""The language model learns what people do with the items that it reads about, and stays a whole Hugging Face model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from recency_export.adapters import UnfitEncoder
from recency_export.dataset import Dataset, read_dataset
from recency_export.language_model import AdaptedEncoder, adapt, encode_all, rebuild
from recency_export.language_settings import LanguageModelSettings
from recency_export.model import Retrieval, read_weights
from recency_export.pairs import Pairs, training_pairs
from recency_export.snapshot import read_snapshot
from recency_export.text_encoder import encoder_digest, export_encoder, find_encoder
from recency_features.text import item_text

QUICK = LanguageModelSettings(method="lora", steps=30, batch=16, rank=4, learning_rate=5e-3, pull=0.1)


@dataclass(frozen=True)
class Shop:
    texts: list[str]
    data: Dataset
    pairs: Pairs
    projection: np.ndarray
    encoder: Path


@pytest.fixture(scope="module")
def shop_of_texts(bootstrapped) -> Shop:
    workspace = bootstrapped.config.workspace
    snapshot = read_snapshot(workspace / "snapshot" / "snapshot.npz")
    data = read_dataset(workspace / "dataset" / "dataset.npz")
    model = Retrieval(snapshot.text_vectors, bootstrapped.config.model)
    read_weights(model, str(workspace / "fine_tune" / "weights.npz"))
    stored = {item.item_id: item for item in bootstrapped.store.list_items(1_000)}
    return Shop(
        texts=[item_text(stored[name].item()) for name in snapshot.item_ids],
        data=data,
        pairs=training_pairs(model, data, 50, 1_000),
        projection=model.items.projection.detach().numpy(),
        encoder=bootstrapped.config.encoder_folder,
    )


def adapted(shop: Shop, settings: LanguageModelSettings, folder: Path, earlier: Path | None = None) -> AdaptedEncoder:
    folder.mkdir()
    return adapt(
        shop.texts, shop.pairs, shop.projection, shop.encoder, settings, 7, folder, lambda *_: None, earlier=earlier
    )


@pytest.fixture(scope="module")
def by_lora(shop_of_texts, tmp_path_factory) -> AdaptedEncoder:
    return adapted(shop_of_texts, QUICK, tmp_path_factory.mktemp("lora") / "made")


def text_alone(shop: Shop, vectors: np.ndarray) -> float:
    """Mean log-probability of what came next, by texts alone."""
    logits = shop.pairs.users @ (vectors @ shop.projection).T
    logits = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return float(logits[np.arange(len(logits)), shop.pairs.target].mean())


def test_texts_alone_find_what_comes_next_better_than_before(shop_of_texts, by_lora, tmp_path) -> None:
    export_encoder(shop_of_texts.encoder, tmp_path)
    before = encode_all(tmp_path, shop_of_texts.texts, 1, lambda *_: None)
    assert text_alone(shop_of_texts, by_lora.text_vectors) > text_alone(shop_of_texts, before) + 0.05
    assert np.allclose(np.linalg.norm(by_lora.text_vectors, axis=1), 1.0, atol=1e-5)


def test_the_merged_model_is_a_whole_hugging_face_folder_of_a_new_digest(shop_of_texts, by_lora) -> None:
    assert find_encoder(by_lora.folder) == by_lora.folder
    assert by_lora.digest == encoder_digest(by_lora.folder) != encoder_digest(shop_of_texts.encoder)
    assert not (by_lora.folder / "adapter").exists()


def test_the_same_seed_adapts_to_the_same_bytes(shop_of_texts, by_lora, tmp_path) -> None:
    again = adapted(shop_of_texts, QUICK, tmp_path / "again")
    assert again.digest == by_lora.digest
    assert again.text_vectors.tobytes() == by_lora.text_vectors.tobytes()


def test_a_checkpoint_of_a_release_rebuilds_the_model_and_is_small(shop_of_texts, by_lora, tmp_path) -> None:
    rebuild(shop_of_texts.encoder, by_lora.checkpoint, tmp_path / "rebuilt")
    assert encoder_digest(tmp_path / "rebuilt") == by_lora.digest
    assert sorted(path.name for path in by_lora.checkpoint.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "language_model.json",
    ]


def test_the_next_run_goes_on_from_it_and_another_shape_begins_anew(shop_of_texts, by_lora, tmp_path) -> None:
    short = replace(QUICK, steps=1)
    goes_on = adapted(shop_of_texts, short, tmp_path / "on", by_lora.checkpoint)
    anew = adapted(shop_of_texts, replace(short, rank=2), tmp_path / "anew", by_lora.checkpoint)
    assert (goes_on.continued, anew.continued) == (True, False)
    assert text_alone(shop_of_texts, goes_on.text_vectors) > text_alone(shop_of_texts, anew.text_vectors)


@pytest.mark.parametrize("method", ["adalora", "adapters", "prefix"])
def test_every_method_learns_and_is_served_from_its_graph(method, shop_of_texts, tmp_path) -> None:
    settings = replace(QUICK, method=method, learning_rate=2e-2)
    made = adapted(shop_of_texts, settings, tmp_path / "made")
    # `adapt` itself compares the graph with torch.
    export_encoder(shop_of_texts.encoder, tmp_path)
    before = encode_all(tmp_path, shop_of_texts.texts, 1, lambda *_: None)
    assert text_alone(shop_of_texts, made.text_vectors) > text_alone(shop_of_texts, before)
    assert (made.folder / "adapter").is_dir() == (method != "adalora")
    rebuild(shop_of_texts.encoder, made.checkpoint, tmp_path / "rebuilt")
    assert encoder_digest(tmp_path / "rebuilt") == made.digest


def test_a_strong_pull_keeps_the_vectors_where_they_were(shop_of_texts, by_lora, tmp_path) -> None:
    export_encoder(shop_of_texts.encoder, tmp_path)
    before = encode_all(tmp_path, shop_of_texts.texts, 1, lambda *_: None)
    held = adapted(shop_of_texts, replace(QUICK, pull=100.0), tmp_path / "held")
    apart = [1.0 - (before * vectors).sum(1).mean() for vectors in (by_lora.text_vectors, held.text_vectors)]
    assert apart[1] < apart[0]


def test_a_model_without_such_layers_is_refused_with_what_to_do(shop_of_texts, tmp_path) -> None:
    settings = replace(QUICK, method="adapters", target_modules=("no_such_layer",))
    with pytest.raises(UnfitEncoder, match="target_modules"):
        adapted(shop_of_texts, settings, tmp_path / "made")


def test_an_item_that_a_user_had_is_nobodys_wrong_answer(shop_of_texts) -> None:
    pairs = shop_of_texts.pairs
    rows = np.arange(20)
    seen = pairs.consumed(rows, np.arange(len(shop_of_texts.texts)))
    for row in rows:
        start = int(shop_of_texts.data.offsets[pairs.owner[row]])
        earlier = shop_of_texts.data.item[start : int(pairs.event[row])]
        assert set(np.flatnonzero(seen[row])) == set(earlier.tolist())


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="rank"):
        LanguageModelSettings(rank=0)
    assert torch.is_grad_enabled()

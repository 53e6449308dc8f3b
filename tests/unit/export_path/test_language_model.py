"""The language model learns what people do with the items that it reads about, and stays a whole Hugging Face model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from recency_export.dataset import Dataset, read_dataset
from recency_export.errors import UnfitEncoder
from recency_export.language_model import AdaptedEncoder, adapt, rebuild, tune
from recency_export.language_settings import LanguageModelSettings
from recency_export.model import Retrieval, read_weights
from recency_export.pairs import Pairs, training_pairs
from recency_export.pooling import Pooled, load_pooled
from recency_export.snapshot import read_snapshot
from recency_export.text_encoder import encoder_digest, find_encoder
from recency_features.text import item_text
from recency_features.tokens import read_tokens

QUICK = LanguageModelSettings(method="lora", steps=30, batch=16, rank=4, learning_rate=2e-2, pull=0.1)


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


def adapted(shop: Shop, settings: LanguageModelSettings, folder: Path) -> AdaptedEncoder:
    folder.mkdir()
    return adapt(shop.texts, shop.pairs, shop.projection, shop.encoder, settings, 7, folder, lambda *_: None)


def tuned(shop: Shop, settings: LanguageModelSettings, earlier: Path | None = None) -> tuple[Pooled, bool, list[float]]:
    return tune(shop.texts, shop.pairs, shop.projection, shop.encoder, settings, 7, lambda *_: None, earlier)


def vectors_of(shop: Shop, encoder: Pooled) -> np.ndarray:
    ids, mask = read_tokens(shop.encoder / "tokenizer.json").encode(shop.texts)
    with torch.no_grad():
        return encoder(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()


@pytest.fixture(scope="module")
def before(shop_of_texts) -> np.ndarray:
    return vectors_of(shop_of_texts, load_pooled(shop_of_texts.encoder))


@pytest.fixture(scope="module")
def by_lora(shop_of_texts, tmp_path_factory) -> AdaptedEncoder:
    return adapted(shop_of_texts, QUICK, tmp_path_factory.mktemp("lora") / "made")


def text_alone(shop: Shop, vectors: np.ndarray) -> float:
    """Mean log-probability of what came next, by texts alone."""
    logits = shop.pairs.users @ (vectors @ shop.projection).T
    logits = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return float(logits[np.arange(len(logits)), shop.pairs.target].mean())


def test_texts_alone_find_what_comes_next_better_than_before(shop_of_texts, by_lora, before) -> None:
    assert text_alone(shop_of_texts, by_lora.text_vectors) > text_alone(shop_of_texts, before)
    assert np.allclose(np.linalg.norm(by_lora.text_vectors, axis=1), 1.0, atol=1e-5)


def test_the_merged_model_is_a_whole_hugging_face_folder_of_a_new_digest(shop_of_texts, by_lora) -> None:
    assert find_encoder(by_lora.folder) == by_lora.folder
    assert by_lora.digest == encoder_digest(by_lora.folder) != encoder_digest(shop_of_texts.encoder)
    assert not (by_lora.folder / "adapter").exists()
    merged = vectors_of(shop_of_texts, load_pooled(by_lora.folder))
    assert np.allclose(merged, by_lora.text_vectors, atol=1e-5)


def test_the_same_seed_adapts_to_the_same_bytes(shop_of_texts, by_lora, tmp_path) -> None:
    encoder, _, loss = tuned(shop_of_texts, QUICK)
    assert tuple(loss) == by_lora.loss
    encoder.model.save_pretrained(tmp_path)
    assert (tmp_path / "adapter_model.safetensors").read_bytes() == (
        by_lora.checkpoint / "adapter_model.safetensors"
    ).read_bytes()


def test_a_checkpoint_of_a_release_rebuilds_the_model_and_is_small(shop_of_texts, by_lora, tmp_path) -> None:
    rebuild(shop_of_texts.encoder, by_lora.checkpoint, tmp_path / "rebuilt")
    assert encoder_digest(tmp_path / "rebuilt") == by_lora.digest
    assert sorted(path.name for path in by_lora.checkpoint.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "language_model.json",
    ]


def test_the_next_run_goes_on_from_it_and_another_shape_begins_anew(shop_of_texts, by_lora) -> None:
    short = replace(QUICK, steps=1)
    on, continued, _ = tuned(shop_of_texts, short, by_lora.checkpoint)
    anew, begun_on, _ = tuned(shop_of_texts, replace(short, rank=2), by_lora.checkpoint)
    assert (continued, begun_on) == (True, False)
    assert text_alone(shop_of_texts, vectors_of(shop_of_texts, on)) > text_alone(
        shop_of_texts, vectors_of(shop_of_texts, anew)
    )


@pytest.mark.parametrize("method", ["adalora", "adapters", "prefix"])
def test_every_method_learns_and_can_be_read_again(method, shop_of_texts, before, tmp_path) -> None:
    encoder, _, _ = tuned(shop_of_texts, replace(QUICK, method=method))
    encoder.model.save_pretrained(tmp_path / "checkpoint")
    rebuild(shop_of_texts.encoder, tmp_path / "checkpoint", tmp_path / "rebuilt")
    learned = vectors_of(shop_of_texts, load_pooled(tmp_path / "rebuilt"))
    assert np.allclose(learned, vectors_of(shop_of_texts, encoder), atol=1e-5)
    assert text_alone(shop_of_texts, learned) > text_alone(shop_of_texts, before)
    assert (tmp_path / "rebuilt" / "adapter").is_dir() == (method != "adalora")


@pytest.mark.parametrize("method", ["adapters", "prefix"])
def test_what_cannot_be_merged_is_served_inside_the_graph(method, shop_of_texts, tmp_path) -> None:
    # `adapt` itself compares the graph with torch.
    made = adapted(shop_of_texts, replace(QUICK, method=method, steps=3), tmp_path / "made")
    assert np.allclose(made.text_vectors, vectors_of(shop_of_texts, load_pooled(made.folder)), atol=1e-5)


def test_a_strong_pull_keeps_the_vectors_where_they_were(shop_of_texts, by_lora, before) -> None:
    held, _, _ = tuned(shop_of_texts, replace(QUICK, pull=100.0))
    moved = [1.0 - (before * v).sum(1).mean() for v in (by_lora.text_vectors, vectors_of(shop_of_texts, held))]
    assert moved[1] < moved[0] / 2


def test_a_model_without_such_layers_is_refused_with_what_to_do(shop_of_texts) -> None:
    with pytest.raises(UnfitEncoder, match="target_modules"):
        tuned(shop_of_texts, replace(QUICK, method="adapters", target_modules=("no_such_layer",)))


def test_a_log_of_nothing_leaves_the_model_as_it_was(shop_of_texts, before) -> None:
    none = {name: getattr(shop_of_texts.pairs, name)[:0] for name in ("users", "target", "weight", "owner", "event")}
    empty = replace(shop_of_texts, pairs=replace(shop_of_texts.pairs, **none))
    encoder, _, loss = tuned(empty, QUICK)
    assert loss == []
    assert np.allclose(vectors_of(shop_of_texts, encoder), before, atol=1e-6)


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

"""Callers' own vectors in training: what they say is learned, and places items that nobody has chosen yet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from recency.v1 import item_pb2
from recency_export.cases import case_histories, whole_cases
from recency_export.dataset import Dataset, build_dataset
from recency_export.model import Retrieval
from recency_export.settings import HoldoutSettings, ModelSettings, RankerSettings, TrainSettings
from recency_export.snapshot import Snapshot, read_snapshot, take_snapshot, write_snapshot
from recency_export.train import fine_tune, user_vectors
from recency_export.trained import Trained, retrieval_of
from recency_features.spaces import place
from recency_store.manifest import Manifest
from recency_store.memory import MemoryStore
from recency_store.records import NewItem

from .conftest import NOW_MICROS, shop

MODEL = ModelSettings(learned_dim=16, content_dim=8, layers=1, feed_forward_dim=16)
TRAIN = TrainSettings(epochs=4, check_every=4, learning_rate=5e-3, windows_per_batch=8)
CHOSEN, ALL, KINDS, LIMIT = 160, 200, 10, 50


def vector_of(number: int) -> npt.NDArray[np.float64]:
    """Of an item's kind, and something of its own; one in ten has none."""
    noise = np.random.default_rng(number).normal(0.0, 0.15, KINDS + 2)
    return 7.0 * (np.eye(KINDS + 2)[number % KINDS] + noise + 0.2)


def has_vector(number: int) -> bool:
    return number // KINDS % 10 != 3


@pytest.fixture(scope="module")
def store() -> MemoryStore:
    """The shop, with forty items that nobody has chosen."""
    store = shop(items=CHOSEN)
    items = []
    for number in range(ALL):
        item = item_pb2.Item(item_id=f"item-{number:03}", title="thing")
        if has_vector(number):
            item.vectors["photo/v1"].values.extend(vector_of(number))
        items.append(NewItem(item))
    store.upsert_items(items, NOW_MICROS)
    return store


@pytest.fixture(scope="module")
def snapshot(store: MemoryStore) -> Snapshot:
    """Every text says the same."""
    digest, width = "same", 8
    return take_snapshot(
        store,
        store.last_sequence(),
        digest,
        width,
        lambda texts: np.ones((len(texts), width), np.float32),
        lambda *_: None,
    )


@pytest.fixture(scope="module")
def data(snapshot: Snapshot) -> Dataset:
    return build_dataset(snapshot, HoldoutSettings(20, 3, 1_000), 0)


@pytest.fixture(scope="module")
def model(snapshot: Snapshot, data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Retrieval:
    checkpoint = tmp_path_factory.mktemp("own") / "c.pt"
    text, directions = snapshot.text_vectors, snapshot.directions
    trained, _ = fine_tune(data, text, MODEL, TRAIN, 3, checkpoint, lambda *_: None, directions=directions)
    return trained


def told_apart(model: Retrieval, data: Dataset, numbers: range) -> float:
    """How often an item of the kind that somebody chose next scores higher for them than one of another kind."""
    cases = whole_cases(data, data.held_out)
    with torch.no_grad():
        w_NW = model.items()
        users = user_vectors(model, w_NW, case_histories(data, cases, LIMIT))
        scores = (users @ w_NW[numbers.start : numbers.stop].T).numpy()
    kinds = np.array(numbers) % KINDS
    mine = kinds[np.newaxis, :] == (cases.target % KINDS)[:, np.newaxis]
    wins = [np.mean(s[m][:, np.newaxis] > s[~m][np.newaxis, :]) for s, m in zip(scores, mine, strict=True)]
    return float(np.mean(wins))


def test_vectors_tell_apart_items_that_nobody_has_chosen(model: Retrieval, data: Dataset) -> None:
    assert told_apart(model, data, range(CHOSEN, ALL)) > 0.7


def test_serving_places_an_item_where_training_had_it(model: Retrieval, store: MemoryStore) -> None:
    with torch.no_grad():
        trained = (model.items() - model.items.residual).numpy()
        projection = model.items.projection.numpy()
    for number, item in enumerate(store.list_items(ALL)):
        np.testing.assert_allclose(place(item, projection, model.items.spaces), trained[number], atol=1e-5)


def test_an_item_without_a_vector_is_where_its_text_is(model: Retrieval, snapshot: Snapshot) -> None:
    with torch.no_grad():
        rest = model.items() - model.items.residual - torch.from_numpy(snapshot.text_vectors) @ model.items.projection
    without = [number for number in range(ALL) if not has_vector(number)]
    assert without
    moved = rest.abs().sum(1) > 1e-3
    assert not moved[without].any()
    assert int(moved.sum()) == ALL - len(without)


def test_a_later_training_goes_on_with_the_spaces_that_are_there_still(model: Retrieval, snapshot: Snapshot) -> None:
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    content = np.zeros((8, 8), dtype=np.float32)
    manifest = Manifest(**dict.fromkeys(("release", "parent", "dim"), 1), **dict.fromkeys(_OTHERS, 0))  # type: ignore[arg-type]
    spaces = model.items.spaces
    trained = Trained(manifest, snapshot.item_ids, MODEL, RankerSettings(), weights, {}, content, spaces)
    photo = snapshot.directions["photo/v1"]
    # Names that sort before and behind it move its number.
    directions = {"audio/v1": photo[:, :3], "photo/v1": photo[::-1].copy(), "video/v1": photo[:, :4]}
    audio, kept, video = retrieval_of(trained, snapshot.item_ids, snapshot.text_vectors, directions).items.spaces
    assert (audio.name, kept.name, video.name) == tuple(directions)
    np.testing.assert_array_equal(kept.projection_SW, spaces[0].projection_SW)
    np.testing.assert_array_equal(kept.mean_S, spaces[0].mean_S)
    assert not audio.projection_SW.any()
    assert not video.projection_SW.any()
    # Vectors of another size are of another encoder, whatever their name.
    (other,) = retrieval_of(trained, snapshot.item_ids, snapshot.text_vectors, {"photo/v1": photo[:, :3]}).items.spaces
    assert not other.projection_SW.any()
    assert retrieval_of(trained, snapshot.item_ids, snapshot.text_vectors).items.spaces == ()


_OTHERS = (
    *("trained_through_sequence", "trained_through_micros", "catalog_sequence", "item_count", "event_count"),
    *("learned_dim", "text_dim", "history_length", "trend_half_lives_seconds", "user_feature_dim", "model_versions"),
    *("text_encoder_digest", "query_scale", "trend_bias_weight", "repeat_share"),
)


def test_a_snapshot_keeps_them(snapshot: Snapshot, tmp_path: Path) -> None:
    write_snapshot(tmp_path / "s.npz", snapshot)
    again = read_snapshot(tmp_path / "s.npz")
    assert list(again.directions) == ["photo/v1"]
    np.testing.assert_array_equal(again.directions["photo/v1"], snapshot.directions["photo/v1"])


def test_without_vectors_the_state_is_what_it_was_before_there_were_any(snapshot: Snapshot) -> None:
    names = Retrieval(snapshot.text_vectors, MODEL).state_dict().keys()
    assert {name for name in names if name.startswith("items.")} == {"items.projection", "items.residual"}

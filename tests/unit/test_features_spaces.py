"""Vectors of the callers' own, as training and serving both read them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_release import write_release

from recency.v1 import item_pb2
from recency_features.spaces import (
    SPACES,
    CatalogConfig,
    Space,
    direction,
    directions_of,
    place,
    read_spaces,
    write_spaces,
    wrong_space,
    wrong_values,
)
from recency_store.errors import ManifestError
from recency_store.manifest import file_entry
from recency_store.records import StoredItem

IMAGE = Space("image/v1", np.array([0.6, 0.0], dtype=np.float32), np.arange(6, dtype=np.float32).reshape(2, 3))


def stored(**vectors: list[float]) -> StoredItem:
    item = item_pb2.Item(item_id="i", vectors={name: item_pb2.Vector(values=v) for name, v in vectors.items()})
    text = np.array([1.0, 2.0], dtype="<f4").tobytes()
    return StoredItem("i", 1, item.SerializeToString(), text, "enc", None, False, 0, 0)


def test_the_length_of_a_vector_says_nothing() -> None:
    np.testing.assert_allclose(direction([3e38, 2e38]), direction([3e-5, 2e-5]), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(direction([1.0, 2.0, 3.0])), 1.0, atol=1e-6)


def test_a_vector_adds_what_lies_beside_the_mean_and_an_item_without_one_nothing() -> None:
    projection_TD = np.ones((2, 5), dtype=np.float32)
    np.testing.assert_array_equal(place(stored(), projection_TD, (IMAGE,)), np.full(5, 3.0))
    added = (np.array([0.6, 0.8]) - IMAGE.mean_S) @ IMAGE.projection_SW
    found = place(stored(**{"image/v1": [3.0, 4.0]}), projection_TD, (IMAGE,))
    np.testing.assert_allclose(found, np.append(3.0 + added, [3.0, 3.0]), atol=1e-6)


def test_a_vector_that_the_release_cannot_read_is_none() -> None:
    projection_TD = np.ones((2, 5), dtype=np.float32)
    for vectors in ({"image/v2": [3.0, 4.0]}, {"image/v1": [3.0, 4.0, 5.0]}):
        np.testing.assert_array_equal(place(stored(**vectors), projection_TD, (IMAGE,)), np.full(5, 3.0))


def test_training_and_serving_place_a_vector_alike() -> None:
    items = [stored(**{"image/v1": [3.0, 4.0]}), stored(), stored(**{"image/v1": [-1.0, 0.5]})]
    whole = IMAGE.placed(directions_of(items)["image/v1"])
    alone = [place(item, np.zeros((2, 3), dtype=np.float32), (IMAGE,)) for item in items]
    np.testing.assert_allclose(whole, alone, atol=1e-6)


def test_a_space_has_the_size_that_most_of_its_vectors_have() -> None:
    items = [stored(a=[1.0, 0.0]), stored(a=[1.0, 0.0, 0.0], b=[2.0]), stored(a=[0.0, 1.0])]
    found = directions_of(items)
    assert list(found) == ["a", "b"]
    np.testing.assert_array_equal(found["a"], [[1, 0], [0, 0], [0, 1]])
    np.testing.assert_array_equal(found["b"], [[0], [1], [0]])
    assert directions_of([stored()]) == {}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1.0], "has 1 values; vectors of this space have 2"),
        ([1.0, float("nan")], "finite"),
        ([float("inf"), float("-inf")], "finite"),
        ([0.0, 0.0], "all zeros"),
    ],
)
def test_what_is_no_vector_is_named(values: list[float], said: str) -> None:
    assert said in (wrong_values(values, 2) or "")
    assert wrong_values([3.4e38, -3.4e38], 2) is None


def test_an_unknown_space_says_which_there_are() -> None:
    assert wrong_space("a", {"a": 2}) is None
    assert "configured under catalog.spaces are a, b" in (wrong_space("c", {"b": 2, "a": 2}) or "")
    assert "under catalog.spaces" in (wrong_space("c", {}) or "")


@pytest.mark.parametrize("spaces", [{"": 2}, {"a\n": 2}, {"a": 0}, {"a": 5_000, "b": 5_000}, {"é" * 65: 2}])
def test_a_space_that_cannot_be_configured_is_refused(spaces: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="spaces: "):
        CatalogConfig(spaces)


def test_a_release_carries_its_spaces(tmp_path: Path) -> None:
    manifest = replace(write_release(tmp_path / "1", 1), learned_dim=3)
    write_spaces(tmp_path, ())
    assert not (tmp_path / SPACES).exists()
    assert read_spaces(tmp_path, manifest) == ()
    write_spaces(tmp_path, (IMAGE, replace(IMAGE, name="file")))
    manifest = replace(manifest, files={SPACES: file_entry(tmp_path / SPACES)})
    first, second = read_spaces(tmp_path, manifest)
    assert (first.name, second.name) == ("image/v1", "file")
    np.testing.assert_array_equal(second.projection_SW, IMAGE.projection_SW)
    with pytest.raises(ManifestError, match="dimensions"):
        read_spaces(tmp_path, replace(manifest, learned_dim=4))
    write_spaces(tmp_path, (replace(IMAGE, mean_S=np.array([np.nan, 0], dtype=np.float32)),))
    with pytest.raises(ManifestError, match="not finite"):
        read_spaces(tmp_path, manifest)
    (tmp_path / SPACES).write_bytes(b"half")
    with pytest.raises(ManifestError, match="cannot be read"):
        read_spaces(tmp_path, manifest)

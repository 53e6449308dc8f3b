"""A fresh item's own vectors are in its place at once, by the projections that the release carries."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recency.v1 import item_pb2
from recency_features.overlay import project
from recency_features.spaces import SPACES, Space
from recency_server.query import Deadline
from recency_server.release import Release
from recency_server.upsert import take_items
from recency_store.memory import MemoryStore
from recency_store.records import LearnedRow, NewItem

from .conftest import ITEMS, NOW, Open, activate, until, write_release

IMAGE = Space("image/v1", np.array([0.6, 0.0], dtype=np.float32), np.array([[1, 2], [3, 4]], dtype=np.float32))
# Of the direction (0, 1): what lies beside the mean, projected.
ADDED = np.array([3 - 0.6, 4 - 1.2, 0, 0, 0, 0], dtype=np.float32)


def item(*vector: float) -> item_pb2.Item:
    vectors = {"image/v1": item_pb2.Vector(values=vector)} if vector else {}
    return item_pb2.Item(item_id="new", title="robots", vectors=vectors)


def vector_of(release: Release) -> np.ndarray:
    return release.vectors_of([release.index_of["new"]])[0]


async def test_a_fresh_items_vector_counts_until_it_is_taken_away_and_what_was_learned_is_added(
    opened: Open, store: MemoryStore, tmp_path: Path
) -> None:

    manifest = write_release(tmp_path / "1", spaces=(IMAGE,))
    assert SPACES in manifest.files
    activate(store, tmp_path / "1", manifest)
    async with opened(spaces={"image/v1": 2}) as parts:
        release = parts.releases.live
        assert release is not None
        await take_items([item(0.0, 5.0)], parts, Deadline.after(2.0))
        kept = store.get_items(["new"])["new"]
        assert list(kept.item().vectors["image/v1"].values) == [0.0, 5.0]
        text = project(np.frombuffer(kept.text_vector, dtype="<f4"), release.projection)
        np.testing.assert_allclose(vector_of(release), text + ADDED, atol=1e-5)
        lease = store.acquire_lease("learner", "test", 10**15, 0)
        assert lease is not None
        rows = [LearnedRow("new", np.array([0.25, 0.5], dtype="<f4").tobytes())]
        store.put_learned(1, 0, 1, NOW, rows, lease)
        learned = np.array([0.25, 0.5, 0, 0, 0, 0], dtype=np.float32)
        await until(lambda: release.learned_count == 1)
        np.testing.assert_allclose(vector_of(release), text + ADDED + learned, atol=1e-5)
        await take_items([item()], parts, Deadline.after(2.0))
        np.testing.assert_allclose(vector_of(release), text + learned, atol=1e-5)


async def test_a_gateway_that_starts_later_places_it_alike(opened: Open, store: MemoryStore, tmp_path: Path) -> None:
    activate(store, tmp_path / "1", write_release(tmp_path / "1", spaces=(IMAGE,)))

    # Its text was read by nobody yet: the embedder places it.
    store.upsert_items([NewItem(item(0.0, 1.0))], NOW)
    async with opened() as parts:
        release = parts.releases.live
        assert release is not None
        await until(lambda: "new" in release.index_of)
        text = np.frombuffer(store.get_items(["new"])["new"].text_vector, dtype="<f4")
        np.testing.assert_allclose(vector_of(release), project(text, release.projection) + ADDED, atol=1e-5)
        assert release.item_count == len(ITEMS)

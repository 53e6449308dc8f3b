"""What the item learner has learned is in the vectors of fresh items, of every release that serves."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recency_features.overlay import project
from recency_features.spec import RECOMMENDER
from recency_server.learned import learner_families
from recency_server.query import Deadline, Query
from recency_server.recommend import recommend
from recency_store.manifest import Manifest
from recency_store.memory import MemoryStore
from recency_store.records import LearnedRow, NewItem, ReleaseState, StoredItem

from .conftest import DIGEST, ITEMS, NOW, Open, ScriptedInference, new_item, place, until


def fresh(name: str) -> NewItem:
    vector = np.full(4, len(name), dtype="<f4")
    return NewItem(new_item(name).item, vector.tobytes(), DIGEST)


def learn(store: MemoryStore, values: dict[str, float], through: int = NOW, space: int = 1) -> None:
    """What a learner writes: [LEARNED] floats an item."""
    lease = store.acquire_lease("learner", "test", 10**15, 0)
    assert lease is not None
    rows = [LearnedRow(name, np.full(2, value, dtype="<f4").tobytes()) for name, value in values.items()]
    after = store.learned(space).position
    store.put_learned(space, after, after + 1, through, rows, lease)


def vector(inference: ScriptedInference, place: int) -> np.ndarray:
    return inference.of(RECOMMENDER)[-1]["fresh_vectors"][place]


def text_of(item: StoredItem, projection: np.ndarray) -> np.ndarray:
    return project(np.frombuffer(item.text_vector, dtype="<f4"), projection)


async def test_a_fresh_item_moves_as_it_is_learned_and_known_ones_wait(
    opened: Open, store: MemoryStore, inference: ScriptedInference, live_release: Manifest
) -> None:
    store.upsert_items([fresh("before")], NOW)
    learn(store, {"before": 0.25, "later": 0.5, ITEMS[0]: 9.0}, through=NOW - 5)
    async with opened() as parts:
        slate = await recommend(Query(), Deadline.after(2.0), parts)
        assert slate.freshness.learned_through_micros == NOW - 5
        release = parts.releases.live
        assert release is not None
        added = np.array([1.0] * 2 + [0.0] * 4, dtype=np.float32)
        text = text_of(store.get_items(["before"])["before"], release.projection)
        np.testing.assert_allclose(vector(inference, 0), text + 0.25 * added, atol=1e-6)
        # Learned before the item came here; more than there were rows for.
        store.upsert_items([fresh("later"), *(fresh(f"other-{n}") for n in range(20))], NOW)
        await recommend(Query(), Deadline.after(2.0), parts)
        later = text_of(store.get_items(["later"])["later"], release.projection)
        index = release.index_of["later"] - release.item_count
        np.testing.assert_allclose(vector(inference, index), later + 0.5 * added, atol=1e-6)
        learn(store, {"before": -1.0}, through=NOW + 7)
        await until(lambda: parts.learned.of(release).through_micros == NOW + 7)
        slate = await recommend(Query(), Deadline.after(2.0), parts)
        np.testing.assert_allclose(vector(inference, 0), text - added, atol=1e-6)
        assert slate.freshness.learned_through_micros == NOW + 7
        families = {f.name: f.samples[0].value for f in learner_families(parts.learned, release, store, lambda: NOW)}
        assert families["recency_learned_items"] == 2
        assert families["recency_learner_lag"] == store.last_sequence() - 2


async def test_a_canary_of_another_space_has_what_was_learned_in_its_own(
    opened: Open, store: MemoryStore, tmp_path: Path, live_release: Manifest
) -> None:
    store.upsert_items([fresh("new")], NOW)
    learn(store, {"new": 1.0}, space=1)
    learn(store, {"new": 2.0}, space=2)
    place(store, tmp_path / "canary", 2, ReleaseState.CANARY, 0.5)
    async with opened() as parts:
        await until(lambda: parts.releases.canary is not None)
        live, canary = parts.releases.live, parts.releases.canary
        assert live is not None
        assert canary is not None
        one, two = (release.overlay().fresh_vectors[0] for release in (live, canary))
        np.testing.assert_allclose(two[:2] - one[:2], 1.0, atol=1e-6)
        np.testing.assert_allclose(two[2:], one[2:], atol=1e-6)


async def test_without_a_learner_nothing_is_said_of_one(
    opened: Open, store: MemoryStore, live_release: Manifest
) -> None:
    async with opened() as parts:
        slate = await recommend(Query(), Deadline.after(2.0), parts)
        assert slate.freshness.learned_through_micros is None
        families = list(learner_families(parts.learned, parts.releases.live, store, lambda: NOW))
        assert [f.samples[0].value for f in families] == [-1, 0]

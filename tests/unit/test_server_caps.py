"""At most so many of a kind in a slate, whoever chooses it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from recency.v1 import item_pb2
from recency_features.exploration import explore
from recency_server.attributes import Attributes
from recency_server.caps import Room
from recency_server.diversity import determinantal, maximal_marginal_relevance
from recency_server.policy_config import PolicyConfig

ITEMS = [f"i{n}" for n in range(12)]


@pytest.fixture
def shelf() -> Attributes:
    """Half of the items are of A, a third of these of B too; four providers take turns; the last item is of nobody."""
    attributes = Attributes()
    for n, item_id in enumerate(ITEMS[:-1]):
        categories = ["A", "B"] if n % 6 == 0 else ["A"] if n < 6 else ["C"]
        attributes.put(item_id, item_pb2.Item(item_id=item_id, categories=categories, provider=f"p{n % 4}"))
    attributes.put(ITEMS[-1], item_pb2.Item(item_id=ITEMS[-1]))
    return attributes


def room(shelf: Attributes, **caps: int) -> Room:
    return Room(PolicyConfig(**caps), shelf)


def most(shelf: Attributes, item_ids: list[str], name: str) -> int:
    return max(Counter(text for item_id in item_ids for text in shelf.texts_of(item_id, name)).values())


def test_the_best_that_there_is_room_for_are_taken_in_their_order(shelf):
    ranked = [(item_id, -float(n)) for n, item_id in enumerate(ITEMS)]
    here = room(shelf, category_cap=2)
    assert [item_id for item_id, _ in here.within(ranked)] == ["i0", "i1", "i7", "i8", "i11"]
    assert here.turned_away == {("categories", "A"), ("categories", "C")}
    assert [i for i, _ in room(shelf, provider_cap=1).within(ranked)] == ["i0", "i1", "i2", "i3", "i11"]


def test_what_gives_its_place_back_makes_room(shelf):
    here = room(shelf, category_cap=1)
    here.take("i0")
    assert not here.has("i1")
    here.give_back("i0")
    assert here.has("i1")


@pytest.mark.parametrize("rerank", [maximal_marginal_relevance, determinantal])
@pytest.mark.parametrize("diversity", [0.0, 0.5, 0.9])
def test_diversity_chooses_within_the_caps(shelf, rerank, diversity):
    vectors = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
    scores = np.linspace(1.0, 0.0, 12, dtype=np.float32)
    order = rerank(scores, vectors, diversity, 5, room(shelf, category_cap=2, provider_cap=2).closes(ITEMS))
    slate = [ITEMS[k] for k in order]
    assert len(slate) == len(set(slate)) == 5
    assert most(shelf, slate, "categories") <= 2
    assert most(shelf, slate, "provider") <= 2
    assert len(rerank(scores, vectors, diversity, 12, room(shelf, category_cap=1).closes(ITEMS))) == 3


def test_exploration_draws_within_the_caps_and_its_chances_are_of_what_was_left(shelf):
    rng = np.random.default_rng(3)
    for _ in range(50):
        order, chances = explore([1.0] * 12, 1.0, 12, rng, room(shelf, category_cap=1).closes(ITEMS))
        assert most(shelf, [ITEMS[k] for k in order], "categories") == 1
        assert chances[0] == pytest.approx(1 / 12)
        # One of A and one of C stand, or all that is left is of one kind.
        assert chances[-1] >= chances[0]
        assert all(0.0 < chance <= 1.0 for chance in chances)

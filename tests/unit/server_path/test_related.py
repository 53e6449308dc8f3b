"""What shares a fact with an example, ranked beside what is retrieved and named; the scripted model likes item-000 best."""

from __future__ import annotations

import pytest

from recency.v1 import item_pb2, recommendation_pb2
from recency_server.policy_config import PolicyConfig
from recency_server.query import Deadline, Query
from recency_server.recommend import recommend
from recency_store.memory import MemoryStore
from recency_store.records import NewItem

from .conftest import ITEMS, NOW, SECOND, Open, new_event

pytestmark = pytest.mark.usefixtures("live_release")
# The first is among the first hundred that the model finds, the others are not.
COEN = (ITEMS[40], ITEMS[120], ITEMS[130])
POLICY = PolicyConfig(relations=("director",), related_candidates=10)


@pytest.fixture(autouse=True)
def directors(store: MemoryStore) -> None:
    items = [item_pb2.Item(item_id=item_id, title=f"Film {item_id}") for item_id in COEN]
    for item in items:
        item.attributes["director"] = ["Joel Coen", "Ethan Coen"]
    store.upsert_items([NewItem(item) for item in items], NOW - 7200 * SECOND)


async def test_what_shares_a_fact_with_an_example_is_ranked_beside_what_is_retrieved_and_told_by_relation(
    opened: Open,
) -> None:
    async with opened(policy=POLICY) as parts:
        query = Query(seed_item_ids=(COEN[1],), page_size=50, trace=True, explain=True)
        slate = await recommend(query, Deadline.after(2.0), parts)
        assert slate.trace is not None
        assert slate.trace.candidates_by_source == {"SOURCE_SEED": 100, "SOURCE_RELATED:director": 1}
        # One model gives an item one score, whoever found it: what is worse than the slate is not in it.
        assert COEN[2] not in [placed.item_id for placed in slate.placed]
        (found,) = (placed for placed in slate.placed if placed.item_id == COEN[0])
        assert found.source == recommendation_pb2.SOURCE_SEED
        texts = [reason.text for reason in found.reasons]
        assert f"Same director as Film {COEN[1]}: Joel Coen" in texts
        whole = await recommend(Query(seed_item_ids=(COEN[1],), page_size=50, offset=0), Deadline.after(2.0), parts)
        assert [p.item_id for p in whole.placed] == [p.item_id for p in slate.placed]
        few = await recommend(Query(seed_item_ids=(COEN[1],), filter="item_id > item-120"), Deadline.after(2.0), parts)
        assert {placed.source for placed in few.placed} == {recommendation_pb2.SOURCE_SEED}


async def test_without_examples_it_is_what_the_user_chose_last(opened: Open, store: MemoryStore) -> None:
    store.append([new_event("u", COEN[0], 1, 60.0), new_event("u", ITEMS[7], 2, 30.0)])
    async with opened(policy=POLICY) as parts:
        slate = await recommend(Query(user_id="u", page_size=50, trace=True), Deadline.after(2.0), parts)
        assert slate.trace is not None
        assert slate.trace.candidates_by_source["SOURCE_RELATED:director"] == 2
        slate = await recommend(
            Query(
                user_id="u", page_size=3, exclude_item_ids=ITEMS[:119], explain=True, context_json='{"locale": "zh"}'
            ),
            Deadline.after(2.0),
            parts,
        )
        (first,) = (placed for placed in slate.placed if placed.item_id == COEN[1])
        (reason,) = (r for r in first.reasons if r.item_id == COEN[0] and "相同" in r.text)
        assert (reason.event_id, reason.text) == ("u/1", f"与《Film {COEN[0]}》的director相同：Joel Coen")


async def test_relations_alone_are_told_and_bring_nothing(opened: Open) -> None:
    async with opened(policy=PolicyConfig(relations=("director",))) as parts:
        query = Query(seed_item_ids=(COEN[1],), page_size=50, trace=True, explain=True)
        slate = await recommend(query, Deadline.after(2.0), parts)
        assert slate.trace is not None
        assert slate.trace.candidates_by_source == {"SOURCE_SEED": 100}
        (found,) = (placed for placed in slate.placed if placed.item_id == COEN[0])
        assert any(reason.text.startswith("Same director") for reason in found.reasons)


def test_candidates_without_relations_cannot_be_configured() -> None:
    with pytest.raises(ValueError, match="relations are not"):
        PolicyConfig(related_candidates=5)
    with pytest.raises(ValueError, match="related_candidates is 201"):
        PolicyConfig(related_candidates=201, relations=("director",))

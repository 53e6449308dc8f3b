"""What trends in a user's segments, ranked beside what is retrieved for them; the scripted model likes item-000 best."""

from __future__ import annotations

import pytest

from recency.v1 import item_pb2, recommendation_pb2
from recency_features.history import Interaction
from recency_server.attributes import Attributes
from recency_server.parts import Parts
from recency_server.policy_config import MOST_CANDIDATES, PolicyConfig
from recency_server.query import Deadline, Query
from recency_server.recommend import recommend
from recency_server.told import Trace
from recency_server.trending import segments_of
from recency_store.memory import MemoryStore
from recency_store.records import NewItem

from .conftest import ITEMS, NOW, SECOND, Open, new_event

pytestmark = pytest.mark.usefixtures("live_release")
DRAMA, WAR = ITEMS[100:125], ITEMS[125:]


@pytest.fixture(autouse=True)
def kinds(store: MemoryStore) -> None:
    """The last fifty items, which are not among the first hundred that the model finds, are of two categories."""
    made = [NewItem(item_pb2.Item(item_id=item_id, categories=["Drama"])) for item_id in DRAMA]
    made += [NewItem(item_pb2.Item(item_id=item_id, categories=["War"], provider="p")) for item_id in WAR]
    store.upsert_items(made, NOW - 7200 * SECOND)
    liked = (DRAMA[3], WAR[4], WAR[4], WAR[5])
    store.append([new_event("v", item_id, number) for number, item_id in enumerate(liked)])


async def traced(parts: Parts, **fields: object) -> Trace:
    slate = await recommend(Query(trace=True, **fields), Deadline.after(2.0), parts)
    assert slate.trace is not None
    return slate.trace


async def test_what_trends_in_the_users_segments_is_scored_beside_what_is_retrieved(
    opened: Open, store: MemoryStore
) -> None:
    store.append([new_event("u", WAR[0], 1), new_event("u", WAR[1], 2)])
    async with opened(policy=PolicyConfig(trend_candidates=10)) as parts:
        trace = await traced(parts, user_id="u", page_size=50)
        # What the user has seen of it is left out, and no film of the other category comes by.
        assert trace.candidates_by_source == {"SOURCE_USER": 100, "SOURCE_TREND": 2}
        few = await traced(parts, user_id="u", filter="item_id > item-120")
        assert few.candidates_by_source.keys() == {"SOURCE_USER"}


async def test_for_somebody_unknown_everything_is_one_segment(opened: Open) -> None:
    async with opened(policy=PolicyConfig(trend_candidates=2)) as parts:
        assert (await traced(parts, page_size=50)).candidates_by_source == {"SOURCE_USER": 100, "SOURCE_TREND": 2}
    async with opened(gateway_id="g2") as parts:
        assert (await traced(parts, page_size=50)).candidates_by_source == {"SOURCE_USER": 100}


async def test_an_item_that_both_found_is_of_the_user_and_stands_once(opened: Open) -> None:
    async with opened(policy=PolicyConfig(trend_candidates=10)) as parts:
        slate = await recommend(Query(page_size=150), Deadline.after(2.0), parts)
        assert [placed.item_id for placed in slate.placed] == list(ITEMS)
        assert {placed.source for placed in slate.placed} == {recommendation_pb2.SOURCE_USER}


def test_segments_are_what_the_user_took_up_lately() -> None:
    attributes = Attributes()
    for item_id, categories, provider in (("a", ["War"], "p"), ("b", ["War", "Drama"], "q"), ("c", ["Comedy"], "")):
        attributes.put(item_id, item_pb2.Item(item_id=item_id, categories=categories, provider=provider))
    clicks = [Interaction(item_id, 3, n) for n, item_id in enumerate("ab")]
    assert segments_of(clicks, attributes)[0] == ("categories", "War")
    assert len(segments_of(clicks, attributes)) == 3
    # A dislike says nothing of what somebody likes; and only the newest twenty count.
    assert segments_of([Interaction("c", 8, 9)], attributes) == ()
    assert segments_of([*clicks, *(Interaction("c", 3, n) for n in range(20))], attributes) == (
        ("categories", "Comedy"),
    )
    assert segments_of([], attributes) == ()


def test_more_than_is_kept_cannot_be_configured() -> None:
    with pytest.raises(ValueError, match="trend_candidates is 201; it must be from 0 to 200"):
        PolicyConfig(trend_candidates=MOST_CANDIDATES + 1)

"""Where candidates come from beside the user's vector: what trends in their segments, and what is new.

The gateway was started after the events, so that what trends was kept across a restart."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from served_stack import CommandProcess, ServedStack, eventually, wait_until_undegraded

from recency import Item, Recency, Slate, Source, event

RISERS = [f"riser-{number}" for number in range(6)]


@dataclass
class Blended:
    """A gateway of its own that blends sources, and the film that six people liked before it was started."""

    gateway: CommandProcess
    client: Recency
    risen: str
    score_before: float

    def score(self, client: Recency) -> float:
        [place] = client.recommend("", candidate_item_ids=[self.risen]).recommendations
        return place.score

    def counter(self, name: str) -> float:
        with urllib.request.urlopen(f"http://{self.gateway.facts['http']}/metrics", timeout=5.0) as answer:
            lines = answer.read().decode().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


@pytest.fixture(scope="module")
def blended(stack: ServedStack) -> Iterator[Blended]:
    variables = {
        "RECENCY_POLICY_TREND_CANDIDATES": "100",
        "RECENCY_POLICY_RELATIONS": "provider",
        "RECENCY_POLICY_RELATED_CANDIDATES": "20",
        "RECENCY_POLICY_FRESH_SHARE": "0.2",
        # New is what came after the release: all films of these tests are young.
        "RECENCY_POLICY_FRESH_DAYS": "0",
        "RECENCY_POLICY_DIVERSITY_METHOD": "dpp",
        "RECENCY_GATEWAY_RECOMMEND_FOLLOW_REFOLD_SECONDS": "0.1",
    }
    with Recency(stack.here.address) as here:
        risen = here.recommend("", page_size=150).item_ids[-1]
        [before] = here.recommend("", candidate_item_ids=[risen]).recommendations
        here.feedback([event(user_id, risen, "LIKE") for user_id in RISERS])
        with stack.gateway("blended", **variables) as gateway, Recency(gateway.address) as client:
            wait_until_undegraded(client)
            yield Blended(gateway, client, risen, before.score)
        for user_id in RISERS:
            here.delete_user(user_id)


def _kinds(client: Recency, slate: Slate) -> int:
    return len({kind for item_id in slate.item_ids for kind in client.get_item(item_id).categories})


def test_what_trends_in_a_users_segments_is_ranked_beside_what_was_retrieved(blended: Blended, here: Recency) -> None:
    client = blended.client
    horror = here.recommend("", filter="categories:Horror", page_size=4).item_ids
    done = here.feedback([event("segment-1", item_id) for item_id in horror])
    slate = client.recommend(
        "segment-1", page_size=50, diversity=1.0, trace=True, view="ITEMS", consistency_token=done.consistency_token
    )
    assert slate.trace is not None
    assert slate.trace.candidates_by_source["SOURCE_USER"] > 0
    trending = [place for place in slate.recommendations if place.source is Source.TREND]
    assert trending
    assert slate.trace.candidates_by_source["SOURCE_TREND"] >= len(trending)
    segments = {kind for item_id in horror for kind in here.get_item(item_id).categories}
    assert all(place.item is not None and segments & set(place.item.categories) for place in trending)
    # One model gives an item one score, whoever found it.
    named = here.recommend("segment-1", candidate_item_ids=slate.item_ids, page_size=50)
    scores = {place.item_id: place.score for place in named.recommendations}
    assert all(place.score == pytest.approx(scores[place.item_id], abs=0.1) for place in trending)


def test_a_point_process_makes_slates_differ_too(blended: Blended) -> None:
    plain, diverse = (blended.client.recommend("1", page_size=10, diversity=value) for value in (0.0, 0.7))
    assert plain.item_ids[0] == diverse.item_ids[0]
    assert plain.item_ids != diverse.item_ids
    assert _kinds(blended.client, diverse) >= _kinds(blended.client, plain)


def test_new_items_get_their_share_of_the_places_and_it_is_measured(blended: Blended, here: Recency) -> None:
    new = [
        Item(item_id=f"fresh-{number}", title=f"A quiet drama about the year {number}", categories=["Drama"])
        for number in range(5)
    ]
    token = here.upsert_items(new).consistency_token
    try:
        before = [blended.counter(f"recency_{name}_total") for name in ("places", "fresh_places", "fresh_given_places")]
        for user_id in ("1", "2", "segment-1"):
            slate = blended.client.recommend(user_id, page_size=10, exploration=0.3, consistency_token=token)
            fresh = [place for place in slate.recommendations if place.item_id.startswith("fresh-")]
            assert len(fresh) >= 2
            # Where the others stand hangs on the new ones: nobody can tell their chances.
            assert all(place.propensity is None for place in slate.recommendations)
        after = [blended.counter(f"recency_{name}_total") for name in ("places", "fresh_places", "fresh_given_places")]
        places, fresh_places, given = (b - a for a, b in zip(before, after, strict=True))
        assert places == 30
        assert 6 <= fresh_places <= 30
        assert 0 <= given <= fresh_places
    finally:
        here.delete_items([item.item_id for item in new])


def test_what_trended_before_a_start_trends_after_it_until_who_liked_it_is_erased(
    blended: Blended, here: Recency
) -> None:
    eventually(
        lambda: blended.score(here) > blended.score_before + 0.05,
        lambda: f"six likes lift {blended.score_before}: {blended.score(here)}",
    )
    assert blended.score(blended.client) == pytest.approx(blended.score(here), abs=0.05)
    risen = blended.score(blended.client)
    for user_id in RISERS:
        here.delete_user(user_id)
    eventually(
        lambda: blended.score(blended.client) < risen - 0.05,
        lambda: f"without the six it falls from {risen}: {blended.score(blended.client)}",
    )


def test_what_shares_a_fact_with_an_example_is_ranked_beside_it_and_the_reason_names_the_fact(
    blended: Blended, here: Recency
) -> None:
    # Words that nothing else in the catalogue is like stay behind what retrieval finds for an example.
    words = ("Ledger of drainage permits", "Index of harbour tariffs", "Register of weights and measures")
    films = [
        Item(item_id=f"maker-{number}", title=title, provider="Example Pictures") for number, title in enumerate(words)
    ]
    token = here.upsert_items(films).consistency_token
    try:
        slate = blended.client.recommend(
            "", seed_item_ids=["maker-0"], page_size=200, explain=True, trace=True, consistency_token=token
        )
        assert not slate.degraded, slate.degraded_reason
        reasons = {place.item_id: place.reasons for place in slate.recommendations}
        for item_id in ("maker-1", "maker-2"):
            named = [r for r in reasons[item_id] if r.text == f"Same provider as {words[0]}: Example Pictures"]
            assert [reason.item_id for reason in named] == ["maker-0"]
        plain = here.recommend("", seed_item_ids=["maker-0"], page_size=200, explain=True, consistency_token=token)
        assert not any("Same provider" in r.text for place in plain.recommendations for r in place.reasons)
    finally:
        here.delete_items([film.item_id for film in films])

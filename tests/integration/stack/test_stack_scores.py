"""What the answers of a served release hold: whole slates, one chance an item however it is asked for, words that find."""

from __future__ import annotations

import asyncio
import csv
import time
from dataclasses import replace

import numpy as np
import pytest
from served_stack import ServedStack, eventually

from recency import Item, Recency, Slate, Source, event
from recency_inference.client import Inference
from recency_server.parts import RecommendConfig, open_parts
from recency_server.query import Deadline, Query
from recency_server.query import Slate as ServedSlate
from recency_server.recommend import recommend


def chances(slate: Slate) -> dict[str, float]:
    found = {place.item_id: place.probability for place in slate.recommendations}
    assert all(chance is not None for chance in found.values())
    return {item_id: chance for item_id, chance in found.items() if chance is not None}


@pytest.mark.promise(4)
@pytest.mark.parametrize("user_id", ["", "scores-never-heard-of"])
def test_somebody_unknown_gets_a_whole_answer(here: Recency, user_id: str) -> None:
    slate = here.recommend(user_id, page_size=20)
    assert not slate.degraded, slate.degraded_reason
    assert len(slate.recommendations) == 20
    assert slate.freshness.events_used == 0
    assert slate.freshness.behaviour_time is None
    assert {place.source for place in slate.recommendations} == {Source.USER}
    assert all(0.0 < chance < 1.0 for chance in chances(slate).values())


def test_who_has_seen_nearly_everything_gets_all_of_the_rest(here: Recency, film_ids: list[str]) -> None:
    seen, rest = film_ids[:80], film_ids[80:]
    token = here.feedback([event("scores-fan", film) for film in seen]).consistency_token
    slate = here.recommend("scores-fan", page_size=100, consistency_token=token)
    assert not slate.degraded
    assert len(set(slate.item_ids)) == 100
    assert set(slate.item_ids) <= set(rest)
    token = here.feedback([event("scores-fan", film) for film in rest[: -len(rest) // 4]]).consistency_token
    slate = here.recommend("scores-fan", page_size=100, consistency_token=token)
    assert set(slate.item_ids) == set(rest[-len(rest) // 4 :])
    assert not slate.degraded


def test_retrieval_and_named_candidates_give_an_item_one_chance(here: Recency, film_ids: list[str]) -> None:
    for user in ("1", "7", "scores-stranger"):
        plain = chances(here.recommend(user, page_size=500))
        assert len(plain) >= 50
        named = chances(here.recommend(user, page_size=500, candidate_item_ids=list(plain)))
        assert named.keys() == plain.keys()
        np.testing.assert_allclose([named[i] for i in plain], list(plain.values()), atol=1e-4)


async def test_a_score_does_not_depend_on_who_is_asked_for_at_the_same_time(
    stack: ServedStack, film_ids: list[str]
) -> None:
    """The request path over the real Triton, at one moment: between two calls of a process a history would age."""
    moment = time.time_ns() // 1_000
    asked = [
        Query(user_id="1", page_size=50),
        Query(user_id="2", page_size=50, candidate_item_ids=tuple(film_ids[:60])),
        Query(user_id="3", page_size=50, text="a western", text_weight=0.4),
        Query(user_id="scores-nobody", page_size=50),
    ]
    mates = [
        Query(
            user_id=str(number) if number % 5 else "",
            page_size=(1, 10, 100, 500)[number % 4],
            include_seen=number % 3 == 0,
            text=("", "", "space battles", "musical comedy")[number % 4],
            exclude_item_ids=tuple(film_ids[: number * 2]),
            candidate_item_ids=tuple(film_ids[number : number + 90]) if number % 7 == 0 else None,
        )
        for number in range(1, 64)
    ]
    with stack.folder.opened() as store:
        async with (
            Inference(stack.triton.address) as inference,
            open_parts(RecommendConfig("scores-frozen"), store, inference, lambda: moment) as parts,
        ):

            async def ask(query: Query) -> ServedSlate:
                slate = await recommend(query, Deadline.after(30.0), parts)
                assert slate.degraded == ()
                return slate

            for query in asked:
                alone = await ask(query)
                batches = parts.counters.batches
                amid, *_ = await asyncio.gather(*(ask(one) for one in (query, *mates)))
                assert parts.counters.batches - batches < len(mates)
                after = await ask(replace(query))
                assert alone.placed
                for other in (amid, after):
                    assert {p.item_id for p in other.placed} == {p.item_id for p in alone.placed}
                    found = {p.item_id: p.probability for p in other.placed}
                    np.testing.assert_allclose(
                        np.array([found[p.item_id] for p in alone.placed], dtype=float),
                        np.array([p.probability for p in alone.placed], dtype=float),
                        atol=1e-5,
                    )


def test_an_item_is_found_by_words_and_has_a_chance_as_soon_as_its_upsert_answers(
    here: Recency, there: Recency
) -> None:
    film = Item(
        item_id="scores-fresh", title="The beekeeper of Mars", text="A colony on Mars depends on the honey of one hive."
    )
    try:
        token = here.upsert_items([film]).consistency_token
        for client in (there, here):
            words = client.recommend("1", query="bees on another planet", query_weight=1.0, consistency_token=token)
            assert words.item_ids[0] == film.item_id
            assert words.recommendations[0].source is Source.QUERY
            named = client.recommend("1", candidate_item_ids=[film.item_id, "no-such-film"], consistency_token=token)
            assert 0.0 < chances(named)[film.item_id] < 1.0
            assert named.missing_item_ids == ("no-such-film",)
            assert not words.degraded
            assert not named.degraded
    finally:
        here.delete_items([film.item_id])


def test_items_that_the_command_line_imports_are_embedded_while_it_serves(stack: ServedStack, here: Recency) -> None:
    film_ids = [f"scores-imported-{number}" for number in range(3)]
    path = stack.folder.path / "more.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["item_id", "title", "text"])
        rows.writerows(
            [film_id, f"Chess masters {film_id}", "A tournament of chess grandmasters"] for film_id in film_ids
        )
    try:
        assert stack.folder.run("import", "items", str(path))["written"] == 3
        eventually(
            lambda: (
                set(film_ids)
                <= set(here.recommend(query="a tournament of chess grandmasters", query_weight=1.0).item_ids)
            ),
            lambda: "the imported items are found by their words",
        )
        with stack.folder.opened() as store:
            encoders = {item.text_encoder for item in store.get_items(film_ids).values()}
        assert len(encoders) == 1
        assert "" not in encoders
    finally:
        here.delete_items(film_ids)

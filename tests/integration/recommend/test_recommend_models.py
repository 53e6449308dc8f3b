"""The request path over a real Triton that runs a real release."""

from __future__ import annotations

import asyncio
import math
import os
import signal

import numpy as np

from recency_features.text import item_text
from recency_server.query import Deadline, Query, Slate
from recency_server.recommend import recommend
from recency_store.records import NewItem

from .conftest import BOOK_IDS, KINDS, OpenShop, Shop, book, click, now


def soon() -> Deadline:
    return Deadline.after(10.0)


def ids(slate: Slate) -> list[str]:
    return [placed.item_id for placed in slate.placed]


async def test_the_release_is_adopted_because_its_golden_cases_agree(opened: OpenShop) -> None:
    async with opened() as parts:
        assert parts.counters.adoptions == 1
        assert parts.releases.reason == ""


async def test_an_unknown_user_and_a_reader_get_full_answers(opened: OpenShop) -> None:
    async with opened() as parts:
        unknown = await recommend(Query(user_id="never-seen"), soon(), parts)
        reader = await recommend(Query(user_id="reader-1", page_size=100), soon(), parts)
    assert unknown.degraded == reader.degraded == ()
    assert len(unknown.placed) == 10
    assert unknown.freshness.events_used == 0
    assert reader.freshness.events_used == 9
    # What the reader has is left out, and everything else is there.
    assert len(reader.placed) == len(BOOK_IDS) - 9
    for slate in (unknown, reader):
        scores = [p.score for p in slate.placed]
        assert scores == sorted(scores, reverse=True)
        assert all(p.probability is not None and 0.0 < p.probability < 1.0 for p in slate.placed)


async def test_a_click_changes_the_next_answer_on_another_gateway(opened: OpenShop) -> None:
    async with opened("one") as one, opened("two") as two:
        before = await recommend(Query(user_id="clicker"), soon(), two)
        [appended] = await one.commit.append([click("clicker", ids(before)[0], 1)])
        after = await recommend(Query(user_id="clicker", must_reflect=appended.sequence, strict=True), soon(), two)
    assert ids(before)[0] not in ids(after)
    assert after.freshness.events_used == 1
    assert [p.score for p in after.placed] != [p.score for p in before.placed]


async def test_one_item_has_one_score_by_either_model_and_with_any_batch_mates(opened: OpenShop) -> None:
    users = [f"reader-{n}" for n in range(40)]
    async with opened() as parts:
        alone = [await recommend(Query(user_id=user), soon(), parts) for user in users[:5]]
        together = await asyncio.gather(*(recommend(Query(user_id=user), soon(), parts) for user in users))
        assert parts.counters.batches < 5 + len(users)
        named = await recommend(Query(user_id=users[0], candidate_item_ids=tuple(ids(alone[0]))), soon(), parts)
    for one, other in zip(alone, together, strict=False):
        scores = {p.item_id: p.score for p in other.placed}
        # Histories age between the two calls.
        np.testing.assert_allclose([p.score for p in one.placed], [scores[p.item_id] for p in one.placed], atol=1e-3)
    assert set(ids(named)) == set(ids(alone[0]))
    scores = {p.item_id: p.score for p in named.placed}
    np.testing.assert_allclose([p.score for p in alone[0].placed], [scores[i] for i in ids(alone[0])], atol=1e-3)


async def test_words_find_what_they_name_and_leave_the_chance_alone(opened: OpenShop) -> None:
    async with opened() as parts:
        plain = await recommend(Query(user_id="reader-2", page_size=100), soon(), parts)
        words = Query(user_id="reader-2", text="growing vegetables and flowers", text_weight=1.0, page_size=6)
        steered = await recommend(words, soon(), parts)
    gardening = {item_id for item_id in BOOK_IDS if item_id.startswith("book-5-")}
    assert steered.degraded == ()
    assert len(gardening & set(ids(steered))) >= min(4, len(gardening & set(ids(plain))))
    chances = {p.item_id: p.probability for p in plain.placed}
    for place in steered.placed:
        assert place.probability is not None
        expected = chances[place.item_id]
        assert expected is not None
        assert math.isclose(place.probability, expected, abs_tol=1e-3)


async def test_a_new_item_is_found_by_its_words_at_once_hidden_at_once_and_shown_again(
    opened: OpenShop, shop: Shop
) -> None:
    new = book("new-book", "The sailing gardener", "Gardening on a sailing boat: growing vegetables at sea.")
    query = Query(text="gardening on a sailing boat", text_weight=1.0, page_size=3)
    async with opened("one") as one, opened("two") as two:
        encoded = await one.encoder.encode([item_text(new.item)], 5.0)
        stored = NewItem(new.item, encoded.vectors[0].astype("<f4").tobytes(), encoded.text_encoder)
        try:
            shop.store.upsert_items([stored], now())
            assert ids(await recommend(query, soon(), two))[0] == "new-book"
            shop.store.hide_items(["new-book"], "moderated", now())
            assert "new-book" not in ids(await recommend(query, soon(), two))
            shop.store.hide_items(["new-book"], None, now())
            assert ids(await recommend(query, soon(), one))[0] == "new-book"
            # It can stand in a history too.
            [appended] = await one.commit.append([click("knitter", "new-book", 1)])
            slate = await recommend(Query(user_id="knitter", must_reflect=appended.sequence), soon(), two)
            assert slate.freshness.events_used == 1
        finally:
            shop.store.delete_items(["new-book"], now())
        assert "new-book" not in ids(await recommend(query, soon(), two))


async def test_an_item_stored_without_a_vector_is_embedded_in_the_background(opened: OpenShop, shop: Shop) -> None:
    async with opened() as parts:
        shop.store.upsert_items([book("imported", "Chess and jazz", "Playing chess to jazz music.")], now())
        try:
            for _ in range(100):
                slate = await recommend(Query(text="playing chess to jazz music", text_weight=1.0), soon(), parts)
                if ids(slate)[0] == "imported":
                    break
                await asyncio.sleep(0.05)
            assert ids(slate)[0] == "imported"
            assert shop.store.get_items(["imported"])["imported"].text_encoder == parts.encoder.digest
        finally:
            shop.store.delete_items(["imported"], now())


async def test_a_user_who_has_nearly_everything_gets_the_rest(opened: OpenShop, shop: Shop) -> None:
    shop.store.append([click("collector", item_id, n, 60.0) for n, item_id in enumerate(BOOK_IDS[: -len(KINDS)])])
    async with opened() as parts:
        slate = await recommend(Query(user_id="collector", page_size=100), soon(), parts)
    assert set(ids(slate)) == set(BOOK_IDS[-len(KINDS) :])


async def test_with_triton_killed_answers_go_on_marked_and_heal_by_themselves(opened: OpenShop, shop: Shop) -> None:
    async with opened() as parts:
        os.kill(shop.triton.pid, signal.SIGKILL)
        slates = [await recommend(Query(user_id="reader-3", text="chess"), soon(), parts) for _ in range(20)]
        last = slates[-1]
        assert all(len(slate.placed) == 10 for slate in slates)
        assert {cause.partition(":")[0] for cause in last.degraded} >= {"model"}
        assert {p.probability for p in last.placed} == {None}
        seen = set(parts.users.cached("reader-3").behaviour.counts)  # type: ignore[union-attr]
        assert not seen & set(ids(last))
        for _ in range(600):
            slate = await recommend(Query(user_id="reader-3"), soon(), parts)
            if not slate.degraded:
                break
            await asyncio.sleep(0.1)
        assert slate.degraded == ()

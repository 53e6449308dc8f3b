"""The request path over a scripted model: what reaches it, and what is made of its answer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from recency.v1 import event_pb2, recommendation_pb2
from recency_features.history import Interaction
from recency_features.spec import PAD, RECOMMENDER, SCORER
from recency_inference import errors as inference_errors
from recency_server.errors import StaleRefused, TooLate
from recency_server.query import Deadline, Query, Slate
from recency_server.recommend import recommend
from recency_server.steering import SteerConfig
from recency_store.manifest import Manifest
from recency_store.memory import MemoryStore

from .conftest import ITEMS, NOW, SECOND, Open, ScriptedInference, activate, new_event, new_item, until, write_release


def soon() -> Deadline:
    return Deadline.after(2.0)


def ids(slate: Slate) -> list[str]:
    return [placed.item_id for placed in slate.placed]


@pytest.mark.usefixtures("live_release")
class TestWithARelease:
    async def test_an_unknown_user_gets_the_models_answer_undegraded(self, opened: Open) -> None:
        async with opened() as parts:
            slate = await recommend(Query(user_id="nobody"), soon(), parts)
        assert ids(slate) == list(ITEMS[:10])
        assert slate.degraded == ()
        assert slate.freshness.release == 1
        assert slate.freshness.events_used == 0
        assert slate.freshness.behaviour_micros is None
        assert all(p.source == recommendation_pb2.SOURCE_USER and p.probability is not None for p in slate.placed)

    async def test_a_click_is_in_the_history_and_out_of_the_next_answer(
        self, opened: Open, store: MemoryStore, inference: ScriptedInference
    ) -> None:
        async with opened() as parts:
            await recommend(Query(user_id="u"), soon(), parts)
            [appended] = await parts.commit.append([new_event("u", ITEMS[2], 1, age_seconds=5)])
            slate = await recommend(Query(user_id="u", must_reflect=appended.sequence, strict=True), soon(), parts)
        assert ITEMS[2] not in ids(slate)
        assert slate.freshness.behaviour_micros == NOW - 5 * SECOND
        assert slate.freshness.events_used == 1
        sent = inference.of(RECOMMENDER)[-1]
        assert sent["history_ids"][0].tolist() == [PAD] * 7 + [2]
        assert sent["history_ages_seconds"][0, -1] == 5.0
        assert sent["exclude_ids"][0, 0] == 2

    async def test_own_counts_are_sent_where_seen_items_stay(
        self, opened: Open, store: MemoryStore, inference: ScriptedInference
    ) -> None:
        store.append([new_event("u", ITEMS[2], n) for n in range(3)])
        async with opened() as parts:
            await recommend(Query(user_id="u", include_seen=True), soon(), parts)
            await recommend(Query(user_id="u"), soon(), parts)
        kept, left_out = inference.of(RECOMMENDER)[-2:]
        assert (kept["own_count_ids"][0, 0], kept["own_counts"][0, 0]) == (2, 3.0)
        assert (left_out["own_count_ids"] == PAD).all()

    async def test_a_write_of_another_gateway_is_in_the_next_answer(self, opened: Open, store: MemoryStore) -> None:
        async with opened() as parts, opened(gateway_id="gateway-2") as others:
            await recommend(Query(user_id="u"), soon(), parts)
            await others.commit.append([new_event("u", ITEMS[0], 1)])
            store.hide_items([ITEMS[1]], "moderated", NOW)
            store.delete_items([ITEMS[3]], NOW)
            slate = await recommend(Query(user_id="u"), soon(), parts)
        assert ids(slate)[:2] == [ITEMS[2], ITEMS[4]]

    async def test_an_event_that_comes_late_takes_its_place_by_time(
        self, opened: Open, inference: ScriptedInference
    ) -> None:
        async with opened() as parts:
            await parts.commit.append([new_event("u", ITEMS[5], 1, age_seconds=10)])
            await recommend(Query(user_id="u"), soon(), parts)
            await parts.commit.append([new_event("u", ITEMS[6], 2, age_seconds=100)])
            await recommend(Query(user_id="u"), soon(), parts)
        assert inference.of(RECOMMENDER)[-1]["history_ids"][0, -2:].tolist() == [6, 5]

    async def test_everything_seen_is_excluded_and_the_slate_still_full(self, opened: Open, store: MemoryStore) -> None:
        store.append([new_event("u", item_id, n, age_seconds=n) for n, item_id in enumerate(ITEMS[:140])])
        async with opened() as parts:
            slate = await recommend(Query(user_id="u"), soon(), parts)
            again = await recommend(Query(user_id="u", include_seen=True), soon(), parts)
        assert ids(slate) == list(ITEMS[140:])
        assert ids(again) == list(ITEMS[:10])

    async def test_what_a_user_hid_stays_out_even_where_seen_items_come_again(
        self, opened: Open, store: MemoryStore
    ) -> None:
        store.append([new_event("u", ITEMS[0], 1, event_type=event_pb2.EVENT_TYPE_HIDE), new_event("u", ITEMS[1], 2)])
        async with opened(exclude_seen="never") as parts:
            slate = await recommend(Query(user_id="u"), soon(), parts)
        assert ids(slate)[:2] == [ITEMS[1], ITEMS[2]]

    async def test_what_a_user_dislikes_steers_away_from_it_and_leaves_source_and_chances(
        self, opened: Open, store: MemoryStore, inference: ScriptedInference
    ) -> None:
        dislike = event_pb2.EVENT_TYPE_DISLIKE
        store.append([new_event("u", ITEMS[5], 1), new_event("u", ITEMS[3], 2, event_type=dislike)])
        store.append([new_event("new", ITEMS[3], 3, event_type=event_pb2.EVENT_TYPE_HIDE)])
        async with opened() as parts:
            slate = await recommend(Query(user_id="u", include_seen=True), soon(), parts)
            await recommend(Query(user_id="new"), soon(), parts)
            release = parts.releases.live
            assert release is not None
            away_D = -release.vectors_of([3])[0]
        known, new = (sent["steer"][0] for sent in inference.of(RECOMMENDER)[-2:])
        assert known @ away_D > 0
        assert 0 < new @ away_D < 0.1 * (known @ away_D)
        assert ITEMS[3] not in ids(slate)
        assert all(p.source == recommendation_pb2.SOURCE_USER and p.probability is not None for p in slate.placed)
        async with opened(gateway_id="other", steer=SteerConfig(dislike_weight=0.0)) as parts:
            await recommend(Query(user_id="u"), soon(), parts)
        assert not inference.of(RECOMMENDER)[-1]["steer"].any()

    async def test_recent_events_of_the_request_count_once_and_are_not_kept(
        self, opened: Open, inference: ScriptedInference
    ) -> None:
        recent = (Interaction(ITEMS[4], event_pb2.EVENT_TYPE_CLICK, NOW - SECOND),)
        async with opened() as parts:
            await parts.commit.append([new_event("u", ITEMS[4], 1, age_seconds=1)])
            known = await recommend(Query(user_id="u", recent=recent), soon(), parts)
            anonymous = await recommend(Query(recent=recent), soon(), parts)
            nothing = await recommend(Query(), soon(), parts)
        assert known.freshness.events_used == anonymous.freshness.events_used == 1
        assert ITEMS[4] not in ids(anonymous)
        assert anonymous.freshness.behaviour_micros == NOW - SECOND
        assert ids(nothing) == list(ITEMS[:10])

    async def test_named_candidates_alone_are_ranked_and_unknown_ones_named(
        self, opened: Open, inference: ScriptedInference, store: MemoryStore
    ) -> None:
        store.hide_items([ITEMS[9]], "moderated", NOW)
        wanted = (ITEMS[30], "no-such", ITEMS[9], ITEMS[20])
        async with opened() as parts:
            slate = await recommend(Query(candidate_item_ids=wanted), soon(), parts)
        assert ids(slate) == [ITEMS[20], ITEMS[30]]
        assert slate.missing_item_ids == ("no-such",)
        assert {p.source for p in slate.placed} == {recommendation_pb2.SOURCE_CANDIDATE}
        assert slate.degraded == ()
        assert len(inference.of(SCORER)) == 2  # one of them the golden case

    async def test_words_steer_in_the_content_dimensions_alone(
        self, opened: Open, inference: ScriptedInference
    ) -> None:
        async with opened() as parts:
            half = await recommend(Query(text="funny robots"), soon(), parts)
            alone = await recommend(Query(text="funny robots", text_weight=1.0), soon(), parts)
            none = await recommend(Query(text="funny robots", text_weight=0.0), soon(), parts)
        steers = [sent["steer"][0] for sent in inference.of(RECOMMENDER)[1:]]
        assert (steers[0][:2] == 0).all()
        assert (steers[0][2:] != 0).any()
        np.testing.assert_allclose(steers[1], 1000 * steers[0], rtol=1e-5)
        assert (steers[2] == 0).all()
        assert {p.source for p in half.placed} == {recommendation_pb2.SOURCE_QUERY}
        assert ids(alone) == ids(none)
        # The chance is that of the unsteered logit; the script does not know steers, so all three agree.
        assert [p.probability for p in half.placed] == [p.probability for p in none.placed]
        assert (inference.of(SCORER)[-1]["steer"] == 0).all()

    async def test_named_candidates_and_words_go_together(self, opened: Open, inference: ScriptedInference) -> None:
        async with opened() as parts:
            slate = await recommend(Query(text="sad", candidate_item_ids=(ITEMS[3], ITEMS[1])), soon(), parts)
        assert ids(slate) == [ITEMS[1], ITEMS[3]]
        assert all(p.probability is not None for p in slate.placed)
        order, chance = inference.of(SCORER)[-2:]
        assert (order["steer"] != 0).any()
        assert (chance["steer"] == 0).all()

    async def test_an_item_written_with_its_vector_is_retrieved_at_once_and_stands_in_histories(
        self, opened: Open, inference: ScriptedInference
    ) -> None:
        async with opened() as parts:
            encoded = await parts.encoder.encode(["funny"], 1.0)
            item = new_item("new", "funny")
            item = type(item)(item.item, encoded.vectors[0].tobytes(), encoded.text_encoder)
            sequence = parts.store.upsert_items([item], NOW)
            await parts.commit.append([new_event("u", "new", 1)])
            slate = await recommend(Query(page_size=500, must_reflect=sequence), soon(), parts)
            await recommend(Query(user_id="u"), soon(), parts)
        assert "new" in ids(slate)
        assert slate.freshness.catalog_micros == NOW
        assert inference.of(RECOMMENDER)[-1]["history_ids"][0, -1] == len(ITEMS)

    async def test_an_item_without_a_vector_is_embedded_in_the_background(
        self, opened: Open, store: MemoryStore
    ) -> None:
        store.upsert_items([new_item("before", "sad")], NOW - SECOND)
        async with opened() as parts:
            store.upsert_items([new_item("after", "funny")], NOW)
            live = parts.releases.live
            assert live is not None
            await until(lambda: live.fresh_count == 2 and not live.pending)
            slate = await recommend(Query(page_size=500), soon(), parts)
        assert {"before", "after"} <= set(ids(slate))
        assert store.get_items(["after"])["after"].text_vector

    async def test_a_time_window_opens_and_closes(self, opened: Open, store: MemoryStore) -> None:
        closed, later = new_item(ITEMS[0]), new_item(ITEMS[1])
        closed.item.available_until.FromMicroseconds(NOW - 1)
        later.item.available_from.FromMicroseconds(NOW + 1)
        store.upsert_items([closed, later], NOW)
        async with opened() as parts:
            slate = await recommend(Query(), soon(), parts)
        assert ids(slate)[0] == ITEMS[2]

    @pytest.mark.parametrize(
        "error",
        [
            inference_errors.Unavailable("gone"),
            inference_errors.Overloaded("full"),
            inference_errors.TooLate("late"),
            inference_errors.ModelFailed("broken"),
        ],
    )
    async def test_a_model_that_cannot_answer_makes_a_marked_answer_of_trends(
        self, opened: Open, inference: ScriptedInference, error: Exception
    ) -> None:
        async with opened() as parts:
            await parts.commit.append([new_event(f"u{n}", ITEMS[70], n) for n in range(3)])
            await parts.commit.append([new_event("u", ITEMS[80], 9)])
            inference.error = error
            slate = await recommend(Query(user_id="u", exclude_item_ids=(ITEMS[0],)), soon(), parts)
        assert ids(slate)[0] == ITEMS[70]
        assert not {ITEMS[80], ITEMS[0]} & set(ids(slate))
        assert len(slate.placed) == 10
        assert [cause.partition(":")[0] for cause in slate.degraded] == ["model"]
        assert slate.freshness.release == 0
        assert {p.probability for p in slate.placed} == {None}

    async def test_a_bug_raises(self, opened: Open, inference: ScriptedInference) -> None:
        async with opened() as parts:
            for error in (inference_errors.BadRequest("shape"), KeyError("bug")):
                inference.error = error
                with pytest.raises(type(error)):
                    await recommend(Query(), soon(), parts)

    async def test_a_slow_model_is_not_waited_for_past_the_deadline(
        self, opened: Open, inference: ScriptedInference
    ) -> None:
        async with opened() as parts:
            inference.delay_seconds = 1.0
            deadline = Deadline.after(0.1)
            slate = await recommend(Query(), deadline, parts)
            assert deadline.remaining_seconds() > 0
            assert slate.degraded[0].startswith("model:")
            with pytest.raises(TooLate):
                await recommend(Query(), Deadline.after(0.0), parts)
            inference.delay_seconds = 0.0

    async def test_a_token_from_elsewhere_is_marked_or_refused(self, opened: Open) -> None:
        async with opened() as parts:
            slate = await recommend(Query(must_reflect=10**9), soon(), parts)
            assert slate.degraded[0].startswith("behind:")
            with pytest.raises(StaleRefused):
                await recommend(Query(must_reflect=10**9, strict=True), soon(), parts)

    async def test_a_release_older_than_allowed_is_marked_or_refused(self, opened: Open) -> None:
        async with opened() as parts:
            fine = await recommend(Query(max_staleness_micros=3600 * SECOND), soon(), parts)
            marked = await recommend(Query(max_staleness_micros=60 * SECOND), soon(), parts)
            with pytest.raises(StaleRefused):
                await recommend(Query(max_staleness_micros=60 * SECOND, strict=True), soon(), parts)
        assert fine.degraded == ()
        assert marked.degraded[0].startswith("stale:")

    async def test_slates_are_kept_for_attribution(self, opened: Open, store: MemoryStore) -> None:
        async with opened() as parts:
            slate = await recommend(Query(user_id="u", labels={"surface": "home"}), soon(), parts)
        record = store.get_slate(slate.recommendation_id)
        assert record is not None
        assert record.item_ids == tuple(ids(slate))
        assert record.labels == {"surface": "home"}

    async def test_items_are_brought_along_when_asked_for(self, opened: Open) -> None:
        async with opened() as parts:
            slate = await recommend(Query(with_items=True), soon(), parts)
        assert [p.item.title for p in slate.placed if p.item] == ids(slate)


async def test_without_a_release_the_newest_items_come_and_the_answer_says_so(opened: Open, store: MemoryStore) -> None:
    async with opened() as parts:
        store.upsert_items([new_item("new")], NOW)
        slate = await recommend(Query(user_id="u"), soon(), parts)
    assert ids(slate)[0] == "new"
    assert slate.degraded == ("model: no release is live",)
    assert slate.freshness.release == 0


async def test_an_empty_store_answers_with_an_empty_slate(inference: ScriptedInference) -> None:
    from recency_server.parts import RecommendConfig, open_parts

    async with open_parts(RecommendConfig("g"), MemoryStore(), inference, lambda: NOW) as parts:  # type: ignore[arg-type]
        slate = await recommend(Query(), soon(), parts)
    assert slate.placed == ()
    assert slate.degraded


async def test_a_shop_whose_customers_buy_again_keeps_seen_items(
    opened: Open, store: MemoryStore, tmp_path: Path
) -> None:
    activate(store, tmp_path / "1", write_release(tmp_path / "1", repeat_share=0.4))
    store.append([new_event("u", ITEMS[0], 1)])
    async with opened() as parts:
        slate = await recommend(Query(user_id="u"), soon(), parts)
        without = await recommend(Query(user_id="u", include_seen=False), soon(), parts)
    assert ids(slate)[0] == ITEMS[0]
    assert ids(without)[0] == ITEMS[1]


async def test_many_requests_at_once_share_batches_and_get_their_own_answers(
    opened: Open, store: MemoryStore, inference: ScriptedInference, live_release: Manifest
) -> None:
    store.append([new_event(f"u{n}", ITEMS[n], n) for n in range(100)])
    async with opened() as parts:
        before = len(inference.calls)
        inference.delay_seconds = 0.005
        slates = await asyncio.gather(*(recommend(Query(user_id=f"u{n}"), soon(), parts) for n in range(100)))
    assert all(ITEMS[n] not in ids(slate) and len(slate.placed) == 10 for n, slate in enumerate(slates))
    assert len(inference.calls) - before < 20
    for sent in inference.of(RECOMMENDER):
        assert len(sent["history_ids"]) in (1, 2, 4, 8, 16, 32, 64)

"""Reasons and traces over a scripted model whose scores depend on the history and the steer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from recency.v1 import event_pb2, recommendation_pb2
from recency_features.history import Interaction
from recency_features.spec import PAD, SCORER
from recency_inference import errors as inference_errors
from recency_inference.client import Input
from recency_server.candidates import Aim
from recency_server.choose import bounds
from recency_server.parts import Parts
from recency_server.query import Deadline, Placed, Query, Slate
from recency_server.reading import read_user
from recency_server.recommend import recommend
from recency_server.told import Reason
from recency_store.memory import MemoryStore

from .conftest import ITEMS, NOW, SECOND, Open, ScriptedInference, array, new_event, new_item

BEHAVIOUR = recommendation_pb2.REASON_KIND_BEHAVIOUR
QUERY = recommendation_pb2.REASON_KIND_QUERY


class ReadsHistories(ScriptedInference):
    """Scores by the script, and by the history and the steer in a way that is no sum: leaving out one event changes what
    the others add."""

    reads: bool = False
    fails: Exception | None = None

    async def infer(
        self, model: str, version: int, inputs: Mapping[str, Input], outputs: Sequence[str], timeout_seconds: float
    ) -> dict[str, npt.NDArray[Any]]:
        answer = await super().infer(model, version, inputs, outputs, timeout_seconds)
        if model == SCORER and self.reads:
            if self.fails is not None:
                raise self.fails
            ids, steer = array(inputs["history_ids"]), array(inputs["steer"])
            mood = np.where(ids == PAD, 0.0, np.sin(1.0 + ids)).sum(1) + steer.sum(1)
            answer["logits"] = answer["logits"] + np.tanh(mood[:, None] * np.cos(array(inputs["candidate_ids"]))) * 3.0
        return answer


@pytest.fixture
def inference() -> ScriptedInference:
    return ReadsHistories()


@pytest.fixture
def opened(opened: Open, inference: ReadsHistories) -> Open:
    """The parts, with a model that reads histories once the release's golden cases were answered by the script."""

    @asynccontextmanager
    async def open_them(**changes: Any) -> AsyncIterator[Parts]:
        async with opened(**changes) as parts:
            inference.reads = True
            yield parts

    return open_them


def soon() -> Deadline:
    return Deadline.after(2.0)


def of_kind(placed: Placed, *kinds: int) -> list[Reason]:
    return [reason for reason in placed.reasons if reason.kind in kinds]


def history(store: MemoryStore, count: int) -> None:
    """Clicks of user `u`, the newest last, on the items from the hundredth on."""
    store.append([new_event("u", ITEMS[100 + n], n, age_seconds=10 * (count - n)) for n in range(count)])


def scores(slate: Slate) -> dict[str, float]:
    return {placed.item_id: placed.score for placed in slate.placed}


def caused(slate: Slate) -> dict[str, tuple[str, ...]]:
    assert slate.trace is not None
    return {one.cause: one.item_ids for one in slate.trace.left_out}


@pytest.mark.usefixtures("live_release")
class TestReasons:
    @pytest.mark.parametrize("count", [1, 5, 8, 12])
    async def test_contributions_add_up_to_the_score_with_the_events_less_the_score_without(
        self, opened: Open, store: MemoryStore, inference: ScriptedInference, count: int
    ) -> None:
        history(store, count)
        named = Query(user_id="u", candidate_item_ids=ITEMS[:5], explain=True)
        rest = tuple(Interaction(ITEMS[100 + n], 3, NOW - 10 * (count - n) * SECOND) for n in range(count - 8))
        async with opened() as parts:
            slate = await recommend(named, soon(), parts)
            asked = len(inference.of(SCORER))
            without = await recommend(Query(recent=rest, candidate_item_ids=ITEMS[:5]), soon(), parts)
        for placed in slate.placed:
            added = sum(reason.contribution for reason in of_kind(placed, BEHAVIOUR))
            assert added == pytest.approx(placed.score - scores(without)[placed.item_id], abs=1e-4)
            assert len(of_kind(placed, BEHAVIOUR)) == min(count, 8)
        # One batch of the scorer answers for all events and items and one call for trends, beside the golden case and the
        # answer's own.
        assert asked == 4

    async def test_the_steer_has_its_part_and_all_of_them_add_up(self, opened: Open, store: MemoryStore) -> None:
        history(store, 3)
        asked = {"candidate_item_ids": ITEMS[:5]}
        async with opened() as parts:
            slate = await recommend(Query(user_id="u", text="robots", explain=True, **asked), soon(), parts)
            without = await recommend(Query(**asked), soon(), parts)
        for placed in slate.placed:
            [steer] = of_kind(placed, QUERY)
            assert steer.text == "Fits what you asked for"
            added = sum(reason.contribution for reason in of_kind(placed, BEHAVIOUR, QUERY))
            assert added == pytest.approx(placed.score - scores(without)[placed.item_id], abs=1e-4)

    async def test_an_event_is_named_by_its_id_its_item_and_in_words(self, opened: Open, store: MemoryStore) -> None:
        store.upsert_items([new_item(ITEMS[100], "Fargo"), new_item(ITEMS[101], "Heat")], NOW)
        store.append([new_event("u", ITEMS[100], 1, 20.0, event_pb2.EVENT_TYPE_LIKE)])
        recent = (Interaction(ITEMS[101], event_pb2.EVENT_TYPE_VIEW, NOW - SECOND),)
        query = Query(user_id="u", recent=recent, recent_ids=("mine",), page_size=30, explain=True)
        async with opened() as parts:
            english = await recommend(query, soon(), parts)
            chinese = await recommend(
                Query(user_id="u", page_size=30, explain=True, context_json='{"locale": "zh-Hans-CN"}'), soon(), parts
            )
        found = {(r.event_id, r.item_id, r.text) for placed in english.placed for r in of_kind(placed, BEHAVIOUR)}
        assert found <= {
            ("u/1", ITEMS[100], "Because you liked Fargo"),
            ("u/1", ITEMS[100], "Although you liked Fargo"),
            ("mine", ITEMS[101], "Because you looked at Heat"),
            ("mine", ITEMS[101], "Although you looked at Heat"),
        }
        assert len(found) == 4
        for placed in english.placed:
            for reason in of_kind(placed, BEHAVIOUR):
                assert reason.text.startswith("Because" if reason.contribution >= 0.0 else "Although")
        texts = {r.text for placed in chinese.placed for r in of_kind(placed, BEHAVIOUR)}
        assert texts <= {"因为您喜欢《Fargo》", "尽管您喜欢《Fargo》"}

    async def test_what_an_item_shares_with_the_history_and_with_the_words_is_told(
        self, opened: Open, store: MemoryStore
    ) -> None:
        shared = new_item(ITEMS[0], "Alien", categories=["Horror", "Drama"], text="robots in space")
        shared.item.attributes.update({"director": "Scott", "length": 117})
        other = new_item(ITEMS[100], "Blade Runner", categories=["Drama"])
        other.item.attributes.update({"director": ["Scott", "Nobody"], "length": 117})
        store.upsert_items([shared, other], NOW)
        history(store, 1)
        query = Query(user_id="u", text="sad robots", candidate_item_ids=ITEMS[:2], explain=True)
        async with opened() as parts:
            slate = await recommend(query, soon(), parts)
        content = {p.item_id: of_kind(p, recommendation_pb2.REASON_KIND_CONTENT) for p in slate.placed}
        assert [reason.text for reason in content[ITEMS[0]]] == [
            "Has your words: robots",
            "Shares Drama, director: Scott with Blade Runner",
        ]
        assert content[ITEMS[0]][1][2:] == ("u/0", ITEMS[100], 0.0)
        assert content[ITEMS[1]] == []

    async def test_examples_promotions_chance_and_trend_are_reasons(
        self, opened: Open, store: MemoryStore, inference: ScriptedInference
    ) -> None:
        history(store, 1)
        inference.adds_bias = True
        async with opened() as parts:
            seeded = await recommend(Query(seed_item_ids=(ITEMS[7],), explain=True), soon(), parts)
            chance = await recommend(Query(exploration=1.0, explain=True), soon(), parts)
            parts.follower.trends.fold([Interaction(ITEMS[0], 3, NOW)] * 50)
            assert parts.releases.live is not None
            parts.releases.live.refresh(parts.follower.trends, NOW, NOW)
            trending = await recommend(Query(candidate_item_ids=ITEMS[:2], explain=True), soon(), parts)
        assert all(of_kind(p, QUERY)[0].item_id == ITEMS[7] for p in seeded.placed)
        assert of_kind(seeded.placed[0], QUERY)[0].text == f"Is like {ITEMS[7]}"
        assert all(p.reasons[0].kind == recommendation_pb2.REASON_KIND_POLICY for p in chance.placed)
        trends = {p.item_id: of_kind(p, recommendation_pb2.REASON_KIND_TREND) for p in trending.placed}
        assert trends[ITEMS[0]][0].contribution > 1.0
        assert trends[ITEMS[1]] == []

    async def test_what_cannot_be_had_is_said_and_the_rest_is_told(
        self, opened: Open, store: MemoryStore, inference: ReadsHistories
    ) -> None:
        store.upsert_items([new_item(ITEMS[0], categories=["War"]), new_item(ITEMS[100], categories=["War"])], NOW)
        history(store, 1)
        async with opened() as parts:
            inference.fails = inference_errors.Unavailable("gone")
            unscored = await recommend(Query(user_id="u", explain=True), soon(), parts)
            inference.error = inference_errors.Unavailable("gone")
            trending = await recommend(Query(user_id="u", explain=True, page_size=150), soon(), parts)
        assert unscored.freshness.release == 1
        assert [text.partition(":")[0] for text in unscored.degraded] == ["explain"]
        assert unscored.placed[0].reasons[0].text == f"Shares War with {ITEMS[100]}"
        assert "explain" in [text.partition(":")[0] for text in trending.degraded]
        by_item = {placed.item_id: [reason.text for reason in placed.reasons] for placed in trending.placed}
        # By trend an item has a part in what its category has.
        assert by_item[ITEMS[0]] == ["Is trending now", f"Shares War with {ITEMS[100]}"]
        assert by_item[ITEMS[1]] == ["Is one of the newest"]


@pytest.mark.usefixtures("live_release")
class TestTraces:
    async def test_a_trace_says_of_each_named_item_why_it_is_not_there(self, opened: Open, store: MemoryStore) -> None:
        history(store, 1)
        store.hide_items([ITEMS[1]], "moderated", NOW)
        query = Query(
            user_id="u",
            candidate_item_ids=(*ITEMS[:5], ITEMS[100], "nothing"),
            exclude_item_ids=(ITEMS[2],),
            filter=f"NOT item_id = {ITEMS[3]}",
            page_size=1,
            trace=True,
        )
        async with opened() as parts:
            slate = await recommend(query, soon(), parts)
        assert len(slate.placed) == 1
        best = slate.placed[0].item_id
        assert caused(slate) == {
            "seen": (ITEMS[100],),
            "hidden": (ITEMS[1],),
            "excluded": (ITEMS[2],),
            "filter": (ITEMS[3],),
            "rank": tuple(item_id for item_id in (ITEMS[0], ITEMS[4]) if item_id != best),
            "unknown": ("nothing",),
        }

    async def test_every_item_of_the_catalogue_is_in_the_slate_or_has_a_cause(self, opened: Open) -> None:
        async with opened() as parts:
            slate = await recommend(Query(trace=True), soon(), parts)
        assert slate.trace is not None
        assert sum(one.number for one in slate.trace.left_out) + len(slate.placed) == len(ITEMS)
        assert slate.trace.candidates_by_source == {"SOURCE_USER": 100}
        assert caused(slate)["rank"] == ITEMS[10:30]
        assert [stage for stage, _ in slate.trace.stages] == [
            *("catch up", "read the user", "aim", "score and decide", "trace"),
        ]

    async def test_the_causes_of_many_items_are_those_of_each(self, opened: Open, store: MemoryStore) -> None:
        history(store, 3)
        store.hide_items([ITEMS[1], ITEMS[100]], "moderated", NOW)
        query = Query(
            user_id="u",
            exclude_item_ids=tuple(ITEMS[1:4]),
            filter=" AND ".join(f"NOT item_id = {item_id}" for item_id in (ITEMS[3], ITEMS[9], ITEMS[101])),
        )
        async with opened() as parts:
            user = await read_user(parts.users, query, parts.releases.live, True, 100, 1.0)
            aim = Aim(narrowed=parts.filters.narrow(query.filter))
            showable = replace(bounds(user, aim, query, parts), placed=frozenset(ITEMS[9:12]))
            found = showable.causes([*ITEMS, "nothing"])
        expected: dict[str, set[str]] = {why: set() for why in found}
        for item_id in [*ITEMS, "nothing"]:
            expected[showable.cause(item_id)].add(item_id)
        assert found == expected
        assert {why for why, some in found.items() if some} == {"", "seen", "excluded", "hidden", "filter", "placed"}

    async def test_events_that_counted_and_those_that_did_not_are_named(self, opened: Open, store: MemoryStore) -> None:
        history(store, 10)
        store.append([new_event("u", "unknown item", 50, 1.0), new_event("u", ITEMS[5], 51, 1.0, 1)])
        async with opened() as parts:
            trace = (await recommend(Query(user_id="u", trace=True), soon(), parts)).trace
        assert trace is not None
        # A history of eight: older events, an unknown item and an impression are no part of it.
        assert trace.used_event_ids == tuple(f"u/{n}" for n in range(2, 10))
        assert trace.unused_event_ids == ("u/0", "u/1", "u/50", "u/51")

    async def test_an_answer_without_a_trace_tells_nothing(self, opened: Open) -> None:
        async with opened() as parts:
            slate = await recommend(Query(), soon(), parts)
        assert slate.trace is None
        assert not any(placed.reasons for placed in slate.placed)

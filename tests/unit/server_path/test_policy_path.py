"""Business rules, caps and the share of new items on the request path over a scripted model, which likes item-000 best"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from recency.v1 import item_pb2, recommendation_pb2
from recency_inference import errors as inference_errors
from recency_server.parts import Parts
from recency_server.people import PeopleConfig
from recency_server.policy_config import PolicyConfig
from recency_server.promotion import Promotion
from recency_server.query import Deadline, Query, Slate
from recency_server.recommend import recommend
from recency_server.rules import RulesError
from recency_store.memory import MemoryStore
from recency_store.records import NewItem

from .conftest import DIGEST, ITEMS, NOW, SECOND, Open, ScriptedInference, new_event, new_item, until

pytestmark = pytest.mark.usefixtures("live_release")
Write = Callable[..., PolicyConfig]


async def slate_of(parts: Parts, **fields: object) -> Slate:
    return await recommend(Query(user_id="u", **fields), Deadline.after(2.0), parts)


def ids(slate: Slate) -> list[str]:
    return [placed.item_id for placed in slate.placed]


def _refused_more_than(parts: Parts, refusals: int) -> bool:
    return parts.counters.rule_refusals > refusals


@pytest.fixture
def rules(tmp_path: Path) -> Write:
    """Writes rules, each as the lines after its name, and gives the configuration that reads them."""

    def write(*said: str) -> PolicyConfig:
        text = "".join(f'[[rule]]\nname = "rule {number}"\n{lines}\n' for number, lines in enumerate(said, 1))
        (tmp_path / "rules.toml").write_text(text)
        return PolicyConfig(rules=tmp_path / "rules.toml", rules_seconds=0.02)

    return write


async def test_what_a_rule_excludes_is_in_no_answer(
    opened: Open, rules: Write, inference: ScriptedInference, store: MemoryStore
) -> None:
    gone = {ITEMS[0], ITEMS[2], ITEMS[11]}
    policy = rules("exclude = 'item_id = (item-000 OR item-002 OR item-011)'")
    async with opened(policy=policy) as parts:
        plain = await slate_of(parts)
        assert ids(plain) == [i for i in ITEMS if i not in gone][:10]
        assert ids(await slate_of(parts, page_size=500)) == [i for i in ITEMS if i not in gone]
        assert ids(await slate_of(parts, candidate_item_ids=(ITEMS[2], ITEMS[3]))) == [ITEMS[3]]
        assert ids(await slate_of(parts, filter="item_id < item-003")) == [ITEMS[1]]
        promoted = await slate_of(parts, promotions=(Promotion("p", "item_id = item-011 OR item_id = item-012", 1.0),))
        assert [p.item_id for p in promoted.placed if p.promotion] == [ITEMS[12]]
        inference.error = inference_errors.Unavailable("no Triton")
        fallback = await slate_of(parts, page_size=500)
        assert fallback.degraded
        assert set(ids(fallback)) == set(ITEMS) - gone


async def test_rules_change_while_the_gateway_serves_and_a_broken_file_changes_nothing(
    opened: Open, rules: Write, store: MemoryStore, tmp_path: Path
) -> None:
    policy = rules("exclude = 'item_id = item-000'")
    async with opened(policy=policy) as parts:
        assert ids(await slate_of(parts))[0] == ITEMS[1]
        rules("exclude = 'item_id = item-001'")
        await until(lambda: parts.counters.rule_loads == 2)
        assert ids(await slate_of(parts))[:2] == [ITEMS[0], ITEMS[2]]
        for broken, said in (
            (("exclude = 'item_id = ('",), "rules.toml:3:23: rule 'rule 1': exclude: "),
            (("exclude = 'nothing = 1'",), "no item has an attribute of this name"),
            (('pin = "a"', 'pin = "b"'), "pins to place 1"),
        ):
            refusals = parts.counters.rule_refusals
            rules(*broken)
            await until(partial(_refused_more_than, parts, refusals))
            assert said in parts.rules.facts()["problems"][0]
            assert ids(await slate_of(parts))[:2] == [ITEMS[0], ITEMS[2]]
        os.unlink(tmp_path / "rules.toml")
        rules()
        await until(lambda: not parts.rules.problems)
        assert ids(await slate_of(parts))[:2] == [ITEMS[0], ITEMS[1]]
        # Written by a thread, a moment after the rules are in force.
        await until(lambda: len(store.audit(20, action="rules")) == 3)
    assert len(store.audit(20, action="rules-refused")) >= 3
    newest = store.audit(1, action="rules")[0]
    assert newest.reason.endswith(": no rules")
    assert newest.actor.endswith(" at gateway-1")


async def test_a_gateway_that_cannot_know_its_rules_does_not_start(opened: Open, rules: Write, tmp_path: Path) -> None:
    policy = rules("exclude = '('")
    with pytest.raises(RulesError, match=r"rules.toml:3:13: rule 'rule 1': exclude"):
        async with opened(policy=policy):
            pass
    (tmp_path / "rules.toml").unlink()
    with pytest.raises(RulesError, match="cannot be read"):
        async with opened(policy=policy):
            pass


async def test_a_boost_and_a_bury_move_what_they_are_about_and_not_its_chance(
    opened: Open, rules: Write, inference: ScriptedInference
) -> None:
    inference.adds_bias = True
    async with opened() as parts:
        plain = await slate_of(parts, page_size=150)
    policy = rules("boost = 'item_id = item-149'\nby = 15", "bury = 'item_id < item-003'\nby = 20")
    async with opened(policy=policy) as parts:
        lifted = await slate_of(parts, page_size=150)
    assert ids(lifted) == [ITEMS[149], *ITEMS[3:149], *ITEMS[:3]]
    chance_of = {p.item_id: p.probability for p in plain.placed}
    for placed in lifted.placed:
        assert placed.probability == pytest.approx(chance_of[placed.item_id], rel=1e-4)


async def test_boosts_and_buries_hold_in_the_fallback_too(
    opened: Open, rules: Write, store: MemoryStore, inference: ScriptedInference
) -> None:
    store.append([new_event("v", ITEMS[5], n) for n in range(3)])
    policy = rules("boost = 'item_id = item-007'\nby = 3", "bury = 'item_id = item-005'\nby = 9")
    async with opened(policy=policy) as parts:
        inference.error = inference_errors.Unavailable("no Triton")
        slate = await slate_of(parts, page_size=150)
    assert ids(slate)[0] == ITEMS[7]
    assert ids(slate)[-1] == ITEMS[5]


async def test_a_pinned_item_stands_at_its_place_on_its_page(opened: Open, rules: Write, store: MemoryStore) -> None:
    policy = rules('pin = "item-120"\nplace = 2', 'pin = "item-003"\nplace = 13', 'pin = "item-009"\nplace = 1')
    async with opened(policy=policy) as parts:
        first = await slate_of(parts, page_size=10, request_digest=b"12345678")
        assert ids(first) == [ITEMS[9], ITEMS[120], *ITEMS[:3], *ITEMS[4:9]]
        assert [(p.promotion, p.source) for p in first.placed[:3]] == [
            ("rule 3", recommendation_pb2.SOURCE_PROMOTION),
            ("rule 1", recommendation_pb2.SOURCE_PROMOTION),
            ("", recommendation_pb2.SOURCE_USER),
        ]
        assert first.placed[1].score == pytest.approx(4.0 - 12.0, abs=1e-3)
        from recency_server.paging import decode_page

        second = await slate_of(parts, page_size=10, page=decode_page(first.next_page_token))
        assert ids(second) == [ITEMS[10], ITEMS[11], ITEMS[3], *ITEMS[12:19]]
        named = await slate_of(parts, candidate_item_ids=(ITEMS[5], ITEMS[3], ITEMS[120]))
        assert ids(named) == [ITEMS[3], ITEMS[120], ITEMS[5]]


async def test_a_pin_opens_no_door(opened: Open, rules: Write, store: MemoryStore) -> None:
    store.hide_items([ITEMS[50]], "bad", NOW)
    store.append([new_event("u", ITEMS[51], 1)])
    policy = rules(
        'pin = "item-050"\nplace = 1',
        'pin = "item-051"\nplace = 2',
        'pin = "never heard of"\nplace = 3',
        'pin = "item-060"\nplace = 4',
        'pin = "item-061"\nplace = 5\nuntil = 2020-01-01',
    )
    async with opened(policy=policy) as parts:
        slate = await slate_of(parts)
        assert ids(slate) == [*ITEMS[:3], ITEMS[60], *ITEMS[3:9]]
        assert ids(await slate_of(parts, exclude_item_ids=(ITEMS[60],))) == list(ITEMS[:10])
        assert ids(await slate_of(parts, filter="item_id < item-010")) == list(ITEMS[:10])
        assert ids(await slate_of(parts, include_seen=True))[1] == ITEMS[51]


async def test_a_pin_stands_without_a_model_and_for_an_item_that_just_came(
    opened: Open, rules: Write, store: MemoryStore, inference: ScriptedInference
) -> None:
    store.upsert_items([new_item("unread")], NOW)
    policy = rules('pin = "unread"\nplace = 1', 'pin = "item-060"\nplace = 2')
    async with opened(policy=policy) as parts:
        slate = await slate_of(parts)
        assert ids(slate)[:3] == ["unread", ITEMS[60], ITEMS[0]]
        assert {p.promotion for p in slate.placed[:2]} == {"rule 1", "rule 2"}
        inference.error = inference_errors.Unavailable("no Triton")
        degraded = await slate_of(parts)
        assert ids(degraded)[:2] == ["unread", ITEMS[60]]
        assert degraded.placed[0].probability is None


@pytest.fixture
def kinds(store: MemoryStore) -> None:
    """Every item but those from 100 on is of category A, and those at 100 and 101 are of one provider."""

    def item(number: int, item_id: str) -> NewItem:
        categories = ["A"] if number < 100 else ["B"] if number < 140 else []
        return NewItem(
            item_pb2.Item(item_id=item_id, categories=categories, provider="p" if number in (100, 101) else "")
        )

    store.upsert_items([item(number, item_id) for number, item_id in enumerate(ITEMS)], NOW - 7200 * SECOND)


@pytest.mark.usefixtures("kinds")
@pytest.mark.parametrize(
    "asked", [{}, {"diversity": 0.5}, {"exploration": 0.5}, {"diversity": 0.3, "exploration": 0.3}]
)
async def test_caps_hold_and_a_slate_that_they_leave_short_says_so(opened: Open, asked: dict[str, float]) -> None:
    async with opened(policy=PolicyConfig(category_cap=3, provider_cap=1)) as parts:
        slate = await slate_of(parts, **asked)
        numbers = [ITEMS.index(item_id) for item_id in ids(slate)]
        assert len(numbers) == 10
        assert sum(n < 100 for n in numbers) == sum(100 <= n < 140 for n in numbers) == 3
        assert sum(n in (100, 101) for n in numbers) <= 1
        assert slate.degraded == ()
        short = await slate_of(parts, page_size=20, **asked)
        assert len(ids(short)) == 16
        [said] = short.degraded
        assert said.startswith(
            "caps: 16 of 20 places; no more items fit beside what is full (categories 'A', categories 'B'"
        )


@pytest.mark.usefixtures("kinds")
async def test_caps_count_what_is_pinned_and_promoted(opened: Open, rules: Write) -> None:
    from dataclasses import replace

    policy = replace(rules('pin = "item-050"\nplace = 4', 'pin = "item-051"\nplace = 5'), category_cap=3)
    async with opened(policy=policy) as parts:
        slate = await slate_of(parts)
        assert [i for i in ids(slate) if i < "item-100"] == [ITEMS[0], ITEMS[50], ITEMS[51]]
        assert ids(slate)[3:5] == [ITEMS[50], ITEMS[51]]


async def test_new_items_get_their_share_and_the_rest_keeps_its_order(opened: Open, store: MemoryStore) -> None:
    old = NOW - 30 * 86_400 * SECOND
    store.delete_items(ITEMS, old)
    store.upsert_items([new_item(item_id) for item_id in ITEMS], old)
    vector = b"\0" * 16
    new = [NewItem(item_pb2.Item(item_id=f"new-{n}"), vector, DIGEST) for n in range(5)]
    async with opened(policy=PolicyConfig(fresh_share=0.2)) as parts:
        assert ids(await slate_of(parts)) == list(ITEMS[:10])
        store.upsert_items(new, NOW)
        slate = await slate_of(parts)
        fresh = [p for p in slate.placed if p.item_id.startswith("new-")]
        assert [p.item_id for p in fresh] == ["new-0", "new-1"]
        assert {p.source for p in fresh} == {recommendation_pb2.SOURCE_NEW}
        assert [i for i in ids(slate) if i in ITEMS] == list(ITEMS[:8])
        assert (parts.counters.places, parts.counters.fresh_places, parts.counters.fresh_given) == (20, 2, 2)
        assert ids(await slate_of(parts, filter="item_id < new-0")) == list(ITEMS[:10])
        named = await slate_of(parts, candidate_item_ids=(ITEMS[1], ITEMS[0]))
        assert ids(named) == [ITEMS[0], ITEMS[1]]
    async with opened(gateway_id="g2", policy=PolicyConfig(fresh_share=0.05)) as parts:
        given = [sum(i.startswith("new-") for i in ids(await slate_of(parts))) for _ in range(60)]
    assert set(given) == {0, 1}
    assert 15 < sum(given) < 45


async def test_an_item_is_as_old_as_its_availability(opened: Open, store: MemoryStore) -> None:
    old = NOW - 30 * 86_400 * SECOND
    store.delete_items(ITEMS, old)
    store.upsert_items([new_item(item_id) for item_id in ITEMS], old)
    # Stored today, with the dates that they had elsewhere.
    dated = item_pb2.Item(item_id=ITEMS[60])
    dated.available_from.FromMicroseconds(old)
    store.delete_items([ITEMS[60], ITEMS[61]], NOW)
    store.upsert_items([NewItem(dated), new_item(ITEMS[61])], NOW)
    async with opened(policy=PolicyConfig(fresh_share=0.2)) as parts:
        slate = await slate_of(parts)
        assert [p.item_id for p in slate.placed if p.source == recommendation_pb2.SOURCE_NEW] == [ITEMS[61]]


async def test_without_a_model_a_new_item_of_a_trending_category_comes_before_one_of_another(
    opened: Open, store: MemoryStore, inference: ScriptedInference
) -> None:
    made = {"hot": ["A"], "cold": ["B"], "hot and new": ["A"], "cold and newer": ["B"]}
    for number, (item_id, categories) in enumerate(made.items()):
        store.upsert_items([NewItem(item_pb2.Item(item_id=item_id, categories=categories))], NOW + number)
    store.append([new_event("v", "hot", n) for n in range(4)] + [new_event("v", "cold", 9)])
    async with opened() as parts:
        inference.error = inference_errors.Unavailable("no Triton")
        slate = await slate_of(parts, page_size=4)
        within = await slate_of(parts, filter="categories:B")
    assert ids(slate) == ["hot", "hot and new", "cold", "cold and newer"]
    assert ids(within) == ["cold", "cold and newer"]


async def test_a_pin_does_not_lift_a_maturity_limit(opened: Open, rules: Write, store: MemoryStore) -> None:
    store.upsert_items([NewItem(item_pb2.Item(item_id=ITEMS[60], maturity=50))], NOW)
    policy = rules('pin = "item-060"\nplace = 1', 'pin = "item-061"\nplace = 2')
    async with opened(policy=policy, people=PeopleConfig(maturity_limit=18)) as parts:
        assert ids(await slate_of(parts))[:3] == [ITEMS[0], ITEMS[61], ITEMS[1]]
    async with opened(gateway_id="g2", policy=policy) as parts:
        assert ids(await slate_of(parts))[:3] == [ITEMS[60], ITEMS[61], ITEMS[0]]

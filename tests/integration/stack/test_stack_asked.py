"""What a request may say, over the whole stack: any kind of value in a filter, words in any script, and what is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from served_stack import ServedStack

from recency import InvalidArgument, Item, Promotion, Recency, Source
from recency_server.paging import decode_page, encode_page

USER = "1"
NOW = datetime.now(UTC)
SCRIPTS = (
    "a heist that goes wrong", "ограбление, которое пошло не так", "μια ληστεία που πάει στραβά", "一场出了差错的劫案",
    "失敗に終わる強盗", "잘못된 강도 사건", "سرقة تسوء", "שוד שהשתבש", "एक डकैती जो गलत हो गई", "একটি ডাকাতি", "ஒரு கொள்ளை",
    "ఒక దోపిడీ", "ഒരു കൊള്ള", "ಒಂದು ದರೋಡೆ", "ਇੱਕ ਡਕੈਤੀ", "การปล้นที่ผิดพลาด", "የተሳሳተ ዝርፊያ", "ձախողված կողոպուտ",
    "ჩაშლილი ძარცვა", "ការប្លន់", "𝒂 𝒉𝒆𝒊𝒔𝒕 🎬",
)  # fmt: skip


def _refused(client: Recency, **asked: Any) -> list[tuple[str, str]]:
    with pytest.raises(InvalidArgument) as error:
        client.recommend(USER, **asked)
    return [(violation.field, violation.description) for violation in error.value.violations]


@pytest.fixture(scope="module")
def goods(stack: ServedStack) -> Iterator[None]:
    """Three things that are no films, with values of every kind; one has a text where the others have a number."""
    common: dict[str, Any] = {"categories": ["Goods"], "provider": "Acme"}
    items = [
        Item(
            item_id="goods-1",
            title="A lamp",
            attributes={"sizes": [38, 1234567, 0.1], "stock": 3, "price": 9.5, "new": True},
        ),
        Item(item_id="goods-2", title="A chair", attributes={"sizes": ["S", "M"], "stock": 0, "price": "on request"}),
        Item(
            item_id="goods-3",
            title="A table",
            attributes={"stock": 12, "price": 250},
            available_until=NOW + timedelta(days=9),
        ),
    ]
    with Recency(stack.here.address) as client:
        client.upsert_items([replace(item, **common) for item in items])
        yield
        client.delete_items([item.item_id for item in items])


def test_the_filter_of_the_interface_contract_means_what_it_says_of_films(here: Recency) -> None:
    slate = here.recommend(USER, filter='genres:"Comedy" AND release_year >= 1990 AND NOT item_id = "1"', view="ITEMS")
    assert len(slate.recommendations) == 10
    for place in slate.recommendations:
        assert place.item is not None
        assert "Comedy" in place.item.attributes["genres"]
        assert place.item.attributes["release_year"] >= 1990
        assert place.item_id != "1"


@pytest.mark.usefixtures("goods")
@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("stock > 0", "13"),
        ("sizes:38", "1"),
        ("sizes:1234567 sizes:0.1", "1"),
        ("sizes:(S OR 38)", "12"),
        ("price >= 100", "3"),
        ('price = "on request"', "2"),
        ("price != 9.5", "23"),
        ("new = true", "1"),
        ("NOT new:*", "23"),
        (f'create_time > "{(NOW - timedelta(days=1)).isoformat()}"', "123"),
        (f'available_until > "{NOW.isoformat()}"', "3"),
        ("provider = Acme AND (title:lamp OR title:TABLE) AND -stock = 3", "3"),
    ],
)
def test_every_kind_of_value_is_compared_as_what_it_is(there: Recency, text: str, numbers: str) -> None:
    slate = there.recommend(USER, filter=f"categories:Goods AND ({text})")
    assert sorted(slate.item_ids) == [f"goods-{number}" for number in numbers]


@pytest.mark.usefixtures("goods")
def test_what_is_sold_out_is_out_of_the_next_answer_of_either_gateway(here: Recency, there: Recency) -> None:
    lamp = here.get_item("goods-1")
    in_stock = 'provider = "Acme" AND stock > 0'
    assert "goods-1" in there.recommend(USER, filter=in_stock).item_ids
    here.upsert_items([replace(lamp, attributes={**lamp.attributes, "stock": 0})])
    assert there.recommend(USER, filter=in_stock).item_ids == ("goods-3",)
    there.upsert_items([replace(lamp, available_until=NOW - timedelta(seconds=1))])
    assert "goods-1" not in here.recommend(USER, filter='provider = "Acme"').item_ids
    there.upsert_items([lamp])


def test_a_filter_of_one_in_a_hundred_is_filled_with_what_the_user_would_be_shown_last(here: Recency) -> None:
    everything = here.recommend(USER, page_size=500, include_seen=True).item_ids
    last = sorted(everything[-2:])
    few = " OR ".join(f'item_id = "{item_id}"' for item_id in last)
    assert sorted(here.recommend(USER, filter=few, page_size=2, include_seen=True).item_ids) == last
    kinds = Counter(kind for film in here.list_items() if film.item_id in everything for kind in film.categories)
    for kind, films in kinds.items():
        slate = here.recommend(USER, filter=f'categories:"{kind}"', page_size=20, include_seen=True)
        assert len(slate.recommendations) == min(20, films), kind


def test_what_cannot_be_asked_is_refused_by_its_field_and_validate_only_says_the_same(
    stack: ServedStack, here: Recency
) -> None:
    first = here.recommend(USER, page_size=3)
    page = decode_page(first.next_page_token)
    assert page is not None
    with stack.folder.opened() as store:
        before = store.last_sequence()
        for field, asked in (
            ("filter", {"filter": "  genre:Drama"}),
            ("filter", {"filter": "(release_year > 1990"}),
            ("filter", {"filter": 'release_year > "old"'}),
            ("filter", {"filter": "genres = Drama"}),
            ("promotions", {"promotions": [Promotion("a", "", 0.7), Promotion("b", "", 0.7)]}),
            ("promotions[0].filter", {"promotions": [Promotion("a", "nothing = 1", 0.7)]}),
            ("query", {"query": "x" * 1_000_000}),
            ("query", {"query": "a film\x00\x1b[31m"}),
            ("page_token", {"page_size": 3, "page_token": "forged"}),
            ("page_token", {"page_size": 3, "page_token": first.next_page_token[:-1]}),
            ("page_token", {"page_size": 3, "page_token": encode_page(replace(page, after="a-slate-long-gone"))}),
            ("page_token", {"page_size": 3, "diversity": 0.5, "page_token": first.next_page_token}),
            ("negative_item_ids[0]", {"seed_item_ids": ["50"], "negative_item_ids": ["50"]}),
            ("labels[page_of]", {"labels": {"page_of": first.recommendation_id}}),
            ("diversity", {"diversity": 1.5}),
            ("max_staleness", {"max_staleness": timedelta(seconds=-1)}),
        ):
            refused = _refused(here, **asked)
            assert [name for name, _ in refused] == [field]
            assert _refused(here, **asked, validate_only=True) == refused
        assert store.last_sequence() == before
    assert _refused(here, filter="  genre:Drama")[0][1].startswith("at character 2: no item has an attribute")
    assert here.recommend(USER, page_size=3, page_token=first.next_page_token, validate_only=True).item_ids == ()


def test_words_are_read_in_every_script(here: Recency) -> None:
    plain = here.recommend(USER).item_ids
    for words in SCRIPTS:
        slate = here.recommend(USER, query=words, query_weight=0.9)
        assert not slate.degraded, (words, slate.degraded_reason)
        assert len(slate.recommendations) == 10
        assert {place.source for place in slate.recommendations} == {Source.QUERY}
    assert here.recommend(USER, query=SCRIPTS[0], query_weight=0.9).item_ids != plain
    assert here.recommend(USER, query="\n a heist\tthat goes wrong\r\n", query_weight=0.9).item_ids != plain


def test_each_item_says_where_it_came_from(here: Recency, film_ids: list[str]) -> None:
    for asked, source in (
        ({}, Source.USER),
        ({"seed_item_ids": film_ids[:1]}, Source.SEED),
        ({"query": "a heist"}, Source.QUERY),
        ({"candidate_item_ids": film_ids[:30]}, Source.CANDIDATE),
    ):
        slate = here.recommend(USER, trace=True, include_seen=True, **asked)
        assert {place.source for place in slate.recommendations} == {source}
        assert slate.trace is not None
        assert slate.trace.candidates_by_source[f"SOURCE_{source.name}"] >= 10


def test_an_order_that_is_steered_and_chosen_from_far_down_still_tells_each_chance(here: Recency) -> None:
    common = {"query": "a funny film about war", "include_seen": True}
    for asked in ({"exploration": 1.0}, {"diversity": 1.0}, {"filter": "NOT genres:Drama", "page_size": 40}):
        slate = here.recommend(USER, **common, **asked)
        assert not slate.degraded
        assert all(place.probability is not None for place in slate.recommendations)

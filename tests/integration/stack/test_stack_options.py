"""What a caller may ask of a slate, over the whole stack: filters, examples, pages, promotions, difference, chance."""

from __future__ import annotations

import pytest

from recency import InvalidArgument, Promotion, Recency

USER = "1"


@pytest.fixture
def client(here: Recency) -> Recency:
    return here


def _ids(slate) -> list[str]:
    return [place.item_id for place in slate.recommendations]


def _categories(client, slate) -> list[list[str]]:
    return [list(client.get_item(item_id).categories) for item_id in _ids(slate)]


def test_a_filter_that_lets_few_through_still_fills_the_slate(client):
    slate = client.recommend(USER, filter='categories:"War" AND release_year >= 1950', page_size=5, include_seen=True)
    assert len(slate.recommendations) == 5
    for item_id in _ids(slate):
        item = client.get_item(item_id)
        assert "War" in item.categories
        assert item.attributes["release_year"] >= 1950


def test_a_filter_that_lets_most_through_leaves_the_rest_out(client):
    plain = client.recommend(USER, page_size=40)
    slate = client.recommend(USER, filter="NOT categories:Drama", page_size=40)
    assert len(slate.recommendations) == 40
    assert not any("Drama" in categories for categories in _categories(client, slate))
    kept = [item_id for item_id in _ids(plain) if item_id in _ids(slate)]
    assert kept == [item_id for item_id in _ids(slate) if item_id in kept]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("genre:Drama", "at character 0: no item has an attribute of this name"),
        ("release_year > old", "at character 15: is compared with a number"),
        ("(release_year > 1990", "at character 20: the filter ends where a closing parenthesis"),
    ],
)
def test_a_filter_that_cannot_be_meant_is_refused_at_its_character(client, text, said):
    for validate_only in (False, True):
        with pytest.raises(InvalidArgument, match="filter") as error:
            client.recommend(USER, filter=text, validate_only=validate_only)
        assert said in str(error.value)


def test_pages_never_repeat_and_reflect_what_happened_in_between(client):
    first = client.recommend(USER, page_size=10)
    second = client.recommend(USER, page_size=10, page_token=first.next_page_token)
    third = client.recommend(USER, page_size=10, page_token=second.next_page_token)
    seen = [*_ids(first), *_ids(second), *_ids(third)]
    assert len(set(seen)) == 30
    assert seen == _ids(client.recommend(USER, page_size=30))
    with pytest.raises(InvalidArgument, match="page_token"):
        client.recommend("2", page_size=10, page_token=first.next_page_token)
    with pytest.raises(InvalidArgument, match="page_token"):
        client.recommend(USER, page_size=10, page_token=first.next_page_token[:-2] + "AA")


def test_seeds_pull_and_negatives_push(client):
    seed = _ids(client.recommend(USER, page_size=1, filter='categories:"Animation"', include_seen=True))[0]
    towards = client.recommend("", page_size=20, seed_item_ids=[seed])
    away = client.recommend("", page_size=20, negative_item_ids=[seed])
    assert seed not in _ids(towards) + _ids(away)
    wanted = set(client.get_item(seed).categories)

    def alike(slate) -> int:
        return sum(bool(wanted & set(categories)) for categories in _categories(client, slate))

    assert alike(towards) > alike(away)
    assert client.recommend("", seed_item_ids=["nothing of this name"]).missing_item_ids == ("nothing of this name",)


def test_a_promotion_has_its_share_and_its_name(client):
    promotions = [Promotion("horror week", 'categories:"Horror"', 0.3)]
    slate = client.recommend(USER, page_size=10, promotions=promotions, include_seen=True)
    promoted = [place for place in slate.recommendations if place.promotion]
    assert [place.promotion for place in promoted] == ["horror week"] * 3
    assert all("Horror" in client.get_item(place.item_id).categories for place in promoted)
    assert len(set(_ids(slate))) == 10
    with pytest.raises(InvalidArgument, match="promotions"):
        client.recommend(USER, promotions=[Promotion("a", "", 0.7), Promotion("b", "", 0.7)])


def test_a_diverse_slate_differs_more_and_keeps_its_best(client):
    plain, diverse = client.recommend(USER, page_size=10), client.recommend(USER, page_size=10, diversity=0.7)
    assert _ids(plain)[0] == _ids(diverse)[0]
    assert _ids(plain) != _ids(diverse)

    def kinds(slate) -> int:
        return len({category for categories in _categories(client, slate) for category in categories})

    assert kinds(diverse) >= kinds(plain)


def test_exploration_tells_the_chance_of_each_place(client):
    certain = client.recommend(USER, page_size=10)
    assert all(place.propensity is None for place in certain.recommendations)
    slates = [client.recommend(USER, page_size=10, exploration=0.5) for _ in range(20)]
    assert len({tuple(_ids(slate)) for slate in slates}) > 1
    for slate in slates:
        assert len(set(_ids(slate))) == 10
        assert all(0.0 < place.propensity <= 1.0 for place in slate.recommendations)

"""What filters mean, and what they say where they cannot mean anything."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from recency.v1 import item_pb2
from recency_server.attributes import Attributes
from recency_server.filter_text import FilterError, parse_filter
from recency_server.filters import Filters

FILMS: list[dict[str, Any]] = [
    {
        "item_id": "1",
        "create_time": "2020-01-01T00:00:00Z",
        "title": "Toy Story",
        "categories": ["Animation", "Comedy"],
        "attributes": {"release_year": 1995, "colour": True},
    },
    {
        "item_id": "2",
        "title": "Jaws",
        "categories": ["Thriller"],
        "attributes": {"release_year": 1975, "studio": "Universal", "rating": 8},
    },
    {
        "item_id": "3",
        "title": "Star Wars",
        "categories": ["Sci Fi", "War"],
        "attributes": {"release_year": 1977, "tags": ["space", 7, 1234567], "rating": "unrated"},
    },
    {
        "item_id": "4",
        "title": "Metropolis",
        "maturity": 12,
        "attributes": {"colour": False},
        "create_time": "2024-05-01T12:00:00Z",
    },
]


def _item(fields: dict[str, Any]) -> item_pb2.Item:
    return json_format.ParseDict(fields, item_pb2.Item())


@pytest.fixture
def attributes() -> Attributes:
    attributes = Attributes()
    for film in FILMS:
        attributes.put(film["item_id"], _item(film))
    return attributes


def _ids(attributes: Attributes, text: str) -> str:
    mask = Filters(attributes).mask(text)
    return "".join(attributes.item_ids[row] for row in mask.nonzero()[0])


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("", "1234"),
        ('categories:"Comedy"', "1"),
        ("categories:comedy", "1"),
        ("NOT categories:Comedy", "234"),
        ("-categories:Comedy", "234"),
        ("categories:(Comedy OR War)", "13"),
        ("categories:(Animation AND NOT Comedy)", ""),
        ("release_year >= 1977", "13"),
        ("release_year > 1975 AND release_year < 1990", "3"),
        ("release_year < 1980 categories:War OR categories:Thriller", "23"),
        ('NOT item_id = "1"', "234"),
        ("item_id != 1", "234"),
        ('title = "Star*"', "3"),
        ('title:"wars"', "3"),
        ("jaws", "2"),
        ("colour = true", "1"),
        ("colour = false", "4"),
        ("studio:*", "2"),
        ("NOT studio:*", "134"),
        ("tags:space", "3"),
        ("tags:7", "3"),
        ("attributes.studio = Universal", "2"),
        ('create_time >= "2024-05-01T00:00:00Z"', "4"),
        ("create_time < 2024-01-01", "1"),
        ("create_time >= 2024-05-01T12:00:00Z", "4"),
        ("create_time < 2024-05-01T14:00:00.5+02:00 OR maturity = 12", "14"),
        ("(create_time > 2024-05-01T11:59)", "4"),
        ("maturity <= 10", "123"),
        ("release_year:1995", "1"),
        ("tags:7.0", "3"),
        ("tags:1234567", "3"),
        ("provider = Acme", ""),
        ("NOT provider:Acme", "1234"),
        ('available_until > "2024-05-01"', ""),
        ("rating >= 7", "2"),
        ("rating = 8", "2"),
        ("rating = unrated", "3"),
        ("rating != 8", "134"),
        ("rating > m", "3"),
    ],
)
def test_a_filter_lets_through_what_it_says(attributes, text, ids):
    assert _ids(attributes, text) == ids


@pytest.mark.parametrize(
    ("text", "position", "reason"),
    [
        ("relese_year > 3", 0, "did you mean release_year"),
        ("release_year > soon", 15, "is compared with a number; 'soon' is none"),
        ("colour = blue", 9, "true or false"),
        ("create_time > yesterday", 14, "is compared with a time"),
        ("categories = Comedy", 0, "it is a list; ask whether it holds something by `:`"),
        ("(title = Jaws", 13, "the filter ends where a closing parenthesis"),
        ("title = Jaws)", 12, "stands where nothing more is expected"),
        ('title = "Jaws', 8, "a quote that is not closed"),
        ("title ==Jaws", 7, "'=' stands where"),
        ("a = 1 AND", 9, "the filter ends"),
        ("(" * 40 + "jaws" + ")" * 40, 32, "nests deeper than 32"),
    ],
)
def test_what_cannot_be_meant_points_at_the_character(attributes, text, position, reason):
    with pytest.raises(FilterError, match=r".") as error:
        _ids(attributes, text)
    assert reason in error.value.reason
    assert error.value.position == position


def test_filters_follow_the_catalogue(attributes):
    filters = Filters(attributes)
    assert filters.mask("release_year < 1980").sum() == 2
    attributes.put("2", _item({**FILMS[1], "attributes": {"release_year": 2001}}))
    attributes.put("3", None)
    assert filters.mask("release_year < 1980").sum() == 0
    assert _ids(attributes, "") == "124"
    for gone in ("pages > 3", "rating:*", "tags:space"):
        with pytest.raises(FilterError, match="no item has an attribute"):
            filters.mask(gone)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_with_a_place(text):
    refused: FilterError | None = None
    try:
        parse_filter(text)
    except FilterError as error:
        refused = error
    assert refused is None or 0 <= refused.position <= len(text)

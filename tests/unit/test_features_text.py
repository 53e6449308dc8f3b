"""Item → text → tokens."""

from __future__ import annotations

import numpy as np
import pytest

from recency.v1 import item_pb2, user_pb2
from recency_features.golden import GoldenCase, read_golden, write_golden
from recency_features.overlay import MAX_TREND_BIAS, project, trend_bias
from recency_features.text import MAX_TEXT_CHARACTERS, item_text, user_text
from recency_features.tokens import read_tokens


def test_what_tells_most_comes_first():
    item = item_pb2.Item(item_id="1", title=" Heat ", text="A thief and a detective.", categories=["Crime", "Drama"])
    item.attributes.update(
        {"release_year": 1995, "cast": ["Pacino", "De Niro"], "colour": True, "silent": False, "": None}
    )
    assert item_text(item) == (
        "Heat. Crime, Drama. cast: Pacino, De Niro. colour: yes. release year: 1995. A thief and a detective."
    )


def test_categories_that_stand_among_the_attributes_too_are_read_once():
    item = item_pb2.Item(title="Heat", categories=["Crime", "Drama"])
    plain = item_text(item)
    item.attributes.update({"genres": ["Crime", "Drama"]})
    assert item_text(item) == plain
    item.attributes.update({"genres": ["Crime"]})
    assert item_text(item) == "Heat. Crime, Drama. genres: Crime"


def test_an_empty_item_has_no_text_and_a_long_one_is_cut():
    assert item_text(item_pb2.Item(item_id="1")) == ""
    assert len(item_text(item_pb2.Item(title="x" * 1_000_000))) == MAX_TEXT_CHARACTERS


def test_the_order_in_which_attributes_were_set_does_not_matter():
    one, other = item_pb2.Item(), item_pb2.Item()
    one.attributes.update({"a": 1, "b": "x"})
    other.attributes.update({"b": "x"})
    other.attributes.update({"a": 1})
    assert item_text(one) == item_text(other)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "film": 5, "new": 6}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.enable_padding(length=7)
    path = tmp_path_factory.mktemp("tokens") / "tokenizer.json"
    tokenizer.save(str(path))
    return read_tokens(path)


def test_tokens_are_padded_behind_to_a_bucket(tokens):
    ids, mask = tokens.encode(["new film", "film", ""])
    assert ids.shape == mask.shape == (3, 16)
    assert ids[0, :3].tolist() == [6, 5, 0]
    assert mask.sum(axis=1).tolist() == [2, 1, 0]
    assert (ids.dtype, mask.dtype) == (np.int64, np.int64)
    assert tokens.encode(["film " * 17])[0].shape == (1, 32)
    assert tokens.encode(["film " * 5_000])[0].shape == (1, 128)


def test_golden_cases_read_back_equal(tmp_path):
    case = GoldenCase((("a", 3, 1.5),), ("b",), (0.1,), ("c",), (2.5,), ("d", "e"), (0.5, -1.0))
    write_golden(tmp_path / "golden.json", [case, case])
    assert read_golden(tmp_path / "golden.json") == [case, case]


def test_a_trend_bias_is_zero_without_change_and_bounded_in_a_burst():
    trained = np.array([[1, 2, 3], [0, 0, 0]], dtype=np.float32)
    assert (trend_bias(trained, trained, 1.0) == 0).all()
    burst = trend_bias(trained + 1e9, trained, 1.0)
    assert (burst == MAX_TREND_BIAS).all()
    assert burst.dtype == np.float32


def test_a_projection_keeps_rows_apart():
    projection = np.arange(6, dtype=np.float32).reshape(3, 2)
    texts = np.eye(3, dtype=np.float32)
    np.testing.assert_array_equal(project(texts, projection), projection)


def test_a_user_is_told_by_their_words_first_and_then_by_their_attributes():
    user = user_pb2.User(user_id="u")
    assert user_text(user) == ""
    user.attributes.update({"occupation": "technician", "age": 24, "favourite_genres": ["War", "Drama"]})
    assert user_text(user) == "age: 24. favourite genres: War, Drama. occupation: technician"
    user.attributes["profile"] = "24-year-old technician"
    del user.attributes["age"]
    assert user_text(user) == "24-year-old technician. favourite genres: War, Drama. occupation: technician"

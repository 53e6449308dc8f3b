"""Consistency tokens and page tokens: what is made is read back, what is not is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recency_server.consistency import decode_token, encode_token
from recency_server.pages import decode_page, encode_page


@given(st.integers(0, 2**63 - 1))
def test_a_consistency_token_gives_its_sequence_back(sequence: int) -> None:
    assert decode_token(encode_token(sequence)) == sequence


@given(st.text(max_size=40))
def test_no_text_breaks_the_reading_of_tokens(text: str) -> None:
    assert decode_token(text) is None
    assert decode_page("items", text) is None


@given(st.integers(0, 2**63 - 1), st.integers(0, 17), st.characters(codec="ascii"))
def test_a_token_with_one_other_character_is_refused(sequence: int, place: int, other: str) -> None:
    token = encode_token(sequence)
    garbled = token[:place] + other + token[place + 1 :]
    assert garbled == token or decode_token(garbled) is None


@pytest.mark.parametrize("change", [lambda t: t + "=", lambda t: t[:-1], lambda t: " " + t, lambda t: t.lower() + "A"])
def test_a_token_of_another_length_is_refused(change) -> None:  # type: ignore[no-untyped-def]
    assert decode_token(change(encode_token(7))) is None


@given(st.text(max_size=60))
def test_a_page_token_gives_the_last_id_back_to_its_own_list_alone(last: str) -> None:
    token = encode_page("items", last)
    assert decode_page("items", token) == last
    assert decode_page("releases", token) is None

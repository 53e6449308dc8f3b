"""What an item has in common with others, and with words: categories, attributes, provider, words. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from google.protobuf import struct_pb2

from recency.v1 import item_pb2

# What is said of one likeness is short.
_MOST = 3
_WORD = re.compile(r"\w+")
# Scripts that are written without spaces: there, two characters are what a word is elsewhere.
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")
# English words that are in everything.
_EMPTY = frozenset(
    _WORD.findall(
        "a about all an and any are as at be but by can do for from get give good had has have he her him his how i if in"
        " into is it its like me more my new no not of on one or our out she show so some something than that the their them"
        " then they this to up us want was we were what when where which who will with would you your"
    )
)


def traits(item: item_pb2.Item) -> list[str]:
    """What an item is: its categories, its attributes that are texts (`name: value`), its provider."""
    found = list(item.categories)
    for name in sorted(item.attributes.fields):
        texts = [text for text in _texts(item.attributes.fields[name]) if text not in item.categories]
        found += [f"{name.replace('_', ' ')}: {text}" for text in texts]
    return [*found, item.provider] if item.provider else found


def shared_traits(item: item_pb2.Item, other: item_pb2.Item) -> list[str]:
    """What two items both are, in the order of the first."""
    theirs = set(traits(other))
    return [trait for trait in dict.fromkeys(traits(item)) if trait in theirs][:_MOST]


def shared_words(item: item_pb2.Item, text: str) -> list[str]:
    """The words of a text that the item has too, in lower case."""
    own = set(_words(" ".join([item.title, item.text, *traits(item)])))
    return [word for word in dict.fromkeys(_words(text)) if word in own][:_MOST]


def _words(text: str) -> Iterator[str]:
    for match in _WORD.finditer(text.casefold()):
        word = match.group()
        if _UNSPACED.search(word):
            yield from (word[at : at + 2] for at in range(max(1, len(word) - 1)))
        elif word not in _EMPTY:
            yield word


def _texts(value: struct_pb2.Value) -> list[str]:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return [value.string_value] if value.string_value else []
    if kind == "list_value":
        return [text for inner in value.list_value.values for text in _texts(inner)]
    return []

"""An item, or a user → the text that the language model reads. A stored text vector is of this text."""

from __future__ import annotations

from google.protobuf import struct_pb2

from recency.v1 import item_pb2, user_pb2

# What is past this is not read: the encoder stops at 128 tokens, and a megabyte must not cost a tokenizer's time.
MAX_TEXT_CHARACTERS = 4_096
# The attribute of a user that describes them in words.
PROFILE = "profile"


def item_text(item: item_pb2.Item) -> str:
    """Title, categories, attributes, text, in this order: what tells most comes before the token limit."""
    categories = ", ".join(item.categories)
    # Many catalogues have their categories among the attributes too, by a name of their own: said once is enough.
    parts = [item.title.strip(), categories, *_named(item.attributes, said=categories)]
    parts.append(item.text.strip())
    return ". ".join(part for part in parts if part)[:MAX_TEXT_CHARACTERS]


def user_text(user: user_pb2.User) -> str:
    """Who a user is, by their attributes: the words of the one named `profile` as they are, then the others by name."""
    fields = user.attributes.fields
    # Indexing a map of messages would make the entry.
    words = _value_text(fields[PROFILE]) if PROFILE in fields else ""
    return ". ".join(part for part in (words, *_named(user.attributes, PROFILE)) if part)[:MAX_TEXT_CHARACTERS]


def _named(attributes: struct_pb2.Struct, but: str = "", said: str = "") -> list[str]:
    """`name: value` of each attribute that has a text which is not `said` already, in the order of their names."""
    texts = ((name, _value_text(attributes.fields[name])) for name in sorted(attributes.fields) if name != but)
    return [f"{name.replace('_', ' ')}: {text}" for name, text in texts if text and text != said]


def _value_text(value: struct_pb2.Value) -> str:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return value.string_value.strip()
    if kind == "number_value":
        return f"{value.number_value:g}"
    if kind == "bool_value":
        return "yes" if value.bool_value else ""
    if kind == "list_value":
        return ", ".join(text for v in value.list_value.values if (text := _value_text(v)))
    return ""

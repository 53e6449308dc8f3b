"""An item → the text that the language model reads. One function: a stored text vector is of this text."""

from __future__ import annotations

from google.protobuf import struct_pb2

from recency.v1 import item_pb2

# What is past this is not read: the encoder stops at 128 tokens, and a megabyte must not cost a tokenizer's time.
MAX_TEXT_CHARACTERS = 4_096


def item_text(item: item_pb2.Item) -> str:
    """Title, categories, attributes, text, in this order: what tells most comes before the token limit."""
    parts = [item.title.strip()]
    if item.categories:
        parts.append(", ".join(item.categories))
    for name in sorted(item.attributes.fields):
        value = _value_text(item.attributes.fields[name])
        if value:
            parts.append(f"{name.replace('_', ' ')}: {value}")
    parts.append(item.text.strip())
    return ". ".join(part for part in parts if part)[:MAX_TEXT_CHARACTERS]


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

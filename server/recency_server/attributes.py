"""What the catalogue's items are, column by column, as filters ask for it.

A column holds what items have under one name: numbers (times and booleans too) in an array, texts in an index from text to
rows, elements of lists in an index of their own. An item's row stays its own while the gateway runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf import struct_pb2, timestamp_pb2

from recency.v1 import item_pb2

Mask = npt.NDArray[np.bool_]
_ROOM = 1_024
# Up to here a float tells whole numbers apart.
_EXACT = 2.0**53
# Attributes that every item has by the API, whether or not any item of this catalogue uses them.
TIMES = ("create_time", "update_time", "available_from", "available_until")
TEXTS = ("item_id", "title", "provider")
LISTS = ("categories",)
NUMBERS = ("maturity",)
_OWN = {"time": TIMES, "text": TEXTS, "list": LISTS, "number": NUMBERS}


@dataclass
class Column:
    """One attribute's values. `kinds` counts the values of each kind, so that a comparison that fits none is an error;
    `declared` is the kind that the API gives it, whether or not any item has a value.
    """

    number_R: npt.NDArray[np.float64] = field(default_factory=lambda: np.full(_ROOM, np.nan))
    rows_of_text: dict[str, set[int]] = field(default_factory=dict)
    rows_of_element: dict[str, set[int]] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)
    declared: str = ""

    def put(self, row: int, kind: str, value: Any, sign: int) -> None:
        """Adds (sign 1) or takes back (-1) an item's value."""
        self.kinds[kind] = self.kinds.get(kind, 0) + sign
        if kind == "text":
            _index(self.rows_of_text, value, row, sign)
        elif kind == "list":
            for element in value:
                _index(self.rows_of_element, element, row, sign)
        else:
            if row >= len(self.number_R):
                more = np.full(max(len(self.number_R), row + 1 - len(self.number_R)), np.nan)
                self.number_R = np.concatenate([self.number_R, more])
            self.number_R[row] = value if sign > 0 else np.nan

    def has(self, kind: str) -> bool:
        """Whether some item has a value of the kind, or could by the API."""
        return kind == self.declared or self.kinds.get(kind, 0) > 0

    @property
    def used(self) -> bool:
        """Whether a filter may name it: an attribute that no item has any more is none."""
        return bool(self.declared) or any(self.kinds.values())


class Attributes:
    """The columns of the whole catalogue, followed as its items change."""

    def __init__(self) -> None:
        self.item_ids: list[str] = []
        self.row_of: dict[str, int] = {}
        # Grows with every change: what was made of the columns knows when it is out of date.
        self.version = 0
        self.columns: dict[str, Column] = {
            name: Column(declared=kind) for kind, names in _OWN.items() for name in names
        }
        self._there_R: Mask = np.zeros(_ROOM, dtype=bool)
        # Row → its values, to take them back when the item changes.
        self._values: dict[int, list[tuple[str, str, Any]]] = {}

    def put(self, item_id: str, item: item_pb2.Item | None) -> None:
        """Takes in a new state of an item, None where it was deleted."""
        row = self.row_of.setdefault(item_id, len(self.item_ids))
        if row == len(self.item_ids):
            self.item_ids.append(item_id)
            if row >= len(self._there_R):
                self._there_R = np.concatenate([self._there_R, np.zeros_like(self._there_R)])
        for name, kind, value in self._values.pop(row, ()):
            self.columns[name].put(row, kind, value, -1)
        self._there_R[row] = item is not None
        if item is not None:
            self._values[row] = values = list(_values(item))
            for name, kind, value in values:
                self.columns.setdefault(name, Column()).put(row, kind, value, 1)
        self.version += 1

    def texts_of(self, item_id: str, name: str) -> tuple[str, ...]:
        """The texts that an item has under a name, those of a list too."""
        row = self.row_of.get(item_id, -1)
        found = [(kind, value) for own, kind, value in self._values.get(row, ()) if own == name]
        lists = [value for kind, value in found if kind == "list"]
        return tuple(value for kind, value in found if kind == "text") + tuple(
            text for texts in lists for text in texts
        )

    def rows_with(self, name: str, text: str) -> Set[int]:
        """The rows of the items that have a text under a name, alone or in a list."""
        column = self.columns.get(name)
        if column is None:
            return frozenset()
        nothing: Set[int] = frozenset()
        alone, listed = column.rows_of_text.get(text, nothing), column.rows_of_element.get(text, nothing)
        return alone | listed if alone and listed else alone or listed

    @property
    def there_R(self) -> Mask:
        """Which rows are items now (deleted ones keep their rows)."""
        return self._there_R[: len(self.item_ids)]

    def names(self) -> list[str]:
        """Every attribute that a filter may name."""
        return sorted(name for name, column in self.columns.items() if column.used)


def values_of(item: item_pb2.Item) -> Iterator[tuple[str, str]]:
    """(attribute, text) of one item; each element of a list for itself, times left out."""
    for name, kind, value in _values(item):
        if kind == "list":
            yield from ((name, element) for element in value)
        elif kind != "time":
            yield name, element_text(kind, value)


def _values(item: item_pb2.Item) -> Iterator[tuple[str, str, Any]]:
    """(attribute, kind, value) of one item. An attribute of the caller's never hides one of the API's own."""
    yield "item_id", "text", item.item_id
    yield "maturity", "number", float(item.maturity)
    for name in ("title", "provider"):
        if getattr(item, name):
            yield name, "text", getattr(item, name)
    if item.categories:
        yield "categories", "list", tuple(item.categories)
    for name in TIMES:
        if item.HasField(name):
            yield name, "time", micros(getattr(item, name))
    for name, value in item.attributes.fields.items():
        if name not in (*TIMES, *TEXTS, *LISTS, *NUMBERS):
            yield from ((name, kind, plain) for kind, plain in _plain(value))


def _plain(value: struct_pb2.Value) -> Iterator[tuple[str, Any]]:
    kind = value.WhichOneof("kind")
    if kind == "number_value":
        yield "number", value.number_value
    elif kind == "bool_value":
        yield "boolean", float(value.bool_value)
    elif kind == "string_value":
        yield "text", value.string_value
    elif kind == "list_value":
        elements = [element for inner in value.list_value.values for element in _plain(inner)]
        yield "list", tuple(element_text(kind, plain) for kind, plain in elements)


def element_text(kind: str, value: Any) -> str:
    """How an element of a list is indexed."""
    if kind == "boolean":
        return "true" if value else "false"
    return number_text(value) if kind == "number" else str(value)


def number_text(value: float) -> str:
    """The shortest writing that reads as the same number: 7, 0.5, 1234567."""
    return str(int(value)) if value.is_integer() and abs(value) < _EXACT else repr(value)


def micros(time: timestamp_pb2.Timestamp) -> float:
    """A time as the columns hold it: microseconds since 1970, exact in a float64 up to the year 2255."""
    return float(time.seconds * 1_000_000 + time.nanos // 1_000)


def _index(rows_of: dict[str, set[int]], text: str, row: int, sign: int) -> None:
    if sign > 0:
        rows_of.setdefault(text, set()).add(row)
        return
    rows = rows_of[text]
    rows.discard(row)
    if not rows:
        del rows_of[text]

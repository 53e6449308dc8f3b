"""The catalogue as this gateway has followed it: who may be shown, and how new what it knows is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from google.protobuf import timestamp_pb2

from recency_server.attributes import Attributes
from recency_store.records import StoredItem

_FOREVER = 1 << 62


class Entry(NamedTuple):
    """What the request path needs of one item. A deleted item has none."""

    visible: bool
    from_micros: int
    until_micros: int
    create_micros: int

    @property
    def since_micros(self) -> int:
        """Since when there has been something to show: a catalogue that is imported with its dates is as old as they say."""
        return self.from_micros or self.create_micros

    def shown_at(self, now_micros: int) -> bool:
        """Whether an answer may hold it at a time."""
        return self.visible and self.from_micros <= now_micros < self.until_micros

    @property
    def windowed(self) -> bool:
        """Whether time alone changes if it is shown."""
        return self.from_micros > 0 or self.until_micros < _FOREVER


class Catalog:
    """Every item that is not deleted, by id. Changes arrive in the order of their revisions."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        # Those that are not shown now, or not always: a trace looks at the whole catalogue.
        self._sometimes: dict[str, Entry] = {}
        self.attributes = Attributes()
        # Grows with every change, so that what was made from the catalogue knows when it is out of date.
        self.version = 0
        self.newest_micros: int | None = None

    def apply(self, items: Iterable[StoredItem]) -> None:
        """Takes in new states of items."""
        for item in items:
            self.attributes.put(item.item_id, None if item.deleted else item.item())
            self._sometimes.pop(item.item_id, None)
            if item.deleted:
                self.entries.pop(item.item_id, None)
            else:
                entry = self.entries[item.item_id] = _entry(item)
                if entry.windowed or not entry.visible:
                    self._sometimes[item.item_id] = entry
            self.version += 1
            if self.newest_micros is None or item.update_micros > self.newest_micros:
                self.newest_micros = item.update_micros

    def shows(self, item_id: str, now_micros: int) -> bool:
        """Whether an answer may hold the item now."""
        entry = self.entries.get(item_id)
        return entry is not None and entry.shown_at(now_micros)

    def hidden(self, now_micros: int) -> set[str]:
        """The items that no answer may hold now. Safe in a thread."""
        return {item_id for item_id, entry in list(self._sometimes.items()) if not entry.shown_at(now_micros)}


def _entry(item: StoredItem) -> Entry:
    message = item.item()
    return Entry(
        visible=item.visible,
        from_micros=_micros(message.available_from) if message.HasField("available_from") else 0,
        until_micros=_micros(message.available_until) if message.HasField("available_until") else _FOREVER,
        create_micros=item.create_micros,
    )


def _micros(time: timestamp_pb2.Timestamp) -> int:
    return time.seconds * 1_000_000 + time.nanos // 1_000

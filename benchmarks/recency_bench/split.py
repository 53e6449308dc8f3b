"""The leave-one-out split: each user's last event is the test, everything before it is what a model may know."""

from __future__ import annotations

import random
from dataclasses import dataclass

from recency.v1 import item_pb2
from recency_features.events import rule
from recency_store.protocol import Store
from recency_store.records import LoggedEvent, NewItem

_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Split:
    """`known` in (time, sequence) order; `test` one event a user, in time order; the whole catalogue."""

    known: list[LoggedEvent]
    test: list[LoggedEvent]
    items: list[NewItem]

    def item_ids(self) -> list[str]:
        """The catalogue's ids."""
        return [new.item.item_id for new in self.items]


def leave_one_out(source: Store, *, max_cases: int = 5_000, seed: int = 0) -> Split:
    """Splits what a store holds. A user's last positive event is a test where an earlier positive one exists; with more
    users than `max_cases`, a sample of them is tested (the others' events are all known)."""
    items = catalogue(source)
    known_ids = {new.item.item_id for new in items}
    events = [e for e in source.scan_log() if e.item_id in known_ids]
    events.sort(key=lambda event: (event.time_micros, event.sequence))
    last: dict[str, LoggedEvent] = {}
    positives: dict[str, int] = {}
    for event in events:
        if rule(event.type).positive_weight:
            last[event.user_id] = event
            positives[event.user_id] = positives.get(event.user_id, 0) + 1
    users = sorted(user for user, count in positives.items() if count >= 2)
    if len(users) > max_cases:
        users = random.Random(seed).sample(users, max_cases)
    test = sorted((last[user] for user in users), key=lambda event: (event.time_micros, event.sequence))
    held_out = {event.sequence for event in test}
    return Split(known=[e for e in events if e.sequence not in held_out], test=test, items=items)


def catalogue(source: Store) -> list[NewItem]:
    """Every item of a store, with its text vector where it has one."""
    items: list[NewItem] = []
    after = ""
    while page := source.list_items(_PAGE, after):
        for stored in page:
            item = item_pb2.Item.FromString(stored.payload)
            items.append(NewItem(item, stored.text_vector, stored.text_encoder))
        after = page[-1].item_id
    return items

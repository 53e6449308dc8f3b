"""What changed after a position: events and items, merged by their numbers."""

from __future__ import annotations

import sqlite3

from recency_store.records import Changes
from recency_store.sqlite.event_log import read_log
from recency_store.sqlite.items import read_changed
from recency_store.sqlite.numbers import last_number


def changes(connection: sqlite3.Connection, after: int, limit: int) -> Changes:
    """Events and item changes after a position, within one snapshot."""
    last = last_number(connection)
    # One more than asked for of each tells whether there is more.
    events = read_log(connection, after, last, limit + 1)
    items = read_changed(connection, after, limit + 1)
    numbers = sorted([*(e.sequence for e in events), *(i.revision for i in items)])
    if len(numbers) <= limit:
        return Changes(tuple(events), tuple(items), max(after, last), more=False)
    through = numbers[limit - 1] if limit > 0 else after
    return Changes(
        events=tuple(e for e in events if e.sequence <= through),
        items=tuple(i for i in items if i.revision <= through),
        through=through,
        more=True,
    )

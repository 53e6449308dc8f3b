"""What changed after a position: events, items, users and rewrites, merged by their numbers."""

from __future__ import annotations

import sqlite3

from recency_store.records import Changes, Rewrite
from recency_store.sqlite import erasures, users
from recency_store.sqlite.event_log import read_log
from recency_store.sqlite.items import read_changed
from recency_store.sqlite.numbers import last_number


def changes(connection: sqlite3.Connection, after: int, limit: int) -> Changes:
    """All changes after a position, within one snapshot."""
    last = last_number(connection)
    # One more than asked for of each tells whether there is more.
    events = read_log(connection, after, last, limit + 1)
    items = read_changed(connection, after, limit + 1)
    rewrites = _rewrites(connection, after, limit + 1)
    people = users.read_changed(connection, after, limit + 1)
    erased = erasures.read_changed(connection, after, limit + 1)
    numbers = sorted(
        [
            *(e.sequence for e in events),
            *(i.revision for i in items),
            *(u.revision for u in people),
            *(e.number for e in erased),
            *(r.sequence for r in rewrites),
        ]
    )
    if len(numbers) <= limit:
        return Changes(
            tuple(events), tuple(items), max(after, last), False, tuple(people), tuple(erased), tuple(rewrites)
        )
    through = numbers[limit - 1] if limit > 0 else after
    return Changes(
        events=tuple(e for e in events if e.sequence <= through),
        items=tuple(i for i in items if i.revision <= through),
        through=through,
        more=True,
        users=tuple(u for u in people if u.revision <= through),
        erasures=tuple(e for e in erased if e.number <= through),
        rewrites=tuple(r for r in rewrites if r.sequence <= through),
    )


def last_rewrite(connection: sqlite3.Connection) -> int:
    """The number of the newest rewrite, 0 before the first."""
    return last_number(connection, "rewritten")


def _rewrites(connection: sqlite3.Connection, after: int, limit: int) -> list[Rewrite]:
    found = connection.execute(
        "SELECT sequence, user_id FROM rewrites WHERE sequence > ? ORDER BY sequence LIMIT ?", (after, max(0, limit))
    )
    return [Rewrite(*row) for row in found.fetchall()]

"""Erased people: their rows go, a tombstone and an entry of the audit log stay.

`secure_delete` is on in every connection that writes, so that what is deleted is overwritten with zeros; what the
write-ahead log still holds goes with the checkpoint that `Database.scrub` makes afterwards.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from recency_store.erasure import erasure_note
from recency_store.records import AuditEntry, Erasure, Micros
from recency_store.sqlite import audit
from recency_store.sqlite.numbers import last_number, take_numbers

_COLUMNS = "number, digest, time_micros, events, slates"
# The name of a user in tombstones.
DigestOf = Callable[[str], str]


def salt(connection: sqlite3.Connection) -> bytes:
    """What digests of users are salted with in this file."""
    value: bytes = connection.execute("SELECT value FROM secrets WHERE name = 'erasure'").fetchone()[0]
    return value


def erase(connection: sqlite3.Connection, user_id: str, digest_of: DigestOf, now_micros: Micros, actor: str) -> Erasure:
    """Erases a user within a write transaction, and what is still to come of the visitors that they were before."""
    digest = digest_of(user_id)
    visitors = connection.execute(
        "SELECT user_id, max(time_micros) FROM rewrites WHERE owner = ?1 AND user_id <> ?1"
        " GROUP BY user_id ORDER BY user_id",
        (user_id,),
    ).fetchall()
    gone = [close(connection, visitor, digest_of(visitor), through) for visitor, through in visitors]
    events = sum(count for count, _ in gone)
    slates = sum(count for _, count in gone)
    events += connection.execute("DELETE FROM events WHERE user_id = ?", (user_id,)).rowcount
    slates += connection.execute("DELETE FROM slates WHERE user_id = ?", (user_id,)).rowcount
    attributes = connection.execute("DELETE FROM users WHERE user_id = ?", (user_id,)).rowcount
    connection.execute("DELETE FROM rewrites WHERE owner = ?", (user_id,))
    earlier = find(connection, digest)
    if earlier is not None and not (events or slates or attributes):
        connection.execute(
            "UPDATE erasures SET time_micros = max(time_micros, ?) WHERE digest = ?", (now_micros, digest)
        )
        return earlier
    erasure = Erasure(take_numbers(connection, 1), digest, now_micros, events, slates)
    connection.execute(
        f"INSERT OR REPLACE INTO erasures ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)",
        (erasure.number, digest, now_micros, events, slates),
    )
    note = erasure_note(events, slates, attributes > 0, len(visitors))
    audit.put(connection, AuditEntry(erasure.number, now_micros, actor, "erase", digest, note))
    return erasure


def close(connection: sqlite3.Connection, user_id: str, digest: str, through_micros: Micros) -> tuple[int, int]:
    """Deletes what a user did up to a time, and leaves a tombstone that keeps out what comes of it later; answers how many
    events and slates there were."""
    upto = (user_id, through_micros)
    events = connection.execute("DELETE FROM events WHERE user_id = ? AND time_micros <= ?", upto).rowcount
    slates = connection.execute("DELETE FROM slates WHERE user_id = ? AND time_micros <= ?", upto).rowcount
    there = find(connection, digest)
    if not (events or slates) and there is not None and there.time_micros >= through_micros:
        return 0, 0
    connection.execute(
        f"INSERT INTO erasures ({_COLUMNS}) VALUES (?, ?, ?, ?, ?) ON CONFLICT (digest) DO UPDATE"
        " SET number = excluded.number, time_micros = max(time_micros, excluded.time_micros)",
        (take_numbers(connection, 1), digest, through_micros, events, slates),
    )
    return events, slates


def find(connection: sqlite3.Connection, digest: str) -> Erasure | None:
    """The newest erasure of a user."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM erasures WHERE digest = ?", (digest,)).fetchone()
    return None if row is None else Erasure(*row)


def any_erased(connection: sqlite3.Connection) -> bool:
    """Whether anybody was erased ever: where nobody was, nothing more needs to be looked up."""
    return connection.execute("SELECT 1 FROM erasures LIMIT 1").fetchone() is not None


def read_changed(connection: sqlite3.Connection, after: int, limit: int) -> list[Erasure]:
    """Erasures with number > `after`, in order; a limit of -1 is none."""
    found = connection.execute(
        f"SELECT {_COLUMNS} FROM erasures WHERE number > ? ORDER BY number LIMIT ?", (after, limit)
    )
    return [Erasure(*row) for row in found.fetchall()]


def unscrubbed(connection: sqlite3.Connection) -> int:
    """The newest erasure whose bytes may still lie in the write-ahead log; 0 for none."""
    newest: int = connection.execute("SELECT coalesce(max(number), 0) FROM erasures").fetchone()[0]
    return newest if newest > last_number(connection, "scrubbed") else 0


def note_scrubbed(connection: sqlite3.Connection, number: int) -> None:
    """Remembers within a write transaction up to which erasure nothing is left."""
    connection.execute("UPDATE counters SET value = max(value, ?) WHERE name = 'scrubbed'", (number,))

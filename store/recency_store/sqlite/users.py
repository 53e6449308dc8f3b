"""Users' attributes and consent, and joining two users to one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from recency.v1 import user_pb2
from recency_store.errors import StateChanged
from recency_store.records import Micros, StoredUser
from recency_store.rows import merged_user, trains, user_payload
from recency_store.sqlite import erasures
from recency_store.sqlite.numbers import last_number, take_numbers

_COLUMNS = "user_id, revision, payload, create_micros, update_micros, text_vector, text_encoder"


def put(
    connection: sqlite3.Connection,
    user: user_pb2.User,
    now_micros: Micros,
    text_vector: bytes,
    text_encoder: str,
    expected: int | None,
) -> int:
    """Stores a user within a write transaction; answers the change's number."""
    found = connection.execute("SELECT revision FROM users WHERE user_id = ?", (user.user_id,)).fetchone()
    if expected is not None and expected != (found[0] if found else 0):
        raise StateChanged("the user was stored by another call meanwhile; read them again")
    revision = take_numbers(connection, 1)
    connection.execute(
        f"INSERT INTO users ({_COLUMNS}, trains) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (user_id) DO UPDATE SET revision = excluded.revision, payload = excluded.payload,"
        " update_micros = excluded.update_micros, text_vector = excluded.text_vector,"
        " text_encoder = excluded.text_encoder, trains = excluded.trains",
        (user.user_id, revision, user_payload(user), now_micros, now_micros, text_vector, text_encoder, trains(user)),
    )
    return revision


def get(connection: sqlite3.Connection, user_id: str) -> StoredUser | None:
    """A user, where one was stored."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM users WHERE user_id = ?", (user_id,)).fetchone()
    return None if row is None else StoredUser(*row)


def read_changed(connection: sqlite3.Connection, after: int, limit: int) -> list[StoredUser]:
    """Users with revision > `after`, in order."""
    found = connection.execute(
        f"SELECT {_COLUMNS} FROM users WHERE revision > ? ORDER BY revision LIMIT ?", (after, max(0, limit))
    )
    return [StoredUser(*row) for row in found.fetchall()]


def not_training(connection: sqlite3.Connection) -> frozenset[str]:
    """Whose events may not train models."""
    return frozenset(row[0] for row in connection.execute("SELECT user_id FROM users WHERE trains = 0").fetchall())


def merge(
    connection: sqlite3.Connection, source_id: str, target_id: str, now_micros: Micros, digest_of: Callable[[str], str]
) -> tuple[int, int]:
    """Moves all that is kept of a user to another within a write transaction; answers (the change's number, events). What
    the visitor did before the user was erased goes, as it would if it came under the user's own name."""
    if source_id == target_id:
        return last_number(connection), 0
    erased = erasures.find(connection, digest_of(target_id))
    if erased is not None:
        erasures.close(connection, source_id, digest_of(source_id), erased.time_micros)
    both = (target_id, source_id)
    moved = connection.execute("UPDATE events SET user_id = ? WHERE user_id = ?", both).rowcount
    slates = connection.execute("UPDATE slates SET user_id = ? WHERE user_id = ?", both).rowcount
    source = get(connection, source_id)
    if not (moved or slates or source):
        return last_number(connection), 0
    if source is not None:
        merged = merged_user(source, get(connection, target_id), target_id)
        connection.execute("DELETE FROM users WHERE user_id = ?", (source_id,))
        connection.execute(
            f"INSERT OR REPLACE INTO users ({_COLUMNS}, trains) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(target_id, take_numbers(connection, 1), merged.payload, merged.create_micros, now_micros),
                *(merged.text_vector, merged.text_encoder, trains(merged.user())),
            ),
        )
    connection.execute("UPDATE rewrites SET owner = ? WHERE owner = ?", both)
    for user_id in (source_id, target_id):
        row = (take_numbers(connection, 1), user_id, target_id, now_micros)
        connection.execute("INSERT INTO rewrites (sequence, user_id, owner, time_micros) VALUES (?, ?, ?, ?)", row)
    number = last_number(connection)
    connection.execute("UPDATE counters SET value = ? WHERE name = 'rewritten'", (number,))
    return number, moved

"""Users' attributes and consent."""

from __future__ import annotations

import sqlite3

from recency.v1 import user_pb2
from recency_store.records import Micros, StoredUser
from recency_store.sqlite.numbers import take_numbers


def put(connection: sqlite3.Connection, user: user_pb2.User, now_micros: Micros) -> int:
    """Stores a user within a write transaction; answers the change's number."""
    revision = take_numbers(connection, 1)
    connection.execute(
        "INSERT INTO users (user_id, revision, payload, create_micros, update_micros) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (user_id) DO UPDATE SET"
        " revision = excluded.revision, payload = excluded.payload, update_micros = excluded.update_micros",
        (user.user_id, revision, user.SerializeToString(deterministic=True), now_micros, now_micros),
    )
    return revision


def get(connection: sqlite3.Connection, user_id: str) -> StoredUser | None:
    """A user, where one was stored."""
    row = connection.execute(
        "SELECT user_id, revision, payload, create_micros, update_micros FROM users WHERE user_id = ?", (user_id,)
    ).fetchone()
    return None if row is None else StoredUser(*row)

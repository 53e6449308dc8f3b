"""Answered slates, the newest of them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from recency_store.records import Micros, SlateRecord
from recency_store.sqlite import erasures

_COLUMNS = (
    "recommendation_id, user_id, time_micros, release, item_ids, labels, context_json, exploration, propensities, aimed"
)


def put(
    connection: sqlite3.Connection, slates: Sequence[SlateRecord], keep: int, digest_of: Callable[[str], str]
) -> None:
    """Keeps slates within a write transaction and drops the oldest past `keep`."""
    if erasures.any_erased(connection):
        slates = [slate for slate in slates if not _erased_since(connection, slate, digest_of)]
    connection.executemany(
        f"INSERT OR REPLACE INTO slates ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                slate.recommendation_id,
                slate.user_id,
                slate.time_micros,
                slate.release,
                json.dumps(slate.item_ids),
                json.dumps(dict(slate.labels)) if slate.labels else "{}",
                slate.context_json,
                slate.exploration,
                json.dumps(slate.propensities) if slate.propensities else "[]",
                slate.aimed,
            )
            for slate in slates
        ],
    )
    connection.execute("DELETE FROM slates WHERE position <= (SELECT max(position) FROM slates) - ?", (keep,))


def _erased_since(connection: sqlite3.Connection, slate: SlateRecord, digest_of: Callable[[str], str]) -> bool:
    erasure = erasures.find(connection, digest_of(slate.user_id))
    return erasure is not None and slate.time_micros <= erasure.time_micros


def get(connection: sqlite3.Connection, recommendation_id: str) -> SlateRecord | None:
    """One, while it is kept."""
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM slates WHERE recommendation_id = ?", (recommendation_id,)
    ).fetchone()
    return None if row is None else _record_of(row)


def explored(connection: sqlite3.Connection, after_micros: Micros, limit: int) -> list[SlateRecord]:
    """The newest ones with propensities that were answered after a time, in order."""
    found = connection.execute(
        f"SELECT {_COLUMNS} FROM slates WHERE propensities != '[]' AND time_micros > ? ORDER BY position DESC LIMIT ?",
        (after_micros, max(0, limit)),
    ).fetchall()
    return [_record_of(row) for row in reversed(found)]


def read_page(
    connection: sqlite3.Connection, after: int, since_micros: Micros, until_micros: Micros, limit: int
) -> tuple[list[SlateRecord], int]:
    """At most `limit` slates kept after a position and answered between two times, as they came, and the last position."""
    found = connection.execute(
        f"SELECT {_COLUMNS}, position FROM slates"
        " WHERE position > ? AND time_micros >= ? AND time_micros < ? ORDER BY position LIMIT ?",
        (after, since_micros, until_micros, limit),
    ).fetchall()
    return [_record_of(row[:-1]) for row in found], found[-1][-1] if found else after


def _record_of(row: tuple[Any, ...]) -> SlateRecord:
    key, user_id, micros, release, item_ids, labels, context_json, exploration, propensities, aimed = row
    return SlateRecord(
        key,
        user_id,
        micros,
        release,
        tuple(json.loads(item_ids)),
        json.loads(labels),
        context_json,
        exploration,
        tuple(json.loads(propensities)),
        bool(aimed),
    )


def of_user(connection: sqlite3.Connection, user_id: str) -> list[SlateRecord]:
    """All of a user's, oldest first."""
    found = connection.execute(f"SELECT {_COLUMNS} FROM slates WHERE user_id = ? ORDER BY position", (user_id,))
    return [_record_of(row) for row in found.fetchall()]

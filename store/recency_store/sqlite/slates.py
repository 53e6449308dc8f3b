"""Answered slates, the newest of them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from recency_store.records import SlateRecord


def put(connection: sqlite3.Connection, slates: Sequence[SlateRecord], keep: int) -> None:
    """Keeps slates within a write transaction and drops the oldest past `keep`."""
    connection.executemany(
        "INSERT OR REPLACE INTO slates (recommendation_id, user_id, time_micros, release, item_ids, labels, context_json)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (
                slate.recommendation_id,
                slate.user_id,
                slate.time_micros,
                slate.release,
                json.dumps(slate.item_ids),
                json.dumps(dict(slate.labels)) if slate.labels else "{}",
                slate.context_json,
            )
            for slate in slates
        ],
    )
    connection.execute("DELETE FROM slates WHERE position <= (SELECT max(position) FROM slates) - ?", (keep,))


def get(connection: sqlite3.Connection, recommendation_id: str) -> SlateRecord | None:
    """One, while it is kept."""
    row = connection.execute(
        "SELECT recommendation_id, user_id, time_micros, release, item_ids, labels, context_json FROM slates"
        " WHERE recommendation_id = ?",
        (recommendation_id,),
    ).fetchone()
    if row is None:
        return None
    key, user_id, time_micros, release, item_ids, labels, context_json = row
    return SlateRecord(
        key, user_id, time_micros, release, tuple(json.loads(item_ids)), json.loads(labels), context_json
    )

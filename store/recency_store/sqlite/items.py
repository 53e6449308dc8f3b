"""Items with their text vectors and tombstones; what is hidden goes into the audit log.

An item's row is keyed by its revision, so that every change moves it to the end and followers read in order.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from recency_store.records import AuditEntry, Micros, NewItem, StoredItem
from recency_store.rows import item_payload
from recency_store.sqlite import audit
from recency_store.sqlite.numbers import last_number, take_numbers

_COLUMNS = "item_id, revision, payload, text_vector, text_encoder, hidden_reason, deleted, create_micros, update_micros"
_ONE = f"SELECT {_COLUMNS} FROM items WHERE item_id = ?"


def upsert(connection: sqlite3.Connection, items: Sequence[NewItem], now_micros: Micros) -> int:
    """Stores items within a write transaction; answers the last number."""
    revision = take_numbers(connection, len(items)) - 1
    for new in items:
        revision += 1
        kept = _item(connection, new.item.item_id)
        connection.execute(
            f"INSERT OR REPLACE INTO items ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?)",
            (
                new.item.item_id,
                revision,
                item_payload(new.item),
                new.text_vector,
                new.text_encoder,
                kept.hidden_reason if kept else None,
                kept.create_micros if kept else now_micros,
                now_micros,
            ),
        )
    return revision


def set_text_vectors(
    connection: sqlite3.Connection, vectors: Sequence[tuple[str, int, bytes]], text_encoder: str
) -> int:
    """Writes vectors of items that still have the revision; answers how many."""
    return sum(
        connection.execute(
            "UPDATE items SET text_vector = ?, text_encoder = ? WHERE revision = ? AND item_id = ? AND deleted = 0",
            (vector, text_encoder, revision, item_id),
        ).rowcount
        for item_id, revision, vector in vectors
    )


def delete(connection: sqlite3.Connection, item_ids: Sequence[str], now_micros: Micros) -> tuple[int, list[str]]:
    """Makes tombstones, which hold nothing of the item but its id; answers (last number, ids not there)."""
    missing = []
    for item_id in dict.fromkeys(item_ids):
        if _item(connection, item_id) is None:
            missing.append(item_id)
            continue
        connection.execute(
            "UPDATE items SET revision = ?, payload = x'', text_vector = x'', text_encoder = '', hidden_reason = NULL,"
            " deleted = 1, update_micros = ? WHERE item_id = ?",
            (take_numbers(connection, 1), now_micros, item_id),
        )
    return last_number(connection), missing


def hide(
    connection: sqlite3.Connection,
    item_ids: Sequence[str],
    reason: str | None,
    now_micros: Micros,
    actor: str,
    why: str,
) -> tuple[int, list[str]]:
    """Hides, or shows again where `reason` is None, and records it; answers (last number, ids not there)."""
    action, recorded = ("unhide", why) if reason is None else ("hide", reason)
    missing = []
    for item_id in dict.fromkeys(item_ids):
        if _item(connection, item_id) is None:
            missing.append(item_id)
            continue
        revision = take_numbers(connection, 1)
        connection.execute(
            "UPDATE items SET revision = ?, hidden_reason = ?, update_micros = ? WHERE item_id = ?",
            (revision, reason, now_micros, item_id),
        )
        audit.put(connection, AuditEntry(revision, now_micros, actor, action, item_id, recorded))
    return last_number(connection), missing


def get(connection: sqlite3.Connection, item_ids: Sequence[str]) -> dict[str, StoredItem]:
    """The items that are there."""
    found = ((item_id, _item(connection, item_id)) for item_id in dict.fromkeys(item_ids))
    return {item_id: item for item_id, item in found if item is not None}


def list_after(connection: sqlite3.Connection, limit: int, after_id: str) -> list[StoredItem]:
    """Items in the order of their ids, from past `after_id` on."""
    found = connection.execute(
        f"SELECT {_COLUMNS} FROM items WHERE deleted = 0 AND item_id > ? ORDER BY item_id LIMIT ?",
        (after_id, max(0, limit)),
    )
    return [_item_of(row) for row in found.fetchall()]


def count(connection: sqlite3.Connection) -> int:
    """How many are there."""
    number: int = connection.execute("SELECT count(*) FROM items WHERE deleted = 0").fetchone()[0]
    return number


def read_changed(connection: sqlite3.Connection, after: int, limit: int) -> list[StoredItem]:
    """Items and tombstones with revision > `after`, in order."""
    found = connection.execute(
        f"SELECT {_COLUMNS} FROM items WHERE revision > ? ORDER BY revision LIMIT ?", (after, max(0, limit))
    )
    return [_item_of(row) for row in found.fetchall()]


def _item(connection: sqlite3.Connection, item_id: str) -> StoredItem | None:
    """The item, or None where there is none or only its tombstone."""
    row = connection.execute(_ONE, (item_id,)).fetchone()
    item = None if row is None else _item_of(row)
    return None if item is None or item.deleted else item


def _item_of(row: tuple[Any, ...]) -> StoredItem:
    item_id, revision, payload, vector, encoder, hidden_reason, deleted, created, updated = row
    return StoredItem(item_id, revision, payload, vector, encoder, hidden_reason, bool(deleted), created, updated)

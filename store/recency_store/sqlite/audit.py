"""The audit log of decisions. Its table refuses updates and deletes by itself (`schema.py`)."""

from __future__ import annotations

import sqlite3

from recency_store.records import AuditEntry, Micros
from recency_store.sqlite.numbers import take_numbers

_COLUMNS = "number, time_micros, actor, action, subject, reason"


def put(connection: sqlite3.Connection, entry: AuditEntry) -> None:
    """Appends an entry within a write transaction."""
    connection.execute(
        f"INSERT INTO audit ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",
        (entry.number, entry.time_micros, entry.actor, entry.action, entry.subject, entry.reason),
    )


def append(
    connection: sqlite3.Connection,
    action: str,
    subject: str,
    reason: str,
    now_micros: Micros,
    actor: str,
    unless_said: bool,
) -> int:
    """Appends an entry with a number of its own; with `unless_said` only what the newest one does not say already."""
    newest = read(connection, 1, action, subject) if unless_said else []
    if newest and newest[0].reason == reason:
        return newest[0].number
    number = take_numbers(connection, 1)
    put(connection, AuditEntry(number, now_micros, actor, action, subject, reason))
    return number


def read(connection: sqlite3.Connection, limit: int, action: str, subject: str) -> list[AuditEntry]:
    """The newest entries, newest first; of an action or about a subject where they are not empty."""
    found = connection.execute(
        f"SELECT {_COLUMNS} FROM audit WHERE (?1 = '' OR action = ?1) AND (?2 = '' OR subject = ?2)"
        " ORDER BY number DESC LIMIT ?3",
        (action, subject, max(0, limit)),
    )
    return [AuditEntry(*row) for row in found.fetchall()]

"""The review queue: which reports nobody has decided on. It is read out of the log, so that it can say nothing else."""

from __future__ import annotations

import sqlite3

from recency_store.errors import NothingToReview
from recency_store.records import AuditEntry, Micros, Review
from recency_store.rows import report_reason
from recency_store.sqlite import audit, items
from recency_store.sqlite.numbers import last_number, take_numbers

# 15 is REPORT: a number in the text, so that the index of reports serves.
_OPEN = """FROM events AS e LEFT JOIN reviewed AS r ON r.item_id = e.item_id
    WHERE e.type = 15 AND e.retracts = '' AND e.sequence > coalesce(r.through, 0)
    AND NOT EXISTS (
        SELECT 1 FROM events AS b WHERE b.retracts <> '' AND b.retracts = e.event_id AND b.user_id = e.user_id
    )"""


def open_reviews(connection: sqlite3.Connection, limit: int) -> list[Review]:
    """Items with open reports, those that most users reported first."""
    found = connection.execute(
        "SELECT e.item_id, count(*), count(DISTINCT e.user_id) AS users, min(e.time_micros), max(e.time_micros),"
        f" max(e.sequence) AS newest {_OPEN} GROUP BY e.item_id ORDER BY users DESC, newest DESC LIMIT ?",
        (max(0, limit),),
    ).fetchall()
    return [
        Review(item_id, reports, users, first, newest, _reason(connection, through), through)
        for item_id, reports, users, first, newest, through in found
    ]


def resolve(
    connection: sqlite3.Connection,
    item_id: str,
    reason: str,
    now_micros: Micros,
    hide: bool,
    through: int | None,
    actor: str,
) -> int:
    """Closes an item's reports up to a sequence, within a write transaction; answers the audit entry's number."""
    last = last_number(connection) if through is None else through
    here = (item_id, last)
    if connection.execute(f"SELECT 1 {_OPEN} AND e.item_id = ? AND e.sequence <= ? LIMIT 1", here).fetchone() is None:
        raise NothingToReview(f"{item_id}: nobody has reported it since it was last looked at; list the reviews")
    connection.execute("INSERT OR REPLACE INTO reviewed (item_id, through) VALUES (?, ?)", here)
    if hide:
        items.hide(connection, [item_id], reason, now_micros, actor, "")
    number = take_numbers(connection, 1)
    action = "review-hide" if hide else "review-keep"
    audit.put(connection, AuditEntry(number, now_micros, actor, action, item_id, reason))
    return number


def _reason(connection: sqlite3.Connection, sequence: int) -> str:
    return report_reason(connection.execute("SELECT payload FROM events WHERE sequence = ?", (sequence,)).fetchone()[0])

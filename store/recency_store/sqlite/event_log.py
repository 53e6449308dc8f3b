"""The event log: appended to in transactions, read by user and by sequence."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Sequence

from recency_store.records import Appended, Erasure, LoggedEvent, Micros
from recency_store.rows import EventRow
from recency_store.sqlite import erasures
from recency_store.sqlite.numbers import MAX_NUMBER, last_number, take_numbers

_COLUMNS = "sequence, event_id, user_id, item_id, type, time_micros, value, payload, retracts"
_INSERT = f"INSERT INTO events ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
# Ids looked up by one statement: always as many parameters, so that it is compiled once.
_IDS_A_LOOKUP = 256
_LOOKUP = f"SELECT event_id, sequence FROM events WHERE event_id IN ({', '.join('?' * _IDS_A_LOOKUP)})"
# Fewer ids than this are looked up one by one.
_FEW_IDS = 16


def append(connection: sqlite3.Connection, rows: Sequence[EventRow], digest_of: Callable[[str], str]) -> list[Appended]:
    """Appends within a write transaction; one answer a row."""
    sequence_of = _known(connection, [row[0] for row in rows])
    erased = _erased(connection, {row[1] for row in rows}, digest_of)
    next_sequence = first = last_number(connection) + 1
    new = []
    answers = []
    for row in rows:
        known = sequence_of.get(row[0])
        if known is not None:
            answers.append(Appended(known, True))
            continue
        if row[1] in erased and row[4] <= erased[row[1]].time_micros:
            answers.append(Appended(erased[row[1]].number, duplicate=False, erased=True))
            continue
        sequence_of[row[0]] = next_sequence
        new.append((next_sequence, *row))
        answers.append(Appended(next_sequence, False))
        next_sequence += 1
    if new:
        connection.executemany(_INSERT, new)
        take_numbers(connection, next_sequence - first)
    return answers


def _known(connection: sqlite3.Connection, event_ids: Sequence[str]) -> dict[str, int]:
    """The sequences of the ids that are in the log."""
    known: dict[str, int] = {}
    if len(event_ids) < _FEW_IDS:
        for event_id in event_ids:
            found = connection.execute("SELECT sequence FROM events WHERE event_id = ?", (event_id,)).fetchone()
            if found is not None:
                known[event_id] = found[0]
        return known
    for start in range(0, len(event_ids), _IDS_A_LOOKUP):
        ids = event_ids[start : start + _IDS_A_LOOKUP]
        padded = (*ids, *(ids[-1],) * (_IDS_A_LOOKUP - len(ids)))
        known.update(connection.execute(_LOOKUP, padded).fetchall())
    return known


def _erased(connection: sqlite3.Connection, user_ids: set[str], digest_of: Callable[[str], str]) -> dict[str, Erasure]:
    """Those of the users who were erased, with when."""
    if not erasures.any_erased(connection):
        return {}
    found = ((user_id, erasures.find(connection, digest_of(user_id))) for user_id in user_ids)
    return {user_id: erasure for user_id, erasure in found if erasure is not None}


def read_user(
    connection: sqlite3.Connection, user_id: str, limit: int, through_micros: Micros | None
) -> list[LoggedEvent]:
    """A user's newest events, newest last."""
    found = connection.execute(
        f"SELECT {_COLUMNS} FROM events WHERE user_id = ? AND time_micros <= ?"
        " ORDER BY time_micros DESC, sequence DESC LIMIT ?",
        (user_id, MAX_NUMBER if through_micros is None else through_micros, max(0, limit)),
    ).fetchall()
    return [LoggedEvent(*row) for row in reversed(found)]


def get(connection: sqlite3.Connection, event_ids: Collection[str]) -> dict[str, LoggedEvent]:
    """The events among the ids that are there."""
    one = f"SELECT {_COLUMNS} FROM events WHERE event_id = ?"
    found = (connection.execute(one, (event_id,)).fetchone() for event_id in dict.fromkeys(event_ids))
    return {row[1]: LoggedEvent(*row) for row in found if row is not None}


def read_log(connection: sqlite3.Connection, after: int, through: int, limit: int) -> list[LoggedEvent]:
    """At most `limit` events with `after` < sequence <= `through`, in order."""
    found = connection.execute(
        f"SELECT {_COLUMNS} FROM events WHERE sequence > ? AND sequence <= ? ORDER BY sequence LIMIT ?",
        (after, through, max(0, limit)),
    ).fetchall()
    return [LoggedEvent(*row) for row in found]


def read_user_after(
    connection: sqlite3.Connection, user_id: str, after: tuple[Micros, int], limit: int
) -> list[LoggedEvent]:
    """A user's events past a (time, sequence), oldest first."""
    found = connection.execute(
        f"SELECT {_COLUMNS} FROM events WHERE user_id = ? AND time_micros >= ? AND (time_micros, sequence) > (?, ?)"
        " ORDER BY time_micros, sequence LIMIT ?",
        (user_id, after[0], *after, limit),
    ).fetchall()
    return [LoggedEvent(*row) for row in found]

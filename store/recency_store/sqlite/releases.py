"""Releases and their states."""

from __future__ import annotations

import sqlite3
from typing import Any

from recency_store.errors import RejectedRelease, StateChanged, StoreError, UnknownRelease
from recency_store.records import EXCLUSIVE_STATES, SERVING_STATES, ReleaseRecord, ReleaseState, last_good
from recency_store.sqlite.numbers import take_numbers

_COLUMNS = "release, state, reason, url, parent, create_micros, canary_fraction, manifest_json, activation"


def reserve(connection: sqlite3.Connection, key: str) -> int:
    """A new number within a write transaction; for a non-empty key always the same one."""
    row = connection.execute("SELECT release FROM reserved WHERE key = ?", (key,)).fetchone()
    if row is not None:
        return int(row[0])
    release = take_numbers(connection, 1, "release")
    if key:
        connection.execute("INSERT INTO reserved (key, release) VALUES (?, ?)", (key, release))
    return release


def put(connection: sqlite3.Connection, record: ReleaseRecord) -> None:
    """Registers a release within a write transaction; idempotent by number and manifest."""
    old = find(connection, record.release)
    if old is not None:
        if old.manifest_json != record.manifest_json:
            raise StoreError(
                f"release {record.release} is registered with another manifest; publish under a new number"
            )
        return
    connection.execute(
        "UPDATE counters SET value = max(value, ?) WHERE name = 'release'",
        (record.release,),
    )
    _retire_others(connection, record.release, record.state)
    connection.execute(
        f"INSERT INTO releases ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            record.release,
            record.state.value,
            record.reason,
            record.url,
            record.parent,
            record.create_micros,
            record.canary_fraction,
            record.manifest_json,
            _activation(connection, record.state, 0),
        ),
    )


def set_state(
    connection: sqlite3.Connection,
    release: int,
    state: ReleaseState,
    reason: str,
    canary_fraction: float,
    expected: ReleaseState | None = None,
) -> None:
    """Moves a release within a write transaction; a rejected one may not serve."""
    record = get(connection, release)
    if expected is not None and record.state is not expected:
        raise StateChanged(f"release {release} is {record.state.value}, not {expected.value}; look again")
    if record.state is ReleaseState.REJECTED and state in SERVING_STATES:
        raise RejectedRelease(f"release {release} was rejected; publish what should serve under a new number")
    _retire_others(connection, release, state)
    connection.execute(
        "UPDATE releases SET state = ?, reason = ?, canary_fraction = ?, activation = ? WHERE release = ?",
        (state.value, reason, canary_fraction, _activation(connection, state, record.activation), release),
    )


def note(connection: sqlite3.Connection, release: int, reason: str) -> None:
    """Changes the reason alone, within a write transaction."""
    get(connection, release)
    connection.execute("UPDATE releases SET reason = ? WHERE release = ?", (reason, release))


def roll_back(connection: sqlite3.Connection, release: int, reason: str) -> ReleaseRecord:
    """Goes back within a write transaction, to the last good release where none is named."""
    goal = get(connection, release) if release else last_good(list_all(connection))
    if goal is None:
        raise UnknownRelease("no release served before this one; activate one by its number")
    left = active(connection)
    set_state(connection, goal.release, ReleaseState.ACTIVE, reason, 0.0)
    if left is not None and left.release != goal.release:
        connection.execute("UPDATE releases SET reason = ?, activation = 0 WHERE release = ?", (reason, left.release))
    return get(connection, goal.release)


def _activation(connection: sqlite3.Connection, state: ReleaseState, before: int) -> int:
    return take_numbers(connection, 1, "activation") if state is ReleaseState.ACTIVE else before


def _retire_others(connection: sqlite3.Connection, release: int, state: ReleaseState) -> None:
    if state in EXCLUSIVE_STATES:
        connection.execute(
            "UPDATE releases SET state = 'RETIRED', reason = ?, canary_fraction = 0 WHERE state = ? AND release != ?",
            (f"replaced by release {release}", state.value, release),
        )


def list_all(connection: sqlite3.Connection) -> list[ReleaseRecord]:
    """All, newest first."""
    found = connection.execute(f"SELECT {_COLUMNS} FROM releases ORDER BY release DESC").fetchall()
    return [_record_of(row) for row in found]


def find(connection: sqlite3.Connection, release: int) -> ReleaseRecord | None:
    """One, where it is."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM releases WHERE release = ?", (release,)).fetchone()
    return None if row is None else _record_of(row)


def get(connection: sqlite3.Connection, release: int) -> ReleaseRecord:
    """One, or UnknownRelease."""
    record = find(connection, release)
    if record is None:
        raise UnknownRelease(f"there is no release {release}; list the releases to see which there are")
    return record


def active(connection: sqlite3.Connection) -> ReleaseRecord | None:
    """The one that serves."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM releases WHERE state = 'ACTIVE'").fetchone()
    return None if row is None else _record_of(row)


def serving(connection: sqlite3.Connection) -> list[ReleaseRecord]:
    """Those that take part in answers or in scoring beside them, newest first."""
    states = ", ".join(f"'{state.value}'" for state in SERVING_STATES)
    found = connection.execute(
        f"SELECT {_COLUMNS} FROM releases WHERE state IN ({states}) ORDER BY release DESC"
    ).fetchall()
    return [_record_of(row) for row in found]


def _record_of(row: tuple[Any, ...]) -> ReleaseRecord:
    return ReleaseRecord(row[0], ReleaseState(row[1]), *row[2:])

"""Releases and their states."""

from __future__ import annotations

import sqlite3
from typing import Any

from recency_store.errors import StoreError, UnknownRelease
from recency_store.records import EXCLUSIVE_STATES, ReleaseRecord, ReleaseState

_COLUMNS = "release, state, reason, url, parent, create_micros, canary_fraction, manifest_json"


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
        f"INSERT INTO releases ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            record.release,
            record.state.value,
            record.reason,
            record.url,
            record.parent,
            record.create_micros,
            record.canary_fraction,
            record.manifest_json,
        ),
    )


def set_state(
    connection: sqlite3.Connection, release: int, state: ReleaseState, reason: str, canary_fraction: float
) -> None:
    """Moves a release within a write transaction."""
    get(connection, release)
    _retire_others(connection, release, state)
    connection.execute(
        "UPDATE releases SET state = ?, reason = ?, canary_fraction = ? WHERE release = ?",
        (state.value, reason, canary_fraction, release),
    )


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


def _record_of(row: tuple[Any, ...]) -> ReleaseRecord:
    return ReleaseRecord(row[0], ReleaseState(row[1]), *row[2:])

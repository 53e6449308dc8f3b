"""The item learner's state: a row an item and space, with the version of its last change."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence

from recency_store.errors import StoreError
from recency_store.records import Learned, LearnedRow, Micros


def put(
    connection: sqlite3.Connection,
    space: int,
    after: int,
    position: int,
    through_micros: Micros,
    rows: Sequence[LearnedRow],
) -> int:
    """Writes rows and position within a write transaction; answers the new version."""
    old = _state(connection, space)
    if old.position != after:
        raise StoreError(f"space {space} is learned up to {old.position}, not {after}; read it again")
    version = old.version + 1
    connection.execute(
        "INSERT OR REPLACE INTO learned_spaces (space, version, position, through_micros) VALUES (?, ?, ?, ?)",
        (space, version, position, max(through_micros, old.through_micros)),
    )
    connection.executemany(
        "INSERT OR REPLACE INTO learned_rows (space, item_id, version, residual) VALUES (?, ?, ?, ?)",
        [(space, row.item_id, version, row.residual) for row in rows],
    )
    return version


def read(connection: sqlite3.Connection, space: int, after_version: int) -> Learned:
    """The state with the rows that changed after a version, in the order of their ids."""
    state = _state(connection, space)
    if state.version <= after_version:
        return state
    found = connection.execute(
        "SELECT item_id, residual FROM learned_rows WHERE space = ? AND version > ? ORDER BY item_id",
        (space, after_version),
    ).fetchall()
    rows = tuple(LearnedRow(item_id, residual) for item_id, residual in found)
    return Learned(space, state.version, state.position, state.through_micros, rows)


def drop(connection: sqlite3.Connection, keep: Collection[int]) -> None:
    """Forgets the spaces that are not kept, within a write transaction."""
    for (space,) in connection.execute("SELECT space FROM learned_spaces").fetchall():
        if space not in keep:
            connection.execute("DELETE FROM learned_rows WHERE space = ?", (space,))
            connection.execute("DELETE FROM learned_spaces WHERE space = ?", (space,))


def _state(connection: sqlite3.Connection, space: int) -> Learned:
    row = connection.execute(
        "SELECT version, position, through_micros FROM learned_spaces WHERE space = ?", (space,)
    ).fetchone()
    version, position, through_micros = row or (0, 0, 0)
    return Learned(space, version, position, through_micros, ())

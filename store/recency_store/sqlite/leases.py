"""Leases: who is the only one to do something, for how long, and under which fence."""

from __future__ import annotations

import sqlite3

from recency_store.errors import LeaseLost
from recency_store.records import Lease, Micros
from recency_store.sqlite.numbers import take_numbers

# Expired leases are gone to every reader; their rows go later, so that clocks that differ a little do no harm.
_KEEP_EXPIRED_MICROS = 86_400_000_000


def acquire(
    connection: sqlite3.Connection, name: str, holder: str, ttl_micros: int, now_micros: Micros
) -> Lease | None:
    """Takes or renews within a write transaction. An expired lease is gone: its next holder gets a new fence."""
    held = connection.execute(
        "SELECT holder, fence FROM leases WHERE name = ? AND expires_micros > ?", (name, now_micros)
    ).fetchone()
    if held is not None and held[0] != holder:
        return None
    fence: int = take_numbers(connection, 1, "fence") if held is None else held[1]
    connection.execute("DELETE FROM leases WHERE expires_micros < ?", (now_micros - _KEEP_EXPIRED_MICROS,))
    connection.execute(
        "INSERT OR REPLACE INTO leases (name, holder, fence, expires_micros) VALUES (?, ?, ?, ?)",
        (name, holder, fence, now_micros + ttl_micros),
    )
    return Lease(name, holder, fence, now_micros + ttl_micros)


def check(connection: sqlite3.Connection, lease: Lease) -> None:
    """LeaseLost within a write transaction where the lease has passed on. One that has expired and that nobody took
    since still holds: its fence is the newest."""
    row = connection.execute("SELECT holder, fence FROM leases WHERE name = ?", (lease.name,)).fetchone()
    if row != (lease.holder, lease.fence):
        raise LeaseLost(f"the lease {lease.name} has passed on; nothing was written")


def release(connection: sqlite3.Connection, lease: Lease) -> None:
    """Gives a lease up, where it is still this holder's."""
    connection.execute(
        "DELETE FROM leases WHERE name = ? AND holder = ? AND fence = ?", (lease.name, lease.holder, lease.fence)
    )


def list_held(connection: sqlite3.Connection, prefix: str, now_micros: Micros) -> list[Lease]:
    """The unexpired ones under a prefix, in the order of their names."""
    found = connection.execute(
        "SELECT name, holder, fence, expires_micros FROM leases WHERE expires_micros > ? ORDER BY name", (now_micros,)
    ).fetchall()
    return [Lease(*row) for row in found if row[0].startswith(prefix)]

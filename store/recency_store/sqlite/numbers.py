"""The counters: one number for every change (`sequence`), and numbers of their own for releases and fences."""

from __future__ import annotations

import sqlite3

MAX_NUMBER = (1 << 63) - 1


def last_number(connection: sqlite3.Connection, counter: str = "sequence") -> int:
    """The newest number given."""
    value: int = connection.execute("SELECT value FROM counters WHERE name = ?", (counter,)).fetchone()[0]
    return value


def take_numbers(connection: sqlite3.Connection, count: int, counter: str = "sequence") -> int:
    """Takes `count` numbers within a write transaction and answers the first."""
    first = last_number(connection, counter) + 1
    connection.execute("UPDATE counters SET value = value + ? WHERE name = ?", (count, counter))
    return first

"""The embedded store: one SQLite file (with its -wal and -shm beside it) on a local disk, shared by several processes."""

from recency_store.sqlite.store import SqliteStore, open_sqlite

__all__ = ["SqliteStore", "open_sqlite"]

"""Connections to one SQLite file: one writer behind a lock, one reader a thread, and what SQLite's errors mean here."""

from __future__ import annotations

import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recency_store.errors import StoreClosed, StoreError, StoreUnavailable
from recency_store.sqlite.schema import SECURE_STEPS, migrate, steps_had

# How long a call waits for another process's write before it gives up.
BUSY_TIMEOUT_SECONDS = 5.0
_WRITER_CACHE_KIB = 65_536
_READER_CACHE_KIB = 16_384
# A bigger WAL between checkpoints writes a hot index page back less often (docs/decisions/0010).
_CHECKPOINT_PAGES = 4_000

_REMEDIES = {
    sqlite3.SQLITE_BUSY: "another process holds the write lock; retry, or end what holds it",
    sqlite3.SQLITE_LOCKED: "another connection holds a lock; retry",
    sqlite3.SQLITE_FULL: "the disk is full; free space, then retry",
    sqlite3.SQLITE_IOERR: "the disk refused; check free space, quotas, file size limits and the disk's health, then retry",
    sqlite3.SQLITE_CANTOPEN: "check that the folder exists, is writable and has free file handles, then retry",
    sqlite3.SQLITE_READONLY: "make the file and its folder writable, then retry",
    sqlite3.SQLITE_PERM: "make the file and its folder readable and writable, then retry",
    sqlite3.SQLITE_NOMEM: "out of memory; free some, then retry",
}


@contextmanager
def errors_named(path: Path) -> Iterator[None]:
    """Turns SQLite's errors into the store's: what, where, remedy."""
    try:
        yield
    except sqlite3.Error as error:
        # An error without a code came from the sqlite3 module itself; the extended code's low byte is the plain code.
        code = getattr(error, "sqlite_errorcode", None)
        remedy = None if code is None else _REMEDIES.get(code & 0xFF)
        if remedy is not None:
            raise StoreUnavailable(f"{path}: {error}; nothing was written; {remedy}") from error
        if code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise StoreError(f"{path}: {error}; restore the file from a backup, or name another one") from error
        raise StoreError(f"{path}: {error}; this is a defect, please report it") from error


class _Connection(sqlite3.Connection):
    """A connection that can be referred to weakly, as those of the standard library cannot."""


class Database:
    """The file, open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._closed = False
        self._local = threading.local()
        # Weak: a thread that ends takes its connection with it.
        self._readers: weakref.WeakSet[sqlite3.Connection] = weakref.WeakSet()
        with errors_named(path):
            self._writer = _connect(path, _WRITER_CACHE_KIB)
            try:
                _switch_to_wal(self._writer)
                self._writer.execute("PRAGMA synchronous = FULL")
                # What is deleted is overwritten, so that who was erased is gone from the file (docs/decisions/0117).
                self._writer.execute("PRAGMA secure_delete = ON")
                if 0 < steps_had(self._writer, str(path)) < SECURE_STEPS:
                    self._writer.execute("VACUUM")
                self._writer.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
                migrate(self._writer, str(path))
            except BaseException:
                self._writer.close()
                raise

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """One write transaction: committed (and on disk, where durable) at the end, or undone by any exception."""
        with self._lock, errors_named(self.path):
            self._refuse_closed()
            connection = self._writer
            if not durable:
                connection.execute("PRAGMA synchronous = NORMAL")
            try:
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                    connection.execute("COMMIT")
                except BaseException:
                    # SQLite may have rolled back by itself (disk full).
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
            finally:
                if not durable:
                    connection.execute("PRAGMA synchronous = FULL")

    def checkpoint(self) -> bool:
        """Brings the whole write-ahead log into the file and empties it; False where a reader kept that from being done."""
        with self._lock, errors_named(self.path):
            self._refuse_closed()
            busy: int = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        return not busy

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """This thread's reading connection, outside a transaction: each statement sees the newest state."""
        with errors_named(self.path):
            yield self.reader()

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """This thread's reading connection, in a transaction: all statements see the same state."""
        with self.read() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("COMMIT")

    def reader(self) -> sqlite3.Connection:
        """This thread's reading connection, made at its first call."""
        self._refuse_closed()
        reader: sqlite3.Connection | None = getattr(self._local, "reader", None)
        if reader is None:
            reader = self._local.reader = _connect(self.path, _READER_CACHE_KIB)
            reader.execute("PRAGMA query_only = ON")
            with self._lock:
                self._readers.add(reader)
        return reader

    def close(self) -> None:
        """Closes every connection; a second call does nothing."""
        with self._lock:
            self._closed = True
            for reader in list(self._readers):
                reader.close()
            self._writer.close()

    def _refuse_closed(self) -> None:
        if self._closed:
            raise StoreClosed(f"{self.path}: the store is closed; open it again")


def _connect(path: Path, cache_kib: int) -> sqlite3.Connection:
    # check_same_thread off: the writer goes from thread to thread under its lock, and close() closes every reader.
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False, factory=_Connection
    )
    connection.execute(f"PRAGMA cache_size = -{cache_kib}")
    return connection


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Several processes may open a new file at once; SQLite does not wait for the lock of this switch by itself."""
    give_up = time.monotonic() + BUSY_TIMEOUT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(0.01)

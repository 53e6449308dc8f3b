"""The protocol over one SQLite file: a method is one transaction or snapshot around a sibling module's function."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from recency.v1 import event_pb2, user_pb2
from recency_store.erasure import user_digest
from recency_store.errors import StoreUnavailable
from recency_store.records import (
    Appended,
    AuditEntry,
    Changes,
    Erasure,
    Learned,
    LearnedRow,
    Lease,
    LoggedEvent,
    Micros,
    NewItem,
    ReleaseRecord,
    ReleaseState,
    Review,
    SlateRecord,
    StoredItem,
    StoredUser,
)
from recency_store.rows import event_row
from recency_store.sqlite import audit as audit_log
from recency_store.sqlite import erasures, event_log, following, learner, leases, numbers, releases, reviews, users
from recency_store.sqlite import items as item_rows
from recency_store.sqlite import slates as slate_rows
from recency_store.sqlite.connection import Database

SCAN_PAGE = 2_000


class SqliteStore:
    """`protocol.Store` in one SQLite file. For any thread, and for several processes at once; not across a fork."""

    def __init__(self, database: Database, *, slate_limit: int) -> None:
        self._database = database
        self._slate_limit = slate_limit
        with database.read() as connection:
            self.salt = erasures.salt(connection)
        self._scrub()

    # --- event log -------------------------------------------------------------------------------------------------
    def append(self, events: Sequence[event_pb2.Event]) -> list[Appended]:
        """As the protocol says."""
        rows = [event_row(event) for event in events]
        with self._database.write() as connection:
            return event_log.append(connection, rows, self.user_digest)

    def read_user(self, user_id: str, limit: int, through_micros: Micros | None = None) -> list[LoggedEvent]:
        """As the protocol says."""
        with self._database.read() as connection:
            return event_log.read_user(connection, user_id, limit, through_micros)

    def get_events(self, event_ids: Collection[str]) -> dict[str, LoggedEvent]:
        """As the protocol says."""
        with self._database.read() as connection:
            return event_log.get(connection, event_ids)

    def read_log(self, after: int, limit: int) -> list[LoggedEvent]:
        """As the protocol says."""
        with self._database.read() as connection:
            return event_log.read_log(connection, after, numbers.MAX_NUMBER, limit)

    def scan_log(self, after: int = 0, through: int | None = None) -> Iterator[LoggedEvent]:
        """As the protocol says. The end is fixed at the call and the log only grows, so pages of it are one view (but for
        users who are merged meanwhile), and no long transaction keeps the WAL from being checkpointed."""
        last = self.last_sequence()
        return self._scan(after, last if through is None else min(through, last))

    def _scan(self, after: int, through: int) -> Iterator[LoggedEvent]:
        while after < through:
            with self._database.read() as connection:
                page = event_log.read_log(connection, after, through, SCAN_PAGE)
            yield from page
            if len(page) < SCAN_PAGE:
                return
            after = page[-1].sequence

    # --- following -------------------------------------------------------------------------------------------------
    def last_sequence(self) -> int:
        """As the protocol says: one look-up in one page. `PRAGMA data_version` would save a quarter of it (decision 10)."""
        with self._database.read() as connection:
            return numbers.last_number(connection)

    def changes(self, after: int, limit: int) -> Changes:
        """As the protocol says."""
        with self._database.snapshot() as connection:
            return following.changes(connection, after, limit)

    # --- items -----------------------------------------------------------------------------------------------------
    def upsert_items(self, items: Sequence[NewItem], now_micros: Micros) -> int:
        """As the protocol says."""
        with self._database.write() as connection:
            return item_rows.upsert(connection, items, now_micros)

    def set_text_vectors(self, vectors: Sequence[tuple[str, int, bytes]], text_encoder: str) -> int:
        """As the protocol says."""
        with self._database.write() as connection:
            return item_rows.set_text_vectors(connection, vectors, text_encoder)

    def delete_items(self, item_ids: Sequence[str], now_micros: Micros) -> tuple[int, list[str]]:
        """As the protocol says."""
        with self._database.write() as connection:
            return item_rows.delete(connection, item_ids, now_micros)

    def hide_items(
        self, item_ids: Sequence[str], reason: str | None, now_micros: Micros, *, actor: str = "", why: str = ""
    ) -> tuple[int, list[str]]:
        """As the protocol says."""
        with self._database.write() as connection:
            return item_rows.hide(connection, item_ids, reason, now_micros, actor, why)

    # --- reviews ---------------------------------------------------------------------------------------------------
    def reviews(self, limit: int) -> list[Review]:
        """As the protocol says."""
        with self._database.snapshot() as connection:
            return reviews.open_reviews(connection, limit)

    def resolve_review(
        self, item_id: str, reason: str, now_micros: Micros, *, hide: bool, through: int | None = None, actor: str = ""
    ) -> int:
        """As the protocol says."""
        with self._database.write() as connection:
            return reviews.resolve(connection, item_id, reason, now_micros, hide, through, actor)

    # --- items, read -----------------------------------------------------------------------------------------------
    def get_items(self, item_ids: Sequence[str]) -> dict[str, StoredItem]:
        """As the protocol says."""
        with self._database.snapshot() as connection:
            return item_rows.get(connection, item_ids)

    def list_items(self, limit: int, after_id: str = "") -> list[StoredItem]:
        """As the protocol says."""
        with self._database.read() as connection:
            return item_rows.list_after(connection, limit, after_id)

    def count_items(self) -> int:
        """As the protocol says."""
        with self._database.read() as connection:
            return item_rows.count(connection)

    # --- audit log -------------------------------------------------------------------------------------------------
    def append_audit(
        self,
        action: str,
        subject: str,
        reason: str,
        now_micros: Micros,
        *,
        actor: str = "",
        unless_said: bool = False,
    ) -> int:
        """As the protocol says."""
        with self._database.write() as connection:
            return audit_log.append(connection, action, subject, reason, now_micros, actor, unless_said)

    def audit(self, limit: int, *, action: str = "", subject: str = "") -> list[AuditEntry]:
        """As the protocol says."""
        with self._database.read() as connection:
            return audit_log.read(connection, limit, action, subject)

    # --- users -----------------------------------------------------------------------------------------------------
    def put_user(
        self,
        user: user_pb2.User,
        now_micros: Micros,
        *,
        text_vector: bytes = b"",
        text_encoder: str = "",
        expected: int | None = None,
    ) -> int:
        """As the protocol says."""
        with self._database.write() as connection:
            return users.put(connection, user, now_micros, text_vector, text_encoder, expected)

    def get_user(self, user_id: str) -> StoredUser | None:
        """As the protocol says."""
        with self._database.read() as connection:
            return users.get(connection, user_id)

    def scan_user(self, user_id: str) -> Iterator[LoggedEvent]:
        """As the protocol says, in pages as `scan_log` does."""
        place = (-(1 << 63), 0)
        while True:
            with self._database.read() as connection:
                page = event_log.read_user_after(connection, user_id, place, SCAN_PAGE)
            yield from page
            if len(page) < SCAN_PAGE:
                return
            place = (page[-1].time_micros, page[-1].sequence)

    def users_not_training(self) -> frozenset[str]:
        """As the protocol says."""
        with self._database.read() as connection:
            return users.not_training(connection)

    def user_digest(self, user_id: str) -> str:
        """As the protocol says."""
        return user_digest(self.salt, user_id)

    def erase_user(self, user_id: str, now_micros: Micros, *, actor: str = "") -> Erasure:
        """As the protocol says. The write-ahead log is emptied afterwards; where a reader stands in the way for long, or
        this process ends before, that is made up for when the store is opened next, or somebody else is erased."""
        with self._database.write() as connection:
            erasure = erasures.erase(connection, user_id, self.user_digest, now_micros, actor)
        self._scrub()
        return erasure

    def erasures(self, after: int = 0) -> list[Erasure]:
        """As the protocol says."""
        with self._database.read() as connection:
            return erasures.read_changed(connection, after, -1)

    def _scrub(self) -> None:
        # The erasure itself stands whatever comes of this.
        with suppress(StoreUnavailable):
            with self._database.read() as connection:
                number = erasures.unscrubbed(connection)
            if number and self._database.checkpoint():
                with self._database.write() as connection:
                    erasures.note_scrubbed(connection, number)

    def merge_users(self, source_id: str, target_id: str, now_micros: Micros) -> tuple[int, int]:
        """As the protocol says."""
        with self._database.write() as connection:
            return users.merge(connection, source_id, target_id, now_micros, self.user_digest)

    def last_rewrite(self) -> int:
        """As the protocol says."""
        with self._database.read() as connection:
            return following.last_rewrite(connection)

    # --- releases --------------------------------------------------------------------------------------------------
    def next_release(self, key: str = "") -> int:
        """As the protocol says."""
        with self._database.write() as connection:
            return releases.reserve(connection, key)

    def put_release(self, record: ReleaseRecord) -> None:
        """As the protocol says."""
        with self._database.write() as connection:
            releases.put(connection, record)

    def set_release_state(
        self,
        release: int,
        state: ReleaseState,
        reason: str = "",
        canary_fraction: float = 0.0,
        *,
        expected: ReleaseState | None = None,
        lease: Lease | None = None,
    ) -> None:
        """As the protocol says."""
        with self._database.write() as connection:
            if lease is not None:
                leases.check(connection, lease)
            releases.set_state(connection, release, state, reason, canary_fraction, expected)

    def note_release(self, release: int, reason: str) -> None:
        """As the protocol says."""
        with self._database.write() as connection:
            releases.note(connection, release, reason)

    def roll_back(self, release: int, reason: str, *, lease: Lease | None = None) -> ReleaseRecord:
        """As the protocol says."""
        with self._database.write() as connection:
            if lease is not None:
                leases.check(connection, lease)
            return releases.roll_back(connection, release, reason)

    def list_releases(self) -> list[ReleaseRecord]:
        """As the protocol says."""
        with self._database.read() as connection:
            return releases.list_all(connection)

    def get_release(self, release: int) -> ReleaseRecord:
        """As the protocol says."""
        with self._database.read() as connection:
            return releases.get(connection, release)

    def active_release(self) -> ReleaseRecord | None:
        """As the protocol says."""
        with self._database.read() as connection:
            return releases.active(connection)

    def serving_releases(self) -> list[ReleaseRecord]:
        """As the protocol says."""
        with self._database.read() as connection:
            return releases.serving(connection)

    # --- leases ----------------------------------------------------------------------------------------------------
    def acquire_lease(self, name: str, holder: str, ttl_micros: int, now_micros: Micros) -> Lease | None:
        """As the protocol says."""
        with self._database.write() as connection:
            return leases.acquire(connection, name, holder, ttl_micros, now_micros)

    def release_lease(self, lease: Lease) -> None:
        """As the protocol says."""
        with self._database.write() as connection:
            leases.release(connection, lease)

    def list_leases(self, prefix: str, now_micros: Micros) -> list[Lease]:
        """As the protocol says, in the order of their names."""
        with self._database.read() as connection:
            return leases.list_held(connection, prefix, now_micros)

    # --- item learner ----------------------------------------------------------------------------------------------
    def put_learned(
        self, space: int, after: int, position: int, through_micros: Micros, rows: Sequence[LearnedRow], lease: Lease
    ) -> int:
        """As the protocol says."""
        with self._database.write() as connection:
            leases.check(connection, lease)
            return learner.put(connection, space, after, position, through_micros, rows)

    def learned(self, space: int, after_version: int = 0) -> Learned:
        """As the protocol says."""
        with self._database.snapshot() as connection:
            return learner.read(connection, space, after_version)

    def drop_learned(self, keep: Collection[int]) -> None:
        """As the protocol says."""
        with self._database.write() as connection:
            learner.drop(connection, keep)

    # --- slates ----------------------------------------------------------------------------------------------------
    def put_slates(self, slates: Sequence[SlateRecord]) -> None:
        """As the protocol says."""
        with self._database.write(durable=False) as connection:
            slate_rows.put(connection, slates, self._slate_limit, self.user_digest)

    def get_slate(self, recommendation_id: str) -> SlateRecord | None:
        """As the protocol says."""
        with self._database.read() as connection:
            return slate_rows.get(connection, recommendation_id)

    def explored_slates(self, after_micros: Micros, limit: int) -> list[SlateRecord]:
        """As the protocol says."""
        with self._database.read() as connection:
            return slate_rows.explored(connection, after_micros, limit)

    def scan_slates(self, since_micros: Micros, until_micros: Micros) -> Iterator[SlateRecord]:
        """As the protocol says. Slates that come while it reads may be among them."""
        after, more = 0, True
        while more:
            with self._database.read() as connection:
                page, after = slate_rows.read_page(connection, after, since_micros, until_micros, SCAN_PAGE)
            yield from page
            more = len(page) == SCAN_PAGE

    def user_slates(self, user_id: str) -> list[SlateRecord]:
        """As the protocol says."""
        with self._database.read() as connection:
            return slate_rows.of_user(connection, user_id)

    def close(self) -> None:
        """As the protocol says."""
        self._database.close()


def open_sqlite(path: Path, *, slate_limit: int = 200_000) -> SqliteStore:
    """Opens the store in a file on a local disk, made (with its folder) where there is none.

    StoreUnavailable where it cannot be opened or locked, StoreTooNew where a newer software has migrated it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(
            f"{path.parent}: {error.strerror}; name a folder that can be made and written"
        ) from error
    return SqliteStore(Database(path), slate_limit=slate_limit)

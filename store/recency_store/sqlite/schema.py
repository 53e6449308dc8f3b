"""The schema, as numbered steps from an empty file on. A step that has landed never changes; a change is a new step.

`PRAGMA user_version` holds how many steps a file has had, `PRAGMA application_id` that it is ours.
"""

from __future__ import annotations

import sqlite3

from recency.v1 import event_pb2
from recency_store.errors import StoreError, StoreTooNew

APPLICATION_ID = 0x52454359  # "RECY"

_STEP_1 = (
    # sequence: the one number of all changes; release, fence: numbers of their own.
    "CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    "INSERT INTO counters VALUES ('sequence', 0), ('release', 0), ('fence', 0)",
    """CREATE TABLE events (
        sequence INTEGER PRIMARY KEY,
        event_id TEXT NOT NULL UNIQUE,
        user_id TEXT NOT NULL,
        item_id TEXT NOT NULL,
        type INTEGER NOT NULL,
        time_micros INTEGER NOT NULL,
        value REAL,
        payload BLOB NOT NULL
    )""",
    # A rowid table's index ends in its rowid: this one orders by (user, time, sequence).
    "CREATE INDEX events_of_user ON events (user_id, time_micros)",
    """CREATE TABLE items (
        item_id TEXT NOT NULL UNIQUE,
        revision INTEGER PRIMARY KEY,
        payload BLOB NOT NULL,
        text_vector BLOB NOT NULL,
        text_encoder TEXT NOT NULL,
        hidden_reason TEXT,
        deleted INTEGER NOT NULL,
        create_micros INTEGER NOT NULL,
        update_micros INTEGER NOT NULL
    )""",
    "CREATE INDEX items_there ON items (item_id) WHERE deleted = 0",
    """CREATE TABLE users (
        user_id TEXT PRIMARY KEY,
        revision INTEGER NOT NULL,
        payload BLOB NOT NULL,
        create_micros INTEGER NOT NULL,
        update_micros INTEGER NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE releases (
        release INTEGER PRIMARY KEY,
        state TEXT NOT NULL,
        reason TEXT NOT NULL,
        url TEXT NOT NULL,
        parent INTEGER NOT NULL,
        create_micros INTEGER NOT NULL,
        canary_fraction REAL NOT NULL,
        manifest_json TEXT NOT NULL
    )""",
    # The database itself holds that two releases never serve as the one.
    "CREATE UNIQUE INDEX one_active ON releases (state) WHERE state IN ('ACTIVE', 'CANARY')",
    """CREATE TABLE leases (
        name TEXT PRIMARY KEY,
        holder TEXT NOT NULL,
        fence INTEGER NOT NULL,
        expires_micros INTEGER NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE slates (
        position INTEGER PRIMARY KEY,
        recommendation_id TEXT NOT NULL UNIQUE,
        user_id TEXT NOT NULL,
        time_micros INTEGER NOT NULL,
        release INTEGER NOT NULL,
        item_ids TEXT NOT NULL,
        labels TEXT NOT NULL,
        context_json TEXT NOT NULL
    )""",
)

_STEP_2 = (
    """CREATE TABLE audit (
        number INTEGER PRIMARY KEY,
        time_micros INTEGER NOT NULL,
        actor TEXT NOT NULL,
        action TEXT NOT NULL,
        item_id TEXT NOT NULL,
        reason TEXT NOT NULL
    )""",
)

_STEP_3 = (
    "ALTER TABLE releases ADD COLUMN activation INTEGER NOT NULL DEFAULT 0",
    # Before this step a release's number told the order in which releases served.
    "UPDATE releases SET activation = release WHERE state IN ('ACTIVE', 'RETIRED')",
    "INSERT INTO counters SELECT 'activation', coalesce(max(activation), 0) FROM releases",
    "CREATE TABLE reserved (key TEXT PRIMARY KEY, release INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TABLE learned_spaces (
        space INTEGER PRIMARY KEY,
        version INTEGER NOT NULL,
        position INTEGER NOT NULL,
        through_micros INTEGER NOT NULL
    )""",
    """CREATE TABLE learned_rows (
        space INTEGER NOT NULL,
        item_id TEXT NOT NULL,
        version INTEGER NOT NULL,
        residual BLOB NOT NULL,
        PRIMARY KEY (space, item_id)
    ) WITHOUT ROWID""",
    "CREATE INDEX learned_since ON learned_rows (space, version)",
)

_STEP_4 = (
    "ALTER TABLE audit RENAME COLUMN item_id TO subject",
    # The database itself holds that no entry is changed or removed, whoever opens the file by this software or another.
    """CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END""",
    """CREATE TRIGGER audit_is_not_removed BEFORE DELETE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END""",
    """CREATE TRIGGER audit_is_not_replaced BEFORE INSERT ON audit
        WHEN EXISTS (SELECT 1 FROM audit WHERE number = NEW.number)
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END""",
)

_STEP_5 = (
    "ALTER TABLE slates ADD COLUMN exploration REAL NOT NULL DEFAULT 0",
    "ALTER TABLE slates ADD COLUMN propensities TEXT NOT NULL DEFAULT '[]'",
    "ALTER TABLE slates ADD COLUMN aimed INTEGER NOT NULL DEFAULT 0",
    # Most slates are not left to chance, and off-policy estimates read the others alone.
    "CREATE INDEX slates_explored ON slates (position) WHERE propensities != '[]'",
)

_STEP_6 = (
    # What erased people's hashes are salted with: another one in each store.
    "CREATE TABLE secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    "INSERT INTO secrets VALUES ('erasure', randomblob(32))",
    """CREATE TABLE erasures (
        number INTEGER PRIMARY KEY,
        digest TEXT NOT NULL UNIQUE,
        time_micros INTEGER NOT NULL,
        events INTEGER NOT NULL,
        slates INTEGER NOT NULL
    )""",
    # The newest erasure whose bytes are known to be gone from the write-ahead log too.
    "INSERT INTO counters VALUES ('scrubbed', 0)",
    "ALTER TABLE users ADD COLUMN text_vector BLOB NOT NULL DEFAULT x''",
    "ALTER TABLE users ADD COLUMN text_encoder TEXT NOT NULL DEFAULT ''",
    # Read out of the payload, for those few who do not consent.
    "ALTER TABLE users ADD COLUMN trains INTEGER NOT NULL DEFAULT 1",
    "CREATE INDEX users_changed ON users (revision)",
    "CREATE INDEX users_not_training ON users (user_id) WHERE trains = 0",
)

_STEP_7 = (
    # What an event takes back, as a column: whoever asks what still stands must not parse every event.
    "ALTER TABLE events ADD COLUMN retracts TEXT NOT NULL DEFAULT ''",
    # 0x7a begins the field in an event's bytes: most events need not be parsed.
    "UPDATE events SET retracts = retracts_of(payload) WHERE instr(payload, x'7a')",
    "CREATE INDEX retractions ON events (retracts) WHERE retracts <> ''",
    "CREATE INDEX slates_of_user ON slates (user_id)",
    # owner: whose the events are now, with whom the row is erased.
    "CREATE TABLE rewrites (sequence INTEGER PRIMARY KEY, user_id TEXT NOT NULL, owner TEXT NOT NULL)",
    "CREATE INDEX rewrites_of_owner ON rewrites (owner)",
    "INSERT INTO counters VALUES ('rewritten', 0)",
    # 15 is REPORT.
    "CREATE INDEX reports ON events (item_id, sequence) WHERE type = 15",
    "CREATE TABLE reviewed (item_id TEXT PRIMARY KEY, through INTEGER NOT NULL) WITHOUT ROWID",
)

_STEP_8 = (
    # Until when a visitor was who they were merged into; 0 where that was not noted yet.
    "ALTER TABLE rewrites ADD COLUMN time_micros INTEGER NOT NULL DEFAULT 0",
)

STEPS: tuple[tuple[str, ...], ...] = (_STEP_1, _STEP_2, _STEP_3, _STEP_4, _STEP_5, _STEP_6, _STEP_7, _STEP_8)
# Files of fewer steps were written without overwriting what was deleted.
SECURE_STEPS = STEPS.index(_STEP_6) + 1


def migrate(connection: sqlite3.Connection, where: str, steps: tuple[tuple[str, ...], ...] = STEPS) -> None:
    """Brings a file to the newest schema in one transaction; StoreTooNew where a newer software has been there."""
    if steps_had(connection, where) == len(steps):
        return
    connection.create_function("retracts_of", 1, _retracts_of, deterministic=True)
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have migrated it while this one waited for the lock.
        for step in steps[steps_had(connection, where) :]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(steps)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _retracts_of(payload: bytes) -> str:
    return event_pb2.Event.FromString(payload).retracts_event_id


def steps_had(connection: sqlite3.Connection, where: str) -> int:
    """How many steps a file has had: 0 for an empty one. StoreError for a file that is not ours, StoreTooNew."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    application: int = connection.execute("PRAGMA application_id").fetchone()[0]
    tables: int = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if application != APPLICATION_ID and (version or tables):
        raise StoreError(f"{where}: a SQLite file, but not Recency's; name another file for the store")
    if version > len(STEPS):
        raise StoreTooNew(
            f"{where}: has schema {version}, this software knows up to {len(STEPS)}; upgrade Recency, or open a copy "
            "that was made before the upgrade"
        )
    return version

"""The SQLite file itself: older and newer schemas, foreign and broken files, full disks."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from recency_store.errors import StoreError, StoreTooNew, StoreUnavailable
from recency_store.records import Appended
from recency_store.sqlite import open_sqlite
from recency_store.sqlite.schema import STEPS

VERSION_1 = Path(__file__).parent / "fixtures" / "sqlite_version_1.sql"


def _version(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return connection.execute("PRAGMA user_version").fetchone()[0]
    finally:
        connection.close()


def test_a_store_of_version_one_is_migrated_with_all_it_holds(tmp_path, make_event):
    path = tmp_path / "old.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(VERSION_1.read_text(encoding="utf-8"))
    connection.close()
    store = open_sqlite(path)
    assert _version(path) == len(STEPS)
    assert [e.event_id for e in store.read_user("u", 10)] == ["e0", "e1", "e2"]
    assert store.append([make_event("e1")]) == [Appended(2, True)]
    assert {i.item_id: i.hidden_reason for i in store.list_items(10)} == {"i0": None, "i1": "rude"}
    assert store.get_items(["i0"])["i0"].text_vector == b"1234"
    assert store.get_user("u").create_micros == 2000
    assert store.active_release().release == 1
    assert store.next_release() == 2
    assert store.get_slate("r1").item_ids == ("i0", "i1")
    assert store.get_slate("r1").propensities == ()
    assert store.last_sequence() == 6
    assert store.merge_users("u", "v", 5)[1] == 3
    store.hide_items(["i0"], "new here", 5)
    assert [e.reason for e in store.audit(5)] == ["new here"]
    store.close()


def test_a_step_that_has_landed_never_changes(tmp_path):
    """The fixture's tables are those that step 1 makes today."""
    path = tmp_path / "old.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(VERSION_1.read_text(encoding="utf-8"))
    fresh = sqlite3.connect(":memory:")
    for statement in STEPS[0]:
        fresh.execute(statement)
    names = "SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY name"
    assert connection.execute(names).fetchall() == fresh.execute(names).fetchall()
    connection.close()


def test_a_newer_schema_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "store.sqlite"
    open_sqlite(path).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {len(STEPS) + 1}")
    connection.close()
    with pytest.raises(StoreTooNew, match="upgrade Recency"):
        open_sqlite(path)
    assert _version(path) == len(STEPS) + 1


def test_somebody_elses_database_is_refused(tmp_path):
    path = tmp_path / "theirs.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(StoreError, match="not Recency's"):
        open_sqlite(path)


def test_a_file_that_is_no_database_is_named(tmp_path):
    path = tmp_path / "text.sqlite"
    path.write_text("hello " * 1000)
    with pytest.raises(StoreError, match=r"text\.sqlite.*not a database.*restore"):
        open_sqlite(path)


def test_a_path_that_cannot_be_opened_is_unavailable(tmp_path):
    with pytest.raises(StoreUnavailable, match="check that the folder"):
        open_sqlite(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="name a folder"):
        open_sqlite(tmp_path / "file" / "store.sqlite")


def test_a_failed_write_leaves_nothing_and_the_next_one_works(tmp_path, make_event):
    store = open_sqlite(tmp_path / "store.sqlite")
    with pytest.raises(AttributeError):
        store.append([make_event("a"), None])
    assert store.append([make_event("a")]) == [Appended(1, False)]
    store.close()


def test_a_lock_that_another_process_keeps_is_unavailable_and_names_the_remedy(tmp_path, make_event, monkeypatch):
    monkeypatch.setattr("recency_store.sqlite.connection.BUSY_TIMEOUT_SECONDS", 0.05)
    path = tmp_path / "store.sqlite"
    store = open_sqlite(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="another process holds the write lock"):
        store.append([make_event("a")])
    assert store.read_log(0, 5) == []
    other.execute("ROLLBACK")
    other.close()
    assert store.append([make_event("a")]) == [Appended(1, False)]
    store.close()


FULL_DISK = """
    import resource, sys
    from pathlib import Path
    from recency.v1 import event_pb2
    from recency_store.errors import StoreUnavailable
    from recency_store.sqlite import open_sqlite

    def events(first, count):
        made = [event_pb2.Event(event_id=f"e{n}", user_id="u", query="x" * 500) for n in range(first, first + count)]
        for event in made:
            event.event_time.FromMicroseconds(1)
        return made

    path = Path(sys.argv[1])
    store = open_sqlite(path)
    before = store.append(events(0, 10))
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
    acknowledged = 10
    failures = []
    for n in range(200):
        try:
            store.append(events(acknowledged, 50))
            acknowledged += 50
        except StoreUnavailable as error:
            failures.append(str(error))
            break
    assert len(failures) == 1, failures
    assert sum(1 for _ in store.scan_log()) == acknowledged == store.last_sequence()
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    again = store.append(events(acknowledged, 50))
    assert [a.sequence for a in again] == list(range(acknowledged + 1, acknowledged + 51)), again
    assert not any(a.duplicate for a in again)
    store.close()
    print(failures[0])
"""


def test_a_full_disk_is_unavailable_writes_nothing_and_heals(tmp_path):
    path = tmp_path / "store.sqlite"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FULL_DISK), str(path)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "nothing was written" in done.stdout
    assert str(path) in done.stdout
    assert "retry" in done.stdout


def test_a_thread_that_ends_takes_its_connection_with_it(tmp_path):
    import gc
    import threading

    store = open_sqlite(tmp_path / "store.sqlite")
    for _ in range(50):
        thread = threading.Thread(target=store.last_sequence)
        thread.start()
        thread.join()
    gc.collect()
    assert len(store._database._readers) <= 1
    store.close()

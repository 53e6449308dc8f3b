"""Who was erased is gone from SQLite's files byte for byte, whenever the process was killed."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from recency.v1 import event_pb2, user_pb2
from recency_store.records import SlateRecord
from recency_store.sqlite import open_sqlite

PERSON = "Alice-Liddell-1852"
VERSION_1 = Path(__file__).parent / "fixtures" / "sqlite_version_1.sql"


def _bytes_of(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(path.parent.iterdir()) if file.name.startswith(path.name))


def _event(number: int, user_id: str, micros: int) -> event_pb2.Event:
    event = event_pb2.Event(
        event_id=f"{user_id}/{number}",
        user_id=user_id,
        item_id="i",
        type=event_pb2.EVENT_TYPE_SEARCH,
        query=user_id * 3,
    )
    event.event_time.FromMicroseconds(micros)
    return event


def _fill(store, people: int = 60, batches: int = 60) -> None:
    """Much of everybody, mixed, so that pages split and rows move while the person's lie between the others'."""
    dice = random.Random(5)
    number = 0
    for _ in range(batches):
        events = []
        for _ in range(40):
            number += 1
            who = dice.randrange(people)
            events.append(_event(number, PERSON if who == 7 else f"user-{who}", dice.randrange(10**12)))
        store.append(events)
        store.put_slates([SlateRecord(f"r{number}", events[0].user_id, 1, 1, ("i",) * 20)])
        user = user_pb2.User(user_id=events[0].user_id)
        user.attributes["words"] = events[0].user_id * dice.randrange(1, 9)
        store.put_user(user, 1)
    store.put_user(user_pb2.User(user_id=PERSON), 1)


def test_no_byte_of_an_erased_person_is_left_in_the_files(tmp_path):
    path = tmp_path / "store.sqlite"
    store = open_sqlite(path, slate_limit=30)
    other = open_sqlite(path, slate_limit=30)
    _fill(store)
    assert other.get_user("user-1") is not None
    assert PERSON.encode() in _bytes_of(path)
    erasure = store.erase_user(PERSON, 10**13)
    assert erasure.events > 20
    assert PERSON.encode() not in _bytes_of(path)
    assert other.read_user(PERSON, 10) == []
    store.append([_event(10**6, PERSON, 1)])
    other.close()
    store.close()
    assert PERSON.encode() not in _bytes_of(path)


def test_what_an_older_version_had_deleted_carelessly_goes_when_the_file_is_opened(tmp_path):
    path = tmp_path / "old.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(VERSION_1.read_text(encoding="utf-8"))
    # Some builds of SQLite have it on by themselves.
    connection.execute("PRAGMA secure_delete = OFF")
    for number in range(500):
        connection.execute(
            "INSERT INTO events VALUES (?, ?, ?, 'i', 3, 1, NULL, ?)", (100 + number, f"x{number}", PERSON, b"p")
        )
    connection.commit()
    connection.execute("DELETE FROM events WHERE user_id = ?", (PERSON,))
    connection.commit()
    connection.close()
    assert PERSON.encode() in _bytes_of(path)
    open_sqlite(path).close()
    assert PERSON.encode() not in _bytes_of(path)


_KILLED = """
    import os, signal, sys
    from pathlib import Path
    from recency_store.sqlite import erasures, open_sqlite
    from recency_store.sqlite.connection import Database

    def die(*arguments):
        os.kill(os.getpid(), signal.SIGKILL)

    path, person, step = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    store = open_sqlite(path)
    if step == "before the commit":
        erasures.erase = lambda *arguments, erase=erasures.erase: (erase(*arguments), die())
    else:
        Database.checkpoint = die
    store.erase_user(person, 10**13)
"""


@pytest.mark.parametrize("step", ["before the commit", "before the checkpoint"])
def test_kill_nine_leaves_all_of_a_person_or_nothing(tmp_path, step):
    path = tmp_path / "store.sqlite"
    store = open_sqlite(path)
    _fill(store, batches=20)
    before = len(store.read_user(PERSON, 1_000))
    store.close()
    command = [sys.executable, "-c", textwrap.dedent(_KILLED), str(path), PERSON, step]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    store = open_sqlite(path)
    if step == "before the commit":
        assert len(store.read_user(PERSON, 1_000)) == before
        assert store.get_user(PERSON) is not None
        assert store.erasures() == store.audit(10) == []
        assert store.erase_user(PERSON, 10**13).events == before
    else:
        assert store.read_user(PERSON, 1_000) == []
        # Opening it made up for what was left to do.
        assert PERSON.encode() not in _bytes_of(path)
        assert [store.erase_user(PERSON, 10**13)] == store.erasures()
    assert PERSON.encode() not in _bytes_of(path)
    assert len(store.audit(10)) == 1
    store.close()

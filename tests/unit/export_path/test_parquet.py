"""The log as Parquet: whatever happens in between, what a reader sees is the log up to some position, whole."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow.parquet
import pytest

from recency.v1 import event_pb2
from recency_export import parquet
from recency_export.errors import ExportError, ForeignLog
from recency_export.parquet import compact, read_events, read_receipt, user_bucket
from recency_store.memory import MemoryStore
from recency_store.protocol import Store

COLUMNS = ("sequence", "event_id", "user_id", "item_id", "type", "time_micros", "value", "payload")


def log_of(count: int, prefix: str = "e") -> MemoryStore:
    store = MemoryStore()
    more(store, range(count), prefix)
    return store


def more(store: Store, numbers: range, prefix: str = "e") -> None:
    events = []
    for number in numbers:
        event = event_pb2.Event(
            event_id=f"{prefix}{number}", user_id=f"user-{number % 7}", item_id=f"item-{number % 11}", type=2
        )
        event.event_time.FromMicroseconds(1_000_000 + number)
        if number % 5 == 0:
            event.value = number / 2
        events.append(event)
    if events:
        store.append(events)


def rows_of(store: Store) -> list[tuple[object, ...]]:
    return [tuple(getattr(event, name) for name in COLUMNS) for event in store.scan_log()]


def read_back(folder: Path) -> list[tuple[object, ...]]:
    return [tuple(row[name] for name in COLUMNS) for row in read_events(folder, COLUMNS).to_pylist()]


def test_what_is_read_back_is_the_log(tmp_path: Path) -> None:
    store = log_of(250)
    made = compact(store, tmp_path, range_size=100)
    assert read_back(tmp_path) == rows_of(store)
    assert (made.rows, len(made.parts)) == (250, 3)


def test_the_next_compaction_writes_only_what_is_new(tmp_path: Path) -> None:
    store = log_of(250)
    first = compact(store, tmp_path, range_size=100)
    times = {part.name: (tmp_path / "events" / part.name).stat().st_mtime_ns for part in first.parts}
    more(store, range(250, 420))
    second = compact(store, tmp_path, range_size=100)
    assert read_back(tmp_path) == rows_of(store)
    assert second.parts[:2] == first.parts[:2]
    for part in second.parts[:2]:
        assert (tmp_path / "events" / part.name).stat().st_mtime_ns == times[part.name]
    assert compact(store, tmp_path, range_size=100) == second


def test_small_steps_end_where_one_step_does(tmp_path: Path) -> None:
    store = MemoryStore()
    for begin in range(0, 230, 37):
        more(store, range(begin, min(begin + 37, 230)))
        compact(store, tmp_path / "steps", range_size=50)
    compact(store, tmp_path / "once", range_size=50)
    by_steps, at_once = read_receipt(tmp_path / "steps"), read_receipt(tmp_path / "once")
    assert by_steps.parts == at_once.parts  # names and checksums
    # Of the files that are gone from the state only the last state's are kept.
    assert len(list((tmp_path / "steps" / "events").iterdir())) <= len(by_steps.parts) + 1


def test_killed_at_any_file_operation_it_shows_the_old_log_or_the_new_one(tmp_path: Path, monkeypatch) -> None:
    store = log_of(120)
    compact(store, tmp_path, range_size=50)
    before = rows_of(store)
    more(store, range(120, 190))
    after = rows_of(store)

    class Killed(BaseException):
        pass

    real, seen = os.replace, []

    def kill_at(limit: int):
        calls = iter(range(1_000))

        def replace(source, target) -> None:
            if next(calls) == limit:
                raise Killed
            real(source, target)

        return replace

    for limit in range(10):
        monkeypatch.setattr(parquet.os, "replace", kill_at(limit))
        try:
            compact(store, tmp_path, range_size=50)
        except Killed:
            seen.append(limit)
            assert read_back(tmp_path) == before
            continue
        break
    assert len(seen) == 3  # two files and the receipt
    assert read_back(tmp_path) == after
    assert not list(tmp_path.rglob("*.partial"))


def test_users_who_were_merged_are_one_in_every_file_after_the_next_compaction(tmp_path: Path) -> None:
    store = log_of(250)
    compact(store, tmp_path, range_size=100)
    store.merge_users("user-1", "user-2", 5)
    compact(store, tmp_path, range_size=100)
    assert read_back(tmp_path) == rows_of(store)
    assert "user-1" not in read_events(tmp_path, ("user_id",)).column("user_id").to_pylist()


def test_a_reader_of_the_old_receipt_finds_its_files(tmp_path: Path) -> None:
    store = log_of(120)
    old = compact(store, tmp_path, range_size=100)
    more(store, range(120, 130))
    compact(store, tmp_path, range_size=100)
    assert all((tmp_path / "events" / part.name).is_file() for part in old.parts)


def test_a_worker_reads_its_users_alone_and_no_further_than_it_is_told(tmp_path: Path) -> None:
    store = log_of(90)
    compact(store, tmp_path, range_size=40)
    mine = [user_bucket("user-1"), user_bucket("user-3")]
    table = read_events(tmp_path, ("user_id", "sequence"), buckets=mine, through=60)
    assert set(table.column("user_id").to_pylist()) == {"user-1", "user-3"}
    assert max(table.column("sequence").to_pylist()) <= 60


def test_another_log_or_none_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="recency export compact"):
        read_events(tmp_path, ("sequence",))
    compact(log_of(10), tmp_path)
    with pytest.raises(ForeignLog, match="--folder"):
        compact(log_of(10, "other-"), tmp_path)
    with pytest.raises(ForeignLog):
        compact(log_of(4), tmp_path)


def test_an_empty_log_is_an_empty_table(tmp_path: Path) -> None:
    assert compact(MemoryStore(), tmp_path).rows == 0
    assert read_back(tmp_path) == []
    compact(log_of(3), tmp_path)
    assert len(read_back(tmp_path)) == 3


def _left_of(folder: Path, user_id: str) -> list[str]:
    """The files in which somebody stands, whether a receipt names them or not."""
    paths = sorted((folder / "events").glob("*.parquet"))
    return [
        path.name
        for path in paths
        if user_id in pyarrow.parquet.read_table(path, columns=["user_id"]).column("user_id").to_pylist()
    ]


def test_who_was_erased_is_in_no_file_after_the_next_compaction(tmp_path: Path) -> None:
    store = log_of(250)
    more(store, range(1), "other")
    event = event_pb2.Event(event_id="alone", user_id="somebody", item_id="item-1", type=2)
    event.event_time.FromMicroseconds(5)
    store.append([event])
    more(store, range(260, 420))
    compact(store, tmp_path, range_size=100)
    more(store, range(420, 450))
    before = {part.name: part for part in compact(store, tmp_path).parts}
    # The first event of the log goes too, by which one log is told from another.
    for user_id in ("somebody", "user-0"):
        store.erase_user(user_id, 10**12)
    more(store, range(700, 701), "again")
    made = compact(store, tmp_path)
    assert _left_of(tmp_path, "somebody") == []
    assert read_back(tmp_path) == rows_of(store)
    assert made.before == ()
    store.erase_user("user-3", 10**12)
    compact(store, tmp_path)
    assert _left_of(tmp_path, "user-3") == []
    assert read_back(tmp_path) == rows_of(store)
    assert len(before) == 5


def test_a_file_that_does_not_hold_who_was_erased_stays_as_it_is(tmp_path: Path) -> None:
    store = log_of(150)
    event = event_pb2.Event(event_id="alone", user_id="somebody", item_id="item-1", type=2)
    event.event_time.FromMicroseconds(5)
    store.append([event])
    more(store, range(200, 400))
    found = {part.first: part for part in compact(store, tmp_path, range_size=100).parts}
    untouched = (tmp_path / "events" / found[0].name).stat().st_mtime_ns
    store.erase_user("somebody", 10**12)
    made = {part.first: part for part in compact(store, tmp_path).parts}
    assert (tmp_path / "events" / made[0].name).stat().st_mtime_ns == untouched
    assert made[0] == found[0]
    assert made[100].rows == found[100].rows - 1
    assert (made[100].name, made[200]) == (found[100].name, found[200])


def test_an_erasure_whose_compaction_was_killed_is_done_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = log_of(450)
    compact(store, tmp_path, range_size=100)
    more(store, range(450, 460))
    store.erase_user("user-2", 10**12)

    class Killed(BaseException):
        pass

    def killed(*arguments: object) -> None:
        raise Killed

    for step in ("_put_receipt", "_sweep"):
        with monkeypatch.context() as patched:
            patched.setattr(parquet, step, killed)
            with pytest.raises(Killed):
                compact(store, tmp_path)
    compact(store, tmp_path)
    assert _left_of(tmp_path, "user-2") == []
    assert read_back(tmp_path) == rows_of(store)

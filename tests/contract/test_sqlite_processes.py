"""Several processes over one SQLite file, and processes that die."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time

from recency_store.sqlite import open_sqlite

WRITER = textwrap.dedent("""
    import sys
    from pathlib import Path
    from recency.v1 import event_pb2
    from recency_store.sqlite import open_sqlite

    path, name, calls, size = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    store = open_sqlite(path)
    print("open", flush=True)
    for call in range(calls):
        events = []
        for n in range(size):
            events.append(event_pb2.Event(event_id=f"{name}-{call}-{n}", user_id=name, item_id="i", type=3))
            events[-1].event_time.FromMicroseconds(call * size + n)
        # One id that every process sends.
        events.append(event_pb2.Event(event_id=f"shared-{call}", user_id="shared", item_id="i", type=3))
        events[-1].event_time.FromMicroseconds(call)
        answers = store.append(events)
        print(call, answers[0].sequence, flush=True)
    store.close()
""")


def _start(path, name, calls, size) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(calls), str(size)], stdout=subprocess.PIPE, text=True
    )


def test_processes_that_open_and_append_at_once_lose_and_double_nothing(tmp_path):
    path = tmp_path / "store.sqlite"
    writers = [_start(path, name, 60, 5) for name in ("a", "b", "c")]
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    store = open_sqlite(path)
    log = list(store.scan_log())
    assert len({e.event_id for e in log}) == len(log) == 3 * 60 * 5 + 60
    assert [e.sequence for e in log] == list(range(1, len(log) + 1))
    for name in ("a", "b", "c"):
        assert len(store.read_user(name, 1_000)) == 300
    store.close()


def test_another_process_sees_a_write_at_its_next_look(tmp_path):
    path = tmp_path / "store.sqlite"
    store = open_sqlite(path)
    assert store.last_sequence() == 0
    writer = _start(path, "a", 20, 1)
    assert writer.stdout.readline() == "open\n"
    for line in writer.stdout:
        _, sequence = map(int, line.split())
        assert store.last_sequence() >= sequence
        assert store.changes(sequence - 1, 1).events[0].sequence == sequence
    assert writer.wait(timeout=60) == 0
    assert store.last_sequence() == 40
    store.close()


def test_every_acknowledged_event_survives_kill_nine_once(tmp_path):
    path = tmp_path / "store.sqlite"
    for round_ in range(3):
        name = f"w{round_}"
        writer = _start(path, name, 1_000_000, 7)
        assert writer.stdout.readline() == "open\n"
        acknowledged = [writer.stdout.readline() for _ in range(30)]
        time.sleep(0.05 * round_)
        writer.kill()
        acknowledged += writer.stdout.read().splitlines(keepends=True)
        writer.wait(timeout=60)
        calls = [int(line.split()[0]) for line in acknowledged if line.endswith("\n")]
        store = open_sqlite(path)
        there = [e.event_id for e in store.read_user(name, 1_000_000)]
        assert len(set(there)) == len(there)
        assert {f"{name}-{call}-{n}" for call in calls for n in range(7)} <= set(there)
        # All or nothing: the one call that was not acknowledged is there whole or not at all.
        assert len(there) % 7 == 0
        assert len(there) // 7 - len(calls) in (0, 1)
        log = list(store.scan_log())
        assert log[-1].sequence == store.last_sequence() == len(log)
        store.close()

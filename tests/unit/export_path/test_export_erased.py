"""What the exporter holds of people who were erased, or do not want to be learned from."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recency.v1 import event_pb2, item_pb2, user_pb2
from recency_export.erased import drop_erased, forget_erased
from recency_export.exporter_lease import only_exporter
from recency_export.item_tables import read_log
from recency_export.log_cases import events_between, sampled_events
from recency_export.online_behaviour import Behaviour
from recency_export.parquet import compact, read_events
from recency_export.snapshot import take_snapshot
from recency_store.memory import MemoryStore
from recency_store.records import NewItem


def _event(name: str, user_id: str, kind: int = 3, **fields: object) -> event_pb2.Event:
    event = event_pb2.Event(event_id=name, user_id=user_id, type=kind, **fields)  # type: ignore[arg-type]
    event.event_time.FromMicroseconds(1_000 + len(name))
    return event


def _store() -> MemoryStore:
    store = MemoryStore()
    store.upsert_items([NewItem(item_pb2.Item(item_id=name, title=name)) for name in "ab"], 1)
    store.append([_event(f"{user}{n}", user, item_id="ab"[n % 2]) for user in ("u", "v", "w") for n in range(4)])
    store.append([_event(f"{user}-shown", user, 1, shown_item_ids=["a"]) for user in ("u", "v", "w")])
    return store


def _refuse_training(store: MemoryStore, user_id: str) -> None:
    store.put_user(user_pb2.User(user_id=user_id, consent=user_pb2.Consent(training=False)), 1)


def test_no_training_set_evidence_or_table_holds_who_refuses_or_was_erased() -> None:
    store = _store()
    _refuse_training(store, "u")
    store.erase_user("w", 10**12)
    last = store.last_sequence()

    def encode(texts: object) -> np.ndarray:
        return np.zeros((len(texts), 2), dtype=np.float32)  # type: ignore[arg-type]

    snapshot = take_snapshot(store, last, "digest", 2, encode, lambda done, total: None)
    theirs = {event.sequence for event in store.scan_log() if event.user_id == "v"}
    assert set(snapshot.sequence.tolist()) | set(snapshot.shown_sequence.tolist()) == theirs
    assert {event.user_id for event in events_between(store, 0, last, 100)} == {"v"}
    assert {event.user_id for event in sampled_events(store, last, 40, np.random.default_rng(1))} <= {"v"}
    log = read_log(store, last, 0, {"a": 0, "b": 1})
    assert (len(log.sequences), len(log.sequences[0])) == (1, 4)
    # Four clicks, and one thing shown once.
    assert len(log.unfolded) == 5


def test_a_workspace_is_emptied_once_after_an_erasure(tmp_path: Path) -> None:
    store, workspace = _store(), tmp_path / "workspace"
    kept = workspace / "run" / "snapshot" / "snapshot.npz"

    def fill() -> None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(b"rows")

    fill()
    assert not drop_erased(store, workspace)
    assert kept.exists()
    store.erase_user("u", 10**12)
    assert drop_erased(store, workspace)
    assert not kept.exists()
    fill()
    assert not drop_erased(store, workspace)
    assert kept.exists()


def test_work_under_way_is_not_disturbed_and_dropped_afterwards(tmp_path: Path) -> None:
    store, workspace, folder = _store(), tmp_path / "workspace", tmp_path / "parquet"
    (workspace / "run").mkdir(parents=True)
    compact(store, folder)
    store.erase_user("u", 10**12)
    with only_exporter(store, workspace, 60.0, lambda: 1):
        forget_erased(store, workspace, folder, 60.0, lambda: 1)
        assert (workspace / "run").is_dir()
    assert "u" not in read_events(folder, ["user_id"]).column("user_id").to_pylist()
    forget_erased(store, workspace, folder, 60.0, lambda: 1)
    assert not (workspace / "run").exists()


def test_the_item_learner_forgets_whom_it_has_in_memory() -> None:
    store = _store()
    behaviour = Behaviour(store, 10)
    logged = {event.event_id: event for event in store.scan_log()}
    assert len(behaviour.before(logged["u3"]).interactions) == 3
    behaviour.before(logged["v3"])
    erasure = store.erase_user("u", 10**12)
    assert behaviour.erased({erasure.digest}) == ["u"]
    assert behaviour.before(logged["u3"]).interactions == []
    assert len(behaviour.before(logged["v3"]).interactions) == 3

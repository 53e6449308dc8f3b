"""When a release is due, and that one watcher makes them, again after failures."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from recency.v1 import event_pb2
from recency_export.watch import WATCH_LEASE, Outcome, Watcher, watch
from recency_export.watch_policy import Behaviour, Due, WatchSettings, drift, due
from recency_store.manifest import Manifest
from recency_store.memory import MemoryStore
from recency_store.records import LoggedEvent, ReleaseRecord, ReleaseState

CLICK, IMPRESSION = event_pb2.EVENT_TYPE_CLICK, event_pb2.EVENT_TYPE_IMPRESSION
SETTINGS = WatchSettings(events=10, least_events=3, item_events=6, fresh_items=5, drift_slates=20)


def _logged(number: int, kind: int, item_id: str = "a", slate: str = "") -> LoggedEvent:
    event = event_pb2.Event(event_id=str(number), user_id="u", item_id=item_id, type=kind, recommendation_id=slate)
    return LoggedEvent(number, str(number), "u", item_id, kind, number, None, event.SerializeToString())


@pytest.mark.parametrize(
    ("full", "item", "fresh", "age", "depth"),
    [
        (10, 10, 9, 0, "full"),
        (9, 5, 4, 1, None),
        (9, 6, 0, 1, "item"),
        (0, 0, 5, 0, "item"),
        (3, 0, 0, 3_600, "full"),
        (2, 0, 0, 3_600, None),
    ],
)
def test_the_deepest_release_that_is_due_is_named(full, item, fresh, age, depth):
    behaviour = Behaviour(SETTINGS.drift_slates, full_events=full, item_events=item)
    found = due(behaviour, fresh, age, SETTINGS)
    assert (found.depth if found else None) == depth


def _slates(first: int, count: int, taken_every: int) -> list[LoggedEvent]:
    events = []
    for number in range(first, first + count):
        events.append(_logged(2 * number, IMPRESSION, slate=f"s{number}"))
        if number % taken_every == 0:
            events.append(_logged(2 * number + 1, CLICK, slate=f"s{number}"))
    return events


def test_slates_that_are_taken_up_less_than_at_first_are_drift():
    behaviour = Behaviour(200)
    behaviour.take_in(_slates(0, 230, 2), frozenset("a"))
    assert drift(behaviour) == 0.0
    behaviour.take_in(_slates(230, 240, 2), frozenset("a"))
    assert abs(drift(behaviour)) < 2.0
    behaviour.take_in(_slates(480, 240, 10), frozenset("a"))
    assert drift(behaviour) > 4.0
    settings = WatchSettings(drift_slates=200)
    behaviour.full_events = 500
    assert due(behaviour, 0, 0.0, settings) == Due(
        "full", f"slates are taken up less than at first, by {drift(behaviour):.1f} standard errors"
    )


def test_chosen_items_that_the_matrix_lacks_ask_for_an_item_release():
    behaviour = Behaviour(20)
    behaviour.take_in([_logged(n, CLICK, item_id="new" if n % 2 else "a") for n in range(6)], frozenset("a"))
    found = due(behaviour, 1, 0.0, SETTINGS)
    assert found is not None
    assert found.depth == "item"
    assert "50%" in found.reason


def _manifest(release: int, **fields: object) -> str:
    base = {
        "parent": 0, "trained_through_sequence": 0, "trained_through_micros": 0, "catalog_sequence": 0,
        "item_count": 1, "event_count": 0, "dim": 2, "learned_dim": 1, "text_dim": 1, "history_length": 1,
        "trend_half_lives_seconds": (1.0,), "user_feature_dim": 1, "model_versions": {}, "text_encoder_digest": "",
        "query_scale": 1.0, "trend_bias_weight": 0.0, "repeat_share": 0.0,
    }  # fmt: skip
    return Manifest(release=release, **{**base, **fields}).to_json()


def _store_with_release() -> MemoryStore:
    store = MemoryStore()
    store.put_release(ReleaseRecord(1, ReleaseState.ACTIVE, "", "", 0, 0, manifest_json=_manifest(1)))
    return store


def _click(store: MemoryStore, count: int, first: int = 0) -> None:
    events = [
        event_pb2.Event(event_id=str(n), user_id="u", item_id="a", type=CLICK) for n in range(first, first + count)
    ]
    for event in events:
        event.event_time.FromMicroseconds(1)
    store.append(events)


def test_an_item_release_counts_from_what_is_folded_and_a_full_one_from_what_was_trained():
    store = _store_with_release()
    watcher = Watcher(store, SETTINGS, lambda record: frozenset("a"))
    _click(store, 6)
    assert watcher.look(0).depth == "item"
    store.put_release(
        ReleaseRecord(
            2, ReleaseState.ACTIVE, "", "", 1, 0,
            manifest_json=_manifest(2, kind="item", space=1, learned_through_sequence=6, trained_through_sequence=0),
        )
    )  # fmt: skip
    assert watcher.look(0) is None
    assert (watcher.behaviour.full_events, watcher.behaviour.item_events) == (6, 0)
    _click(store, 4, first=6)
    assert watcher.look(0).depth == "full"


def _watching(
    store: MemoryStore, make: Callable[..., Outcome], settings: WatchSettings = SETTINGS
) -> tuple[list[str], threading.Event]:
    said: list[str] = []
    stop = threading.Event()

    def run() -> None:
        watch(
            store,
            settings,
            Watcher(store, settings, lambda record: frozenset("a")),
            make,
            holder="me",
            stop=stop,
            clock=lambda: 0,
            say=lambda kind, line: said.append(f"{kind}: {line}"),
        )

    thread = threading.Thread(target=run)
    thread.start()
    stop.join = thread.join  # type: ignore[attr-defined]
    return said, stop


def test_a_failed_run_is_tried_again_after_growing_pauses_until_it_is_active():
    store = _store_with_release()
    _click(store, 10)
    tries: list[str] = []
    done = threading.Event()

    def make(depth: str, stop: threading.Event) -> Outcome:
        tries.append(depth)
        if len(tries) < 3:
            return Outcome(False, "no luck", {})
        store.put_release(
            ReleaseRecord(2, ReleaseState.ACTIVE, "", "", 1, 0, manifest_json=_manifest(2, trained_through_sequence=10))
        )
        done.set()
        return Outcome(True, "release 2 is active", {})

    settings = WatchSettings(events=10, poll_seconds=0.01, pause_seconds=0.01, longest_pause_seconds=0.02)
    said, stop = _watching(store, make, settings)
    assert done.wait(10)
    stop.set()
    stop.join()
    assert tries == ["full"] * 3
    failed = [line for line in said if line.startswith("failed")]
    assert failed == ["failed: no luck; trying again in 0.01 s", "failed: no luck; trying again in 0.02 s"]
    assert store.acquire_lease(WATCH_LEASE, "another", 1, 0) is not None


def test_a_second_watcher_waits_for_the_first():
    store = _store_with_release()
    _click(store, 10)
    store.acquire_lease(WATCH_LEASE, "another", 10_000_000, 0)
    said, stop = _watching(store, lambda depth, stop: pytest.fail("it is not its turn"))
    stop.set()
    stop.join()
    assert said in ([], ["waiting: another watcher is at work; this one takes over when it ends"])

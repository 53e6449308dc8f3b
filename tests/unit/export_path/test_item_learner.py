"""What the item learner makes of the log: its step, its bounds, and that each event counts once."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recency.v1 import event_pb2, user_pb2
from recency_export.online import Learner
from recency_export.online_behaviour import Behaviour
from recency_export.online_bounds import Bounds
from recency_export.online_items import read_base
from recency_export.online_settings import LearnerConfig
from recency_export.online_space import Space
from recency_export.online_step import Lesson, gradient_on, loss_and_gradient
from recency_export.online_users import Moment, UserVectors
from recency_export.onnx_session import open_model
from recency_inference.artifacts import ReleaseCache
from recency_inference.client import Input, RawTensor
from recency_inference.errors import Unavailable
from recency_store.errors import LeaseLost
from recency_store.manifest import Manifest, read_manifest
from recency_store.memory import MemoryStore
from recency_store.records import Lease, LoggedEvent, ReleaseState

from .conftest import NOW_MICROS, Bootstrapped, make_event, make_item, shop

FOREVER = 10**15
_TYPES = {"FP32": "<f4", "INT32": "<i4", "INT64": "<i8"}


class Direct:
    """The release's recommender, run in this process: what Triton would run."""

    def __init__(self, folder: Path) -> None:
        self._session = open_model(folder / "recommender" / "model.onnx")
        self.calls = 0

    def infer(
        self, model: str, version: int, inputs: Mapping[str, Input], outputs: Sequence[str], timeout_seconds: float
    ) -> dict[str, Any]:
        self.calls += 1
        feed = {
            name: np.frombuffer(value.data, _TYPES[value.datatype]).reshape(value.shape)
            if isinstance(value, RawTensor)
            else value
            for name, value in inputs.items()
        }
        return dict(zip(outputs, self._session.run(list(outputs), feed), strict=True))


@pytest.fixture(scope="module")
def direct(bootstrapped: Bootstrapped) -> Direct:
    return Direct(bootstrapped.folder)


@pytest.fixture
def served(bootstrapped: Bootstrapped) -> MemoryStore:
    """The shop with its release active, and every text read; one new lamp came since."""
    store = shop()
    revision_of = {item.item_id: item.revision for item in store.list_items(500)}
    for item in bootstrapped.store.list_items(500):
        store.set_text_vectors([(item.item_id, revision_of[item.item_id], item.text_vector)], item.text_encoder)
    store.put_release(replace(bootstrapped.record, release=store.next_release()))
    store.set_release_state(1, ReleaseState.ACTIVE)
    _add_lamp(store, bootstrapped)
    return store


def _add_lamp(store: MemoryStore, bootstrapped: Bootstrapped, name: str = "item-900") -> None:
    lamp = bootstrapped.store.get_items(["item-000"])["item-000"]
    new = replace(make_item(int(name[-3:])), text_vector=lamp.text_vector, text_encoder=lamp.text_encoder)
    store.upsert_items([new], NOW_MICROS)


def _space(store: MemoryStore, bootstrapped: Bootstrapped, direct: Direct, config: LearnerConfig) -> tuple[Space, Any]:
    manifest = read_manifest(bootstrapped.folder)
    base = read_base(bootstrapped.folder, manifest)
    users = UserVectors(direct, manifest, base.item_ids)
    return Space(base, store, Behaviour(store, 100), config), users


def _lease(store: MemoryStore, holder: str = "me") -> Lease:
    lease = store.acquire_lease("learner", holder, FOREVER, 0)
    assert lease is not None
    return lease


def _clicks(store: MemoryStore, item: str, users: Sequence[str], after: int = 0, begin: int = 70_000) -> None:
    store.append([make_event(begin + n, user, item, NOW_MICROS + after + n) for n, user in enumerate(users)])


def _lesson(events: int = 6, items: int = 9, width: int = 5) -> tuple[Lesson, Any, Any]:
    rng = np.random.default_rng(0)
    lesson = Lesson(
        users_CW=rng.normal(0, 1, (events, width)).astype(np.float32),
        target_C=np.array([0, 3, 3, 8, 1, 2]),
        weight_C=np.array([1, 1, 0.5, 1, 2, 1], dtype=np.float32),
        # The third event's target is among what its user had consumed: it is the target all the same.
        seen_row_S=np.array([0, 2, 2, 5]),
        seen_item_S=np.array([4, 3, 5, 8]),
    )
    closed = np.zeros(items, dtype=bool)
    closed[[6, 8]] = True
    return lesson, rng.normal(0, 1, (items, width)).astype(np.float32), closed


def test_the_gradient_is_that_of_the_loss() -> None:
    lesson, items_NW, closed_N = _lesson()
    _, gradient = loss_and_gradient(lesson, items_NW, closed_N)
    numeric = np.zeros_like(gradient, dtype=np.float64)
    for place in np.ndindex(*items_NW.shape):
        there = [items_NW.astype(np.float64) for _ in range(2)]
        there[0][place] += 1e-4
        there[1][place] -= 1e-4
        losses = [loss_and_gradient(lesson, moved, closed_N)[0] for moved in there]  # type: ignore[arg-type]
        numeric[place] = (losses[0] - losses[1]) / 2e-4
    np.testing.assert_allclose(gradient, numeric, atol=1e-4)
    assert not gradient[6].any()
    assert gradient[8].any()


def test_a_sample_of_all_items_teaches_what_all_items_teach() -> None:
    lesson, items_NW, closed_N = _lesson()
    loss, whole = loss_and_gradient(lesson, items_NW, closed_N)
    same, sampled = gradient_on(lesson, items_NW, closed_N, np.arange(9))
    assert loss == pytest.approx(same)
    np.testing.assert_allclose(whole, sampled)
    kept = np.array([0, 1, 2, 3, 8])
    _, part = gradient_on(lesson, items_NW, closed_N, kept)
    assert part.shape == (5, 5)


def _logged(number: int, user: str, item: str, seconds: float) -> LoggedEvent:
    event = make_event(number, user, item, NOW_MICROS + round(seconds * 1e6))
    return LoggedEvent(number, event.event_id, user, item, event.type, event.event_time.ToMicroseconds(), None, b"")


def test_one_user_teaches_an_item_once_a_window_and_only_so_many_items() -> None:
    bounds = Bounds(LearnerConfig(user_events=3, window_seconds=3_600))
    burst = [_logged(n, "one", f"item-{n % 5}", n) for n in range(20)]
    assert [event.item_id for event in bounds.admit(burst)] == ["item-0", "item-1", "item-2"]
    # What was not saved was not taught.
    assert len(bounds.admit(burst)) == 3
    bounds.commit()
    assert bounds.admit(burst) == []
    assert len(bounds.admit([_logged(99, "other", "item-0", 30)])) == 1
    assert len(bounds.admit([_logged(100, "one", "item-0", 7_300)])) == 1


def test_an_item_moves_by_its_norm_a_window_and_never_past_its_radius() -> None:
    bounds = Bounds(LearnerConfig(item_norm=1.0, item_radius=2.5))
    rows, residual = np.array([4]), np.zeros((1, 3), dtype=np.float32)
    for window in range(6):
        bounds.admit([_logged(window, "u", "i", 3_600.0 * window)])
        before = residual
        for _ in range(10):
            residual = bounds.limit(rows, residual, np.full((1, 3), 0.4, dtype=np.float32))
        bounds.commit()
        assert np.linalg.norm(residual - before) <= 1.0 + 1e-5
    assert np.linalg.norm(residual) == pytest.approx(2.5, abs=1e-5)


def test_clicks_raise_a_new_item_for_other_users_and_the_store_has_what_was_learned(
    served: MemoryStore, bootstrapped: Bootstrapped, direct: Direct
) -> None:
    space, users = _space(served, bootstrapped, direct, LearnerConfig())
    lease = _lease(served)
    before = space.items.fresh_vector("item-900")
    _clicks(served, "item-900", [f"user-{n}" for n in range(30)])
    while space.step(users, lease):
        pass
    learned = served.learned(1)
    assert learned.position == served.last_sequence()
    assert learned.through_micros == NOW_MICROS + 29
    residual = {row.item_id: np.frombuffer(row.residual, dtype="<f4") for row in learned.rows}["item-900"]
    after = space.items.fresh_vector("item-900")
    assert before is not None
    np.testing.assert_allclose(after, before + residual, atol=1e-6)
    vectors = np.stack(
        [users.ask([_moment(served, f"user-{n}")], space.items.fresh_vector, 8)[0] for n in range(40, 60)]
    )
    assert ((vectors @ after) > (vectors @ before)).mean() > 0.9
    again, _ = _space(served, bootstrapped, direct, LearnerConfig())
    np.testing.assert_allclose(again.items.fresh_vector("item-900"), after, atol=1e-6)
    assert again.position == learned.position


def test_what_many_events_taught_moves_less_by_one_more_also_after_a_restart(
    served: MemoryStore, bootstrapped: Bootstrapped, direct: Direct
) -> None:
    config = LearnerConfig(chunk=10, item_norm=10.0, item_radius=10.0)
    space, users = _space(served, bootstrapped, direct, config)
    lease = _lease(served)

    def moved_by(people: range) -> float:
        before = space.items.fresh_vector("item-900")
        assert before is not None
        _clicks(served, "item-900", [f"user-{n}" for n in people], after=people.start, begin=70_000 + people.start)
        while space.step(users, lease):
            pass
        after = space.items.fresh_vector("item-900")
        assert after is not None
        return float(np.linalg.norm(after - before))

    first, second = moved_by(range(10)), moved_by(range(10, 20))
    assert second < 0.8 * first
    taught = dict(zip(space.items.item_ids, space.items.taught, strict=True))
    assert taught["item-900"] == 20
    again, _ = _space(served, bootstrapped, direct, config)
    assert dict(zip(again.items.item_ids, again.items.taught, strict=True)) == taught


def test_what_was_taken_back_or_was_a_visitors_is_learned_from_as_it_stands(
    served: MemoryStore, bootstrapped: Bootstrapped, direct: Direct
) -> None:
    space, users = _space(served, bootstrapped, direct, LearnerConfig(save_norm=0.0))
    lease = _lease(served)
    served.append([make_event(80_000, "visitor", "item-001", NOW_MICROS)])
    assert space.step(users, lease).events == 1
    behaviour = space._behaviour
    clicks = [make_event(80_001 + n, "member", f"item-00{n + 2}", NOW_MICROS + n + 1) for n in range(2)]
    back = make_event(80_009, "member", "item-002", NOW_MICROS + 9)
    back.retracts_event_id = "e80001"
    served.append([*clicks, back])
    # One of the two is taken back within the chunk: the other one alone teaches.
    assert space.step(users, lease).events == 1
    later = LoggedEvent(10**9, "x", "member", "", 3, NOW_MICROS + 10**6, None, b"")
    assert behaviour.before(later).seen == {"item-003"}
    served.merge_users("visitor", "member", NOW_MICROS)
    while space.step(users, lease):
        pass
    assert behaviour.before(later).seen == {"item-001", "item-003"}


@pytest.mark.parametrize("killed", [False, True])
def test_what_an_erased_user_taught_is_learned_anew_without_them_and_written_in_one_go(
    served: MemoryStore, bootstrapped: Bootstrapped, direct: Direct, killed: bool
) -> None:
    config = LearnerConfig(chunk=7)
    space, users = _space(served, bootstrapped, direct, config)
    lease = _lease(served)

    def learn(space: Space) -> dict[str, Any]:
        while space.step(users, lease):
            pass
        assert not space.outdated
        assert served.learned(1).position == served.last_sequence()
        return {row.item_id: np.frombuffer(row.residual, dtype="<f4") for row in served.learned(1).rows}

    _clicks(served, "item-900", [f"user-{n}" for n in range(30)])
    with_all = learn(space)
    served.erase_user("user-3", NOW_MICROS + 100)
    if not killed:
        before = served.learned(1)
        while space.step(users, lease):
            pass
        assert space.outdated
        assert served.learned(1) == before
    anew, _ = _space(served, bootstrapped, direct, config)
    without = learn(anew)
    assert np.abs(without["item-900"] - with_all["item-900"]).max() > 1e-5
    # As if the person had never been there; and the erasure is passed once.
    served.drop_learned([])
    from_nothing, _ = _space(served, bootstrapped, direct, config)
    np.testing.assert_allclose(learn(from_nothing)["item-900"], without["item-900"], atol=1e-7)
    _clicks(served, "item-900", ["user-50"], after=1_000, begin=71_000)
    learn(from_nothing)


def _moment(store: MemoryStore, user: str) -> Any:
    event = make_event(1, user, "item-000", NOW_MICROS + 10**6)
    after = LoggedEvent(10**9, "x", user, "", event.type, NOW_MICROS + 10**6, None, b"")
    return Moment(Behaviour(store, 10).before(after), NOW_MICROS + 10**6)


def test_a_poisoned_burst_moves_its_item_by_no_more_than_the_bound(
    served: MemoryStore, bootstrapped: Bootstrapped, direct: Direct
) -> None:
    config = LearnerConfig(fresh_step=0.05, item_norm=0.3, user_events=5)
    space, users = _space(served, bootstrapped, direct, config)
    lease = _lease(served)
    _clicks(served, "item-000", [f"robot-{n}" for n in range(400)], after=-1_000, begin=75_000)
    _clicks(served, "item-900", [f"robot-{n}" for n in range(400)])
    _clicks(served, "item-007", [f"robot-{n % 3}" for n in range(400)], after=1_000, begin=71_000)
    while space.step(users, lease):
        pass
    moved = {row.item_id: np.linalg.norm(np.frombuffer(row.residual, dtype="<f4")) for row in served.learned(1).rows}
    assert 0.2 < moved["item-900"] <= 0.3 + 1e-5
    assert max(moved.values()) <= 0.3 + 1e-5


def test_only_what_is_positive_consented_to_and_not_taken_back_teaches(
    served: MemoryStore, bootstrapped: Bootstrapped, direct: Direct
) -> None:
    space, users = _space(served, bootstrapped, direct, LearnerConfig())
    lease = _lease(served)
    served.put_user(user_pb2.User(user_id="shy", consent=user_pb2.Consent(training=False)), NOW_MICROS)
    events = [
        make_event(1_000_001, "a", "item-900", NOW_MICROS, event_pb2.EVENT_TYPE_VIEW),
        make_event(1_000_002, "b", "item-900", NOW_MICROS, event_pb2.EVENT_TYPE_DISLIKE),
        make_event(1_000_003, "shy", "item-900", NOW_MICROS),
        make_event(1_000_004, "c", "item-unknown", NOW_MICROS),
        make_event(1_000_005, "d", "item-900", NOW_MICROS),
    ]
    events[4].retracts_event_id = "e1000001"
    served.append(events)
    calls = direct.calls
    progress = space.step(users, lease)
    assert progress is not None
    assert (progress.events, progress.rows, direct.calls) == (0, 0, calls)
    assert served.learned(1).position == served.last_sequence()


def test_an_item_whose_text_is_read_later_is_taught_from_then_on(
    served: MemoryStore, bootstrapped: Bootstrapped, direct: Direct
) -> None:
    space, users = _space(served, bootstrapped, direct, LearnerConfig())
    lease = _lease(served)
    served.upsert_items([make_item(901)], NOW_MICROS)
    _clicks(served, "item-901", ["user-1"])
    space.step(users, lease)
    assert space.items.fresh_vector("item-901") is None
    stored = served.get_items(["item-901"])["item-901"]
    lamp = served.get_items(["item-000"])["item-000"]
    served.set_text_vectors([("item-901", stored.revision, lamp.text_vector)], lamp.text_encoder)
    _clicks(served, "item-901", ["user-2"], begin=72_000)
    progress = space.step(users, lease)
    assert progress is not None
    assert progress.events == 1
    assert "item-901" in {row.item_id for row in served.learned(1).rows}


def test_a_call_that_fails_and_a_lease_that_is_lost_teach_nothing(
    served: MemoryStore, bootstrapped: Bootstrapped, direct: Direct
) -> None:
    class Away(Direct):
        def infer(self, *arguments: Any) -> dict[str, Any]:
            raise Unavailable("away")

    _clicks(served, "item-900", ["user-1", "user-2"])
    space, _ = _space(served, bootstrapped, direct, LearnerConfig())
    _, away = _space(served, bootstrapped, Away(bootstrapped.folder), LearnerConfig())
    lease = served.acquire_lease("learner", "old", 10, 0)
    with pytest.raises(Unavailable):
        space.step(away, lease)
    with pytest.raises(Unavailable):
        space.step(away, lease)
    other = served.acquire_lease("learner", "new", FOREVER, 20)
    assert other is not None
    _, users = _space(served, bootstrapped, direct, LearnerConfig())
    with pytest.raises(LeaseLost):
        space.step(users, lease)
    assert served.learned(1).version == 0
    progress = space.step(users, other)
    assert progress is not None
    assert progress.events == 2


def _run(learner: Learner, until: Any) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=learner.run, args=(stop,), daemon=True)
    thread.start()
    try:
        assert _eventually(until)
    finally:
        stop.set()
        thread.join(10)


def _eventually(happened: Any) -> bool:
    waiting = threading.Event()
    return any(happened() or waiting.wait(0.02) for _ in range(500))


def _learner(store: MemoryStore, direct: Direct, holder: str, tmp_path: Path) -> Learner:
    config = LearnerConfig(idle_seconds=0.01)
    return Learner(store, direct, ReleaseCache(tmp_path), config, lambda: NOW_MICROS, holder)


def test_a_learner_catches_up_gives_its_lease_up_and_forgets_spaces_that_nobody_serves(
    served: MemoryStore, direct: Direct, tmp_path: Path
) -> None:
    stale = _lease(served, "before")
    served.put_learned(7, 0, 5, NOW_MICROS, [], stale)
    served.release_lease(stale)
    _clicks(served, "item-900", [f"user-{n}" for n in range(150)])
    _run(_learner(served, direct, "one", tmp_path), lambda: served.learned(1).position == served.last_sequence())
    assert served.learned(7).version == 0
    assert served.list_leases("learner", NOW_MICROS) == []


def test_two_learners_share_one_lease_and_the_second_goes_on_where_the_first_ended(
    served: MemoryStore, direct: Direct, tmp_path: Path
) -> None:
    first, second = (_learner(served, direct, name, tmp_path) for name in ("first", "second"))
    stops = [threading.Event(), threading.Event()]
    running = zip((first, second), stops, strict=True)
    threads = [threading.Thread(target=learner.run, args=(stop,), daemon=True) for learner, stop in running]
    threads[0].start()
    assert _eventually(lambda: served.list_leases("learner", NOW_MICROS))
    threads[1].start()
    _clicks(served, "item-900", [f"user-{n}" for n in range(40)])
    assert _eventually(lambda: served.learned(1).position == served.last_sequence())
    assert [lease.holder for lease in served.list_leases("learner", NOW_MICROS)] == ["first"]
    stops[0].set()
    threads[0].join(10)
    _clicks(served, "item-900", [f"user-{n}" for n in range(40, 80)], begin=73_000)
    assert _eventually(lambda: served.learned(1).position == served.last_sequence())
    assert [lease.holder for lease in served.list_leases("learner", NOW_MICROS)] == ["second"]
    stops[1].set()
    threads[1].join(10)


def test_a_space_that_cannot_be_read_holds_no_other_up_and_loses_nothing(
    served: MemoryStore, direct: Direct, tmp_path: Path
) -> None:
    record = replace(served.get_release(1), state=ReleaseState.CANDIDATE)
    manifest = replace(Manifest.from_json(record.manifest_json, ""), release=served.next_release())
    served.put_release(replace(record, release=2, url=str(tmp_path / "gone"), manifest_json=manifest.to_json()))
    served.put_release(replace(record, release=served.next_release(), manifest_json="{}"))
    for number, state in ((2, ReleaseState.CANARY), (3, ReleaseState.SHADOW)):
        served.set_release_state(number, state)
    before = _lease(served, "before")
    served.put_learned(3, 0, 5, NOW_MICROS, [], before)
    served.release_lease(before)
    _clicks(served, "item-900", ["user-1", "user-2"])
    _run(_learner(served, direct, "one", tmp_path), lambda: served.learned(1).position == served.last_sequence())
    assert served.learned(3).position == 5

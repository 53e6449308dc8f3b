"""What every store's releases and leases hold to."""

from __future__ import annotations

import pytest

from recency_store.errors import LeaseLost, RejectedRelease, StateChanged, StoreError, UnknownRelease
from recency_store.records import Lease, ReleaseState


def test_release_numbers_grow_and_are_never_reused(store, make_release):
    assert [store.next_release() for _ in range(3)] == [1, 2, 3]
    store.put_release(make_release(7))
    assert store.next_release() == 8


def test_registering_twice_changes_nothing_and_another_manifest_is_refused(store, make_release):
    store.put_release(make_release(1, manifest='{"a": 1}'))
    store.set_release_state(1, ReleaseState.ACTIVE, "passed")
    store.put_release(make_release(1, manifest='{"a": 1}'))
    assert store.get_release(1).state is ReleaseState.ACTIVE
    with pytest.raises(StoreError, match="another manifest"):
        store.put_release(make_release(1, manifest='{"a": 2}'))
    assert store.get_release(1).manifest_json == '{"a": 1}'


def test_only_one_release_is_active(store, make_release):
    assert store.active_release() is None
    for n in (1, 2):
        store.put_release(make_release(n))
        store.set_release_state(n, ReleaseState.ACTIVE, f"gate {n}")
    assert store.active_release().release == 2
    assert [(r.release, r.state.value, r.reason) for r in store.list_releases()] == [
        (2, "ACTIVE", "gate 2"),
        (1, "RETIRED", "replaced by release 2"),
    ]
    store.set_release_state(1, ReleaseState.ACTIVE, "rolled back")
    assert store.active_release().release == 1
    store.put_release(make_release(3, ReleaseState.ACTIVE))
    assert [r.state.value for r in store.list_releases()] == ["ACTIVE", "RETIRED", "RETIRED"]


def test_only_one_release_is_canary_beside_the_active_one(store, make_release):
    for n in (1, 2, 3):
        store.put_release(make_release(n))
    store.set_release_state(1, ReleaseState.ACTIVE)
    store.set_release_state(2, ReleaseState.CANARY, canary_fraction=0.1)
    store.set_release_state(3, ReleaseState.CANARY, canary_fraction=0.2)
    assert [(r.state.value, r.canary_fraction) for r in store.list_releases()] == [
        ("CANARY", 0.2),
        ("RETIRED", 0.0),
        ("ACTIVE", 0.0),
    ]
    store.set_release_state(3, ReleaseState.REJECTED, "errors")
    assert store.get_release(3).reason == "errors"


def test_an_unknown_release_is_named(store):
    with pytest.raises(UnknownRelease, match="no release 9"):
        store.get_release(9)
    with pytest.raises(UnknownRelease, match="no release 9"):
        store.set_release_state(9, ReleaseState.ACTIVE)


def test_a_lease_has_one_holder_until_it_expires(store):
    assert store.acquire_lease("export", "a", 10, 100) == Lease("export", "a", 1, 110)
    assert store.acquire_lease("export", "b", 10, 105) is None
    assert store.acquire_lease("export", "a", 10, 108) == Lease("export", "a", 1, 118)
    assert store.acquire_lease("export", "b", 10, 118) == Lease("export", "b", 2, 128)
    assert store.acquire_lease("export", "a", 10, 120) is None


def test_a_lease_that_was_given_up_is_free_and_its_fence_is_never_reused(store):
    first = store.acquire_lease("x", "a", 10, 100)
    store.release_lease(first)
    second = store.acquire_lease("x", "a", 10, 101)
    assert second.fence > first.fence
    store.release_lease(first)
    assert store.acquire_lease("x", "b", 10, 102) is None


def test_the_fence_grows_for_an_old_holder_whose_lease_had_expired(store):
    first = store.acquire_lease("x", "a", 10, 100)
    again = store.acquire_lease("x", "a", 10, 100 + 10 + 2 * 86_400_000_000)
    assert again.fence > first.fence


def test_held_leases_are_listed_by_prefix(store):
    for name in ("serves/2/gateway-b", "serves/1/gateway-a", "server", "triton/1"):
        store.acquire_lease(name, "h", 10, 100)
    store.acquire_lease("serves/9/short", "h", 1, 100)
    assert [lease.name for lease in store.list_leases("serves/", 105)] == ["serves/1/gateway-a", "serves/2/gateway-b"]
    assert store.list_leases("", 200) == []


def test_a_reservation_by_the_same_key_gives_the_same_number(store):
    first = store.next_release("run a")
    assert store.next_release("run a") == first
    assert store.next_release("run b") == first + 1
    assert store.next_release() == first + 2


def test_a_rollback_goes_to_what_served_before_and_never_back_to_what_it_left(store, make_release):
    for n in (1, 2, 3):
        store.put_release(make_release(n))
        store.set_release_state(n, ReleaseState.ACTIVE)
    assert store.roll_back(0, "worse").release == 2
    assert [(r.release, r.state.value, r.reason) for r in store.list_releases()] == [
        (3, "RETIRED", "worse"),
        (2, "ACTIVE", "worse"),
        (1, "RETIRED", "replaced by release 2"),
    ]
    assert store.roll_back(0, "still worse").release == 1
    with pytest.raises(UnknownRelease, match="no release served before"):
        store.roll_back(0, "nowhere to go")
    assert store.active_release().release == 1
    assert store.roll_back(3, "by number").release == 3


def test_a_rejected_release_never_serves(store, make_release):
    for n in (1, 2):
        store.put_release(make_release(n))
    store.set_release_state(1, ReleaseState.ACTIVE)
    store.set_release_state(2, ReleaseState.REJECTED, "worse")
    for state in (ReleaseState.ACTIVE, ReleaseState.CANARY, ReleaseState.SHADOW):
        with pytest.raises(RejectedRelease, match="release 2 was rejected"):
            store.set_release_state(2, state)
    with pytest.raises(RejectedRelease):
        store.roll_back(2, "no")
    assert store.active_release().release == 1


def test_a_write_under_a_lease_that_has_passed_on_is_refused(store, make_release):
    store.put_release(make_release(1))
    old = store.acquire_lease("exporter", "a", 1_000, 0)
    new = store.acquire_lease("exporter", "b", 1_000, 2_000)
    with pytest.raises(LeaseLost):
        store.set_release_state(1, ReleaseState.ACTIVE, lease=old)
    assert store.active_release() is None
    store.set_release_state(1, ReleaseState.ACTIVE, lease=new)
    assert store.active_release().release == 1


def test_the_releases_that_take_part_are_listed_newest_first(store, make_release):
    states = (
        ReleaseState.ACTIVE,
        ReleaseState.CANARY,
        ReleaseState.SHADOW,
        ReleaseState.RETIRED,
        ReleaseState.REJECTED,
    )
    for n, state in enumerate(states, 1):
        store.put_release(make_release(n))
        store.set_release_state(n, state)
    store.put_release(make_release(6))
    assert [(r.release, r.state.value) for r in store.serving_releases()] == [
        (3, "SHADOW"),
        (2, "CANARY"),
        (1, "ACTIVE"),
    ]


def test_a_note_says_why_and_changes_nothing_else(store, make_release):
    store.put_release(make_release(1))
    store.set_release_state(1, ReleaseState.ACTIVE, "gate")
    before = store.get_release(1)
    store.note_release(1, "no space left")
    after = store.get_release(1)
    assert after.reason == "no space left"
    assert (after.state, after.activation) == (before.state, before.activation)
    with pytest.raises(UnknownRelease):
        store.note_release(9, "what for")


def test_a_move_that_expects_a_state_is_refused_in_another(store, make_release):
    store.put_release(make_release(1))
    store.set_release_state(1, ReleaseState.CANARY, canary_fraction=0.1, expected=ReleaseState.CANDIDATE)
    store.set_release_state(1, ReleaseState.ACTIVE)
    with pytest.raises(StateChanged, match="is ACTIVE, not CANARY"):
        store.set_release_state(1, ReleaseState.RETIRED, "too late", expected=ReleaseState.CANARY)
    assert store.active_release().release == 1

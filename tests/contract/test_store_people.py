"""What every store's users hold to: changes that followers see, consent, erasure."""

from __future__ import annotations

import pytest

from recency.v1 import user_pb2
from recency_store.errors import StateChanged
from recency_store.records import AuditEntry, SlateRecord


def _slate(name: str, user_id: str, micros: int = 5) -> SlateRecord:
    return SlateRecord(name, user_id, micros, 1, ("a",))


def test_a_stored_user_is_a_change_that_followers_see(store, make_event):
    store.append([make_event("e")])
    number = store.put_user(user_pb2.User(user_id="u", maturity_limit=3), 9, text_vector=b"v", text_encoder="enc")
    [seen] = store.changes(1, 10).users
    assert (seen.user_id, seen.revision, seen.text_vector, seen.text_encoder) == ("u", number, b"v", "enc")
    assert (seen.user().maturity_limit, seen.user().create_time.ToMicroseconds()) == (3, 9)
    assert store.changes(0, 1).users == ()
    assert store.changes(0, 1).more


def test_a_user_who_was_stored_meanwhile_is_not_overwritten(store):
    first = store.put_user(user_pb2.User(user_id="u", maturity_limit=1), 1, expected=0)
    store.put_user(user_pb2.User(user_id="u", maturity_limit=2), 2, expected=first)
    for expected in (0, first):
        with pytest.raises(StateChanged):
            store.put_user(user_pb2.User(user_id="u", maturity_limit=3), 3, expected=expected)
    assert store.get_user("u").user().maturity_limit == 2


def test_those_whose_events_may_not_train_are_known(store):
    for name, training in (("yes", True), ("no", False), ("silent", None), ("changed", False)):
        store.put_user(user_pb2.User(user_id=name, consent=user_pb2.Consent(training=training)), 1)
    store.put_user(user_pb2.User(user_id="changed"), 2)
    assert store.users_not_training() == {"no"}


def test_all_events_of_a_user_are_scanned_in_order_of_time(store, make_event):
    store.append([make_event(f"e{n}", time_micros=(7 * n) % 5_003) for n in range(4_500)])
    store.append([make_event("other", user_id="v")])
    found = [(e.time_micros, e.sequence) for e in store.scan_user("u")]
    assert len(found) == 4_500
    assert found == sorted(found)


def test_an_erased_user_is_nowhere_and_the_others_are(store, make_event):
    store.append([make_event("e1"), make_event("e2", user_id="v"), make_event("e3")])
    store.put_user(user_pb2.User(user_id="u"), 1)
    store.put_slates([_slate("r1", "u"), _slate("r2", "v")])
    erasure = store.erase_user("u", 2_000, actor="me")
    assert (erasure.number, erasure.events, erasure.slates) == (5, 2, 1)
    assert list(store.scan_user("u")) == store.read_user("u", 10) == []
    assert store.get_user("u") is None
    assert store.get_slate("r1") is None
    assert [e.event_id for e in store.scan_log()] == ["e2"]
    assert store.get_slate("r2") is not None
    assert store.last_sequence() == 5


def test_an_erasure_is_recorded_by_hash_and_counts_alone(store, make_event):
    store.append([make_event("e1", user_id="somebody")])
    erasure = store.erase_user("somebody", 2_000, actor="me")
    digest = store.user_digest("somebody")
    assert erasure.digest == digest
    assert "somebody" not in digest
    assert digest != store.user_digest("somebody else")
    note = "erased 1 events, 0 slates, no attributes"
    assert store.audit(1) == [AuditEntry(erasure.number, 2_000, "me", "erase", digest, note)]
    assert store.erasures() == list(store.changes(0, 10).erasures) == [erasure]
    assert store.erasures(erasure.number) == []


def test_erasing_again_answers_the_first_erasure(store, make_event):
    store.append([make_event("e1")])
    first = store.erase_user("u", 2_000)
    assert store.erase_user("u", 3_000) == first
    assert len(store.audit(10)) == 1
    # What was done before the second request, and comes late, is kept out all the same.
    assert store.append([make_event("late", time_micros=2_500)])[0].erased


def test_somebody_unknown_is_erased_for_what_may_still_come(store, make_event):
    erasure = store.erase_user("never", 2_000)
    assert (erasure.events, erasure.slates) == (0, 0)
    [answer] = store.append([make_event("e", user_id="never", time_micros=2_000)])
    assert (answer.erased, answer.duplicate, answer.sequence) == (True, False, erasure.number)
    assert store.read_user("never", 10) == []


def test_what_comes_late_is_kept_out_and_who_comes_back_is_new(store, make_event):
    store.append([make_event("e1"), make_event("e2", user_id="v")])
    first = store.erase_user("u", 2_000)
    answers = store.append(
        [make_event("e1"), make_event("e2", user_id="v"), make_event("new", time_micros=2_001), make_event("e3")]
    )
    assert [answer.erased for answer in answers] == [True, False, False, True]
    assert [answer.duplicate for answer in answers] == [False, True, False, False]
    store.put_slates([_slate("old", "u", 2_000), _slate("fresh", "u", 2_001)])
    assert store.get_slate("old") is None
    assert store.get_slate("fresh") is not None
    assert [e.event_id for e in store.read_user("u", 10)] == ["new"]
    second = store.erase_user("u", 4_000)
    assert second.number > first.number
    assert (second.events, second.slates) == (1, 1)
    assert store.erasures() == [second]
    assert len(store.audit(10)) == 2

"""Two users who turn out to be one: what every store makes of it."""

from __future__ import annotations

from recency.v1 import user_pb2
from recency_store.records import Rewrite, SlateRecord


def test_a_merge_moves_events_slates_and_attributes_and_is_told_to_followers(store, make_event):
    store.append([make_event("v1", "visitor", "a", 3), make_event("u1", "user", "b", 2), make_event("v2", "visitor")])
    store.put_slates([SlateRecord("r", "visitor", 1, 1, ("a",))])
    before = store.last_sequence()
    number, moved = store.merge_users("visitor", "user", 5)
    assert moved == 2
    assert number == store.last_sequence() == store.last_rewrite() > before
    assert store.read_user("visitor", 10) == []
    assert [e.event_id for e in store.read_user("user", 10)] == ["u1", "v1", "v2"]
    assert {e.event().user_id for e in store.scan_log()} == {"user"}
    assert store.get_slate("r").user_id == "user"
    changes = store.changes(before, 10)
    assert changes.rewrites == (Rewrite(before + 1, "visitor"), Rewrite(before + 2, "user"))
    assert (changes.events, changes.through, changes.more) == ((), number, False)
    first = store.changes(before, 1)
    assert (first.rewrites, first.through, first.more) == (changes.rewrites[:1], before + 1, True)


def test_a_merge_done_again_changes_nothing_and_what_comes_later_is_a_new_visitors(store, make_event):
    store.append([make_event("v1", "visitor")])
    number, _ = store.merge_users("visitor", "user", 5)
    assert store.merge_users("visitor", "user", 6) == (number, 0)
    assert store.merge_users("nobody", "user", 6) == (number, 0)
    assert store.merge_users("user", "user", 6) == (number, 0)
    assert [e.event_id for e in store.read_user("user", 10)] == ["v1"]
    store.append([make_event("v2", "visitor")])
    assert [e.event_id for e in store.read_user("visitor", 10)] == ["v2"]
    assert store.merge_users("visitor", "user", 7)[1] == 1


def test_of_two_users_attributes_the_targets_win_and_a_refusal_stays_one(store):
    visitor = user_pb2.User(user_id="visitor", consent=user_pb2.Consent(training=False), maturity_limit=10)
    visitor.attributes.update({"device": "tv", "age": 1})
    user = user_pb2.User(user_id="user", consent=user_pb2.Consent(training=True, personalization=True))
    user.attributes.update({"age": 40})
    store.put_user(visitor, 3)
    store.put_user(user, 2)
    store.merge_users("visitor", "user", 9)
    assert store.get_user("visitor") is None
    merged = store.get_user("user")
    assert (merged.create_micros, merged.update_micros) == (2, 9)
    known = user_pb2.User.FromString(merged.payload)
    assert dict(known.attributes.items()) == {"age": 40.0, "device": "tv"}
    assert (known.consent.training, known.consent.personalization, known.maturity_limit) == (False, True, 10)
    assert known.user_id == "user"


def test_an_erased_user_takes_what_the_merge_left_of_the_visitor_along(store, make_event):
    store.append([make_event("v1", "visitor"), make_event("w1", "other")])
    store.merge_users("visitor", "user", 5)
    rewritten = store.merge_users("user", "owner", 6)[0]
    store.erase_user("owner", 7)
    assert store.changes(0, 100).rewrites == ()
    assert store.last_rewrite() == rewritten
    assert [e.event_id for e in store.scan_log()] == ["w1"]


def test_events_are_found_by_their_ids_with_what_they_take_back(store, make_event):
    store.append([make_event("a"), make_event("b", retracts_event_id="a")])
    found = store.get_events(["a", "b", "no"])
    assert {event_id: event.retracts for event_id, event in found.items()} == {"a": "", "b": "a"}

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


def test_what_comes_late_of_an_erased_users_visitor_days_is_kept_out_and_the_next_visitor_is_not(store, make_event):
    store.append([make_event("v1", "visitor", time_micros=1_000)])
    store.merge_users("visitor", "user", 5_000)
    # Of the time before the merge and the phone was offline; and somebody else behind the same cookie.
    store.append([make_event("v2", "visitor", time_micros=4_000), make_event("next", "visitor", time_micros=6_000)])
    store.put_slates(
        [SlateRecord("late", "visitor", 4_500, 1, ("a",)), SlateRecord("new", "visitor", 6_000, 1, ("a",))]
    )
    erasure = store.erase_user("user", 9_000)
    assert (erasure.events, erasure.slates) == (2, 1)
    assert [e.event_id for e in store.scan_log()] == ["next"]
    assert store.get_slate("late") is None
    assert store.get_slate("new") is not None
    answers = store.append(
        [make_event("v1", "visitor", time_micros=1_000), make_event("v3", "visitor", time_micros=8_000)]
    )
    assert [answer.erased for answer in answers] == [True, False]
    # Followers that have not heard of the merge forget the visitor too, and before the user's token is reached.
    told = store.changes(0, 100).erasures
    assert {one.digest for one in told} == {store.user_digest("visitor"), store.user_digest("user")}
    assert max(one.number for one in told) == erasure.number
    assert store.audit(1)[0].reason == "erased 2 events, 1 slates, no attributes, 1 merged visitors"
    assert store.erase_user("user", 9_500) == erasure


def test_a_visitor_of_visitors_is_kept_out_up_to_when_each_was_merged(store, make_event):
    store.append([make_event("a1", "a"), make_event("b1", "b")])
    store.merge_users("a", "b", 2_000)
    store.merge_users("b", "c", 3_000)
    store.erase_user("c", 9_000)
    late = [
        make_event(f"{who}/{time}", who, time_micros=time) for who in "abc" for time in (1_500, 2_500, 3_500, 9_500)
    ]
    assert [answer.erased for answer in store.append(late)] == [
        *(True, False, False, False),
        *(True, True, False, False),
        *(True, True, True, False),
    ]


def test_what_a_visitor_did_before_the_user_was_erased_does_not_come_back_by_a_merge(store, make_event):
    store.append([make_event("u1", "user")])
    store.erase_user("user", 5_000)
    store.append([make_event("v1", "visitor", time_micros=4_000), make_event("v2", "visitor", time_micros=6_000)])
    number, moved = store.merge_users("visitor", "user", 7_000)
    assert moved == 1
    assert [e.event_id for e in store.scan_log()] == ["v2"]
    assert store.append([make_event("v1", "visitor", time_micros=4_000)])[0].erased
    assert store.merge_users("visitor", "user", 8_000) == (number, 0)

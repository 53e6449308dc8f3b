"""Reported items wait until somebody decides on them; what every store makes of it."""

from __future__ import annotations

import pytest

from recency_store.errors import NothingToReview
from recency_store.records import Review

REPORT = 15


@pytest.fixture
def report(make_event):
    def make(event_id, item_id, user_id="u", reason="", **fields):
        event = make_event(event_id, user_id, item_id, **fields)
        event.type = REPORT
        if reason:
            event.context["reason"] = reason
        return event

    return make


def test_a_reported_item_waits_with_how_many_said_so_and_what_the_newest_says(store, make_event, report):
    store.append(
        [
            report("a", "rude", "u", "swears", time_micros=5),
            report("b", "rude", "v", time_micros=3),
            report("c", "rude", "v", "swears in every line", time_micros=4),
            make_event("d", "u", "rude"),
            report("e", "dull", "u"),
        ]
    )
    assert store.reviews(10) == [
        Review("rude", 3, 2, 3, 5, "swears in every line", 3),
        Review("dull", 1, 1, 1_000, 1_000, "", 5),
    ]
    assert [review.item_id for review in store.reviews(1)] == ["rude"]


def test_a_decision_closes_a_review_hides_and_is_on_record(store, make_item, report):
    store.upsert_items([make_item("rude"), make_item("fine")], 1)
    store.append([report("a", "rude"), report("b", "fine")])
    number = store.resolve_review("rude", "against the rules", 7, hide=True, actor="ann")
    store.resolve_review("fine", "it is not", 8, hide=False, actor="ann")
    assert store.reviews(10) == []
    hidden = store.get_items(["rude", "fine"])
    assert (hidden["rude"].hidden_reason, hidden["fine"].hidden_reason) == ("against the rules", None)
    said = [(entry.actor, entry.action, entry.reason) for entry in store.audit(3)]
    assert said == [
        ("ann", "review-keep", "it is not"),
        ("ann", "review-hide", "against the rules"),
        ("ann", "hide", "against the rules"),
    ]
    assert [entry.number for entry in store.audit(3)][1] == number


def test_a_report_after_the_decision_opens_it_anew(store, report):
    store.append([report("a", "i")])
    store.resolve_review("i", "fine", 1, hide=False)
    with pytest.raises(NothingToReview, match="list the reviews"):
        store.resolve_review("i", "fine", 1, hide=False)
    store.append([report("b", "i", "v")])
    assert [(review.reports, review.users) for review in store.reviews(10)] == [(1, 1)]


def test_what_came_after_it_was_listed_stays_open(store, report):
    store.append([report("a", "i"), report("b", "i")])
    [listed] = store.reviews(10)
    store.append([report("c", "i")])
    store.resolve_review("i", "fine", 1, hide=False, through=listed.through)
    assert [review.reports for review in store.reviews(10)] == [1]


def test_a_report_that_was_taken_back_does_not_count(store, report):
    store.append([report("a", "i"), report("b", "i", retracts_event_id="a"), report("c", "i", "v")])
    assert [(review.reports, review.users) for review in store.reviews(10)] == [(1, 1)]
    store.append([report("d", "i", "u", retracts_event_id="c"), report("e", "i", "v", retracts_event_id="c")])
    assert store.reviews(10) == []

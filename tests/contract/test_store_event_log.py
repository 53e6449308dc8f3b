"""What every store's event log holds to."""

from __future__ import annotations

import threading

import pytest

from recency_store.errors import StoreClosed
from recency_store.records import Appended


def test_an_appended_event_is_read_back_as_it_was_sent(store, make_event):
    event = make_event("e", value=4.5, session_id="s", shown_item_ids=["a", "b"])
    event.context["page"] = "home"
    assert store.append([event]) == [Appended(1, False)]
    [logged] = store.read_log(0, 10)
    assert logged.event() == event
    assert (logged.event_id, logged.user_id, logged.item_id, logged.type) == ("e", "u", "i", 3)
    assert (logged.time_micros, logged.value, logged.sequence) == (1_000, 4.5, 1)


def test_an_absent_value_is_not_zero(store, make_event):
    store.append([make_event("a"), make_event("b", value=0.0)])
    assert [e.value for e in store.read_log(0, 10)] == [None, 0.0]


def test_the_same_event_id_counts_once_and_answers_the_first_position(store, make_event):
    assert store.append([make_event("a"), make_event("b")]) == [Appended(1, False), Appended(2, False)]
    assert store.append([make_event("b", item_id="other"), make_event("c"), make_event("c")]) == [
        Appended(2, True),
        Appended(3, False),
        Appended(3, True),
    ]
    assert [e.item_id for e in store.read_log(0, 10)] == ["i", "i", "i"]
    assert store.last_sequence() == 3


@pytest.mark.parametrize("count", [1, 15, 16, 255, 256, 257, 10_000])
def test_any_number_of_events_is_stored_once_though_it_is_sent_twice(store, make_event, count):
    events = [make_event(f"e{n}") for n in range(count)]
    first = store.append(events)
    assert first == [Appended(n + 1, False) for n in range(count)]
    assert store.append(events) == [Appended(n + 1, True) for n in range(count)]
    assert sum(1 for _ in store.scan_log()) == count


def test_appending_nothing_changes_nothing(store):
    assert store.append([]) == []
    assert store.last_sequence() == 0


def test_an_event_without_id_or_time_is_refused_with_all_its_neighbours(store, make_event):
    timeless = make_event("b")
    timeless.ClearField("event_time")
    for bad in (timeless, make_event("")):
        with pytest.raises(ValueError, match="event_id and an event_time"):
            store.append([make_event("a"), bad])
    assert store.read_log(0, 10) == []
    assert store.last_sequence() == 0


def test_a_user_is_read_by_time_then_position_newest_last(store, make_event):
    store.append(
        [make_event("late", time_micros=30), make_event("early", time_micros=10), make_event("mid", time_micros=20)]
    )
    store.append([make_event("mid2", time_micros=20), make_event("else", user_id="v", time_micros=40)])
    assert [e.event_id for e in store.read_user("u", 10)] == ["early", "mid", "mid2", "late"]
    assert [e.event_id for e in store.read_user("u", 2)] == ["mid2", "late"]
    assert [e.event_id for e in store.read_user("u", 2, through_micros=20)] == ["mid", "mid2"]
    assert store.read_user("u", 0) == []
    assert store.read_user("nobody", 5) == []


def test_names_of_any_characters_stay_apart(store, make_event):
    names = ["", "a", "A", "a\x00", "a\x00b", "ä", "ä", "𝄞", "'; DROP TABLE events; --", " a"]
    store.append([make_event(f"e{name}", user_id=name) for name in names])
    for name in names:
        assert [e.user_id for e in store.read_user(name, 10)] == [name]


def test_the_log_is_read_in_order_from_past_a_position(store, make_event):
    store.append([make_event(f"e{n}") for n in range(10)])
    assert [e.sequence for e in store.read_log(3, 4)] == [4, 5, 6, 7]
    assert store.read_log(10, 4) == []
    assert store.read_log(0, 0) == []


def test_a_scan_is_one_view_as_of_its_call(store, make_event):
    store.append([make_event(f"e{n}") for n in range(5)])
    scan = store.scan_log(after=1)
    assert next(scan).sequence == 2
    store.append([make_event("later")])
    assert [e.sequence for e in scan] == [3, 4, 5]
    assert [e.sequence for e in store.scan_log(after=2, through=4)] == [3, 4]
    assert [e.sequence for e in store.scan_log(through=99)] == [1, 2, 3, 4, 5, 6]


def test_changes_merge_events_and_items_by_their_numbers(store, make_event, make_item):
    store.append([make_event("a")])  # 1
    store.upsert_items([make_item("x"), make_item("y")], 5)  # 2, 3
    store.append([make_event("b")])  # 4
    store.hide_items(["x"], "why", 6)  # 5, and 2 is no more
    everything = store.changes(0, 10)
    assert [e.sequence for e in everything.events] == [1, 4]
    assert [(i.item_id, i.revision) for i in everything.items] == [("y", 3), ("x", 5)]
    assert (everything.through, everything.more) == (5, False)

    part = store.changes(0, 3)
    assert ([e.sequence for e in part.events], [i.revision for i in part.items]) == ([1, 4], [3])
    assert (part.through, part.more) == (4, True)
    rest = store.changes(part.through, 3)
    assert ([e.sequence for e in rest.events], [i.revision for i in rest.items]) == ([], [5])
    assert (rest.through, rest.more) == (5, False)


def test_changes_pass_numbers_that_are_neither_events_nor_items(store, make_event):
    from recency.v1 import user_pb2

    store.append([make_event("a")])
    assert store.put_user(user_pb2.User(user_id="u"), 9) == 2
    assert store.changes(1, 10).through == 2
    assert store.last_sequence() == 2
    ahead = store.changes(7, 10)
    assert (ahead.events, ahead.items, ahead.through, ahead.more) == ((), (), 7, False)


def test_the_last_sequence_is_seen_by_every_thread(store, make_event):
    seen: list[int] = []

    def look() -> None:
        seen.append(store.last_sequence())
        store.append([make_event(threading.current_thread().name)])
        seen.append(store.last_sequence())

    assert store.last_sequence() == 0
    for n in range(3):
        thread = threading.Thread(target=look, name=f"t{n}")
        thread.start()
        thread.join()
    assert seen == [0, 1, 1, 2, 2, 3]
    assert store.last_sequence() == 3


def test_threads_that_append_at_once_get_positions_of_their_own(store, make_event):
    answers: list[Appended] = []

    def work(name: str) -> None:
        for n in range(40):
            answers.extend(store.append([make_event(f"{name}-{n}"), make_event(f"shared-{n}")]))

    threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    new = [a.sequence for a in answers if not a.duplicate]
    assert sorted(new) == list(range(1, 4 * 40 + 40 + 1))
    assert [e.sequence for e in store.scan_log()] == sorted(new)


def test_a_call_after_close_is_an_error(store, make_event):
    store.close()
    store.close()
    for call in (store.last_sequence, store.list_releases, lambda: store.append([make_event("a")])):
        with pytest.raises(StoreClosed):
            call()

"""What every store's catalogue, users and slates hold to."""

from __future__ import annotations

from recency.v1 import item_pb2, user_pb2
from recency_store.records import AuditEntry, NewItem, SlateRecord


def test_an_item_is_read_back_with_its_vector_and_times(store, make_item):
    assert store.upsert_items([make_item("a", "A", b"1234", "enc")], 7) == 1
    stored = store.get_items(["a", "b", "a"])["a"]
    assert list(store.get_items(["a", "b"])) == ["a"]
    assert (stored.revision, stored.text_vector, stored.text_encoder) == (1, b"1234", "enc")
    assert (stored.create_micros, stored.update_micros, stored.visible) == (7, 7, True)
    item = stored.item()
    assert (item.title, item.create_time.ToMicroseconds(), item.hidden) == ("A", 7, False)


def test_an_upsert_keeps_creation_and_the_hidden_mark(store, make_item):
    store.upsert_items([make_item("a", "old", b"v", "enc")], 1)
    store.hide_items(["a"], "bad", 2)
    assert store.upsert_items([make_item("a", "new")], 3) == 3
    stored = store.get_items(["a"])["a"]
    assert (stored.create_micros, stored.update_micros, stored.hidden_reason) == (1, 3, "bad")
    assert (stored.item().title, stored.text_vector, stored.text_encoder) == ("new", b"", "")
    assert stored.item().hidden
    assert stored.item().hidden_reason == "bad"


def test_output_only_fields_that_a_caller_sends_are_not_kept(store):
    sent = item_pb2.Item(item_id="a", hidden=True, hidden_reason="no")
    sent.create_time.FromMicroseconds(1)
    store.upsert_items([NewItem(sent)], 9)
    assert not store.get_items(["a"])["a"].item().hidden
    assert store.get_items(["a"])["a"].item().create_time.ToMicroseconds() == 9
    assert sent.hidden


def test_the_later_of_two_of_the_same_item_in_one_call_counts(store, make_item):
    assert store.upsert_items([make_item("a", "one"), make_item("a", "two")], 1) == 2
    assert store.get_items(["a"])["a"].item().title == "two"
    assert store.count_items() == 1


def test_a_deleted_item_leaves_a_tombstone_that_followers_see(store, make_item):
    store.upsert_items([make_item("a", "secret", b"v", "enc"), make_item("b")], 1)
    assert store.delete_items(["a", "nothing", "a"], 5) == (3, ["nothing"])
    assert store.get_items(["a"]) == {}
    assert store.count_items() == 1
    [tombstone] = store.changes(2, 10).items
    assert (tombstone.item_id, tombstone.deleted, tombstone.visible, tombstone.revision) == ("a", True, False, 3)
    assert (tombstone.payload, tombstone.text_vector) == (b"", b"")
    assert store.delete_items(["a"], 6) == (3, ["a"])
    assert store.hide_items(["a"], "x", 6) == (3, ["a"])


def test_an_item_that_comes_back_is_new_and_not_hidden(store, make_item):
    store.upsert_items([make_item("a")], 1)
    store.hide_items(["a"], "bad", 2)
    store.delete_items(["a"], 3)
    store.upsert_items([make_item("a")], 4)
    stored = store.get_items(["a"])["a"]
    assert (stored.create_micros, stored.hidden_reason, stored.deleted) == (4, None, False)


def test_hiding_and_showing_again_are_audited(store, make_item):
    store.upsert_items([make_item("a"), make_item("b")], 1)
    assert store.hide_items(["b", "a", "c"], "rude", 5, actor="mod") == (4, ["c"])
    assert not store.get_items(["a"])["a"].visible
    assert store.hide_items(["a"], None, 6, actor="boss", why="appeal") == (5, [])
    assert store.get_items(["a"])["a"].visible
    assert store.audit(10) == [
        AuditEntry(5, 6, "boss", "unhide", "a", "appeal"),
        AuditEntry(4, 5, "mod", "hide", "a", "rude"),
        AuditEntry(3, 5, "mod", "hide", "b", "rude"),
    ]
    assert [e.number for e in store.audit(1)] == [5]
    assert [e.number for e in store.audit(9, action="hide", subject="b")] == [3]


def test_a_vector_is_written_only_for_the_text_it_was_made_of(store, make_item):
    store.upsert_items([make_item("a"), make_item("b"), make_item("c")], 1)
    store.upsert_items([make_item("b")], 2)
    store.delete_items(["c"], 2)
    before = store.last_sequence()
    assert store.set_text_vectors([("a", 1, b"va"), ("b", 2, b"vb"), ("c", 3, b"vc"), ("d", 9, b"vd")], "enc") == 1
    assert store.last_sequence() == before
    items = store.get_items(["a", "b"])
    assert (items["a"].text_vector, items["a"].text_encoder, items["a"].revision) == (b"va", "enc", 1)
    assert items["b"].text_vector == b""


def test_items_are_listed_by_the_bytes_of_their_ids(store, make_item):
    names = ["b", "a", "B", "ä", "𝄞", "\uffff", "a\x00", "aa"]
    store.upsert_items([make_item(n) for n in [*names, "gone"]], 1)
    store.delete_items(["gone"], 2)
    in_order = sorted(names, key=lambda n: n.encode())
    assert [i.item_id for i in store.list_items(100)] == in_order
    paged: list[str] = []
    while page := store.list_items(3, paged[-1] if paged else ""):
        paged += [i.item_id for i in page]
    assert paged == in_order
    assert store.count_items() == len(names)


def test_a_user_keeps_the_time_of_their_first_storing(store):
    assert store.get_user("u") is None
    store.put_user(user_pb2.User(user_id="u", maturity_limit=3), 1)
    assert store.put_user(user_pb2.User(user_id="u", maturity_limit=4), 2) == 2
    stored = store.get_user("u")
    assert (stored.revision, stored.create_micros, stored.update_micros) == (2, 1, 2)
    assert user_pb2.User.FromString(stored.payload).maturity_limit == 4


def test_slates_are_kept_up_to_the_limit(store):
    def slate(n: int) -> SlateRecord:
        return SlateRecord(f"r{n}", "u", n, 1, ("a", "b"), {"surface": "home"}, '{"page": 1}')

    store.put_slates([slate(n) for n in range(8)])
    store.put_slates([slate(n) for n in range(8, 13)])
    assert store.get_slate("r12") == slate(12)
    assert store.get_slate("r3") == slate(3)
    assert store.get_slate("r2") is None
    assert store.get_slate("never") is None
    assert list(store.scan_slates(0, 99)) == [slate(n) for n in range(3, 13)]
    assert [s.time_micros for s in store.scan_slates(5, 7)] == [5, 6]


def test_slates_left_to_chance_are_found_again_with_the_chance_of_each_place(store):
    def slate(n: int, *chances: float | None) -> SlateRecord:
        return SlateRecord(f"r{n}", "u", 10 * n, 1, ("a", "b"), exploration=0.1, propensities=chances, aimed=n == 4)

    explored = [slate(1, 0.95, 1 / 3), slate(2), slate(3, None, 0.05), slate(4, 1.0, 0.25)]
    store.put_slates(explored)
    assert store.explored_slates(0, 10) == [explored[0], *explored[2:]]
    assert store.explored_slates(10, 10) == explored[2:]
    assert store.explored_slates(0, 1) == explored[3:]
    assert store.explored_slates(0, 0) == []
    assert store.get_slate("r3") == explored[2]

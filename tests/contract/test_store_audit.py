"""What every store's audit log holds to: entries are added, and stay."""

from __future__ import annotations

import inspect
import re
import sqlite3

import pytest

from recency_store.protocol import Store
from recency_store.records import AuditEntry
from recency_store.sqlite import open_sqlite


def test_an_entry_has_a_number_of_all_changes_and_is_read_newest_first(store, make_item):
    store.upsert_items([make_item("a")], 1)
    assert store.append_audit("rules", "rules.toml", "3 rules", 5, actor="gateway-1") == 2
    assert store.hide_items(["a"], "bad", 6)[0] == 3 == store.last_sequence()
    assert store.audit(9) == [
        AuditEntry(3, 6, "", "hide", "a", "bad"),
        AuditEntry(2, 5, "gateway-1", "rules", "rules.toml", "3 rules"),
    ]
    assert store.changes(1, 9).through == 3


def test_what_the_newest_entry_says_is_not_said_twice(store):
    def say(reason: str, subject: str = "f") -> int:
        return store.append_audit("rules", subject, reason, 1, unless_said=True)

    assert [say("a"), say("a"), say("b"), say("a"), say("a", "g"), say("a")] == [1, 1, 2, 3, 4, 3]
    assert store.append_audit("rules", "f", "a", 1) == 5


def test_the_protocol_has_no_call_that_changes_or_removes_an_entry():
    calls = {name for name, _ in inspect.getmembers(Store, inspect.isfunction) if not name.startswith("_")}
    assert {name for name in calls if "audit" in name} == {"append_audit", "audit"}
    assert not [name for name in calls if re.search("delete|drop|remove|clear", name) and "audit" in name]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET reason = 'nothing happened'",
        "DELETE FROM audit",
        "INSERT OR REPLACE INTO audit VALUES (1, 1, '', 'hide', 'a', 'another')",
    ],
)
def test_the_file_itself_refuses_to_change_an_entry(tmp_path, statement):
    path = tmp_path / "store.sqlite"
    store = open_sqlite(path)
    store.append_audit("hide", "a", "bad", 1)
    other = sqlite3.connect(path, isolation_level=None)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        other.execute(statement)
    other.close()
    assert [e.reason for e in store.audit(9)] == ["bad"]
    store.close()

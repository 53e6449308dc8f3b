"""What becomes of a user under an update mask (AIP-134), and which requests are wrong."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import field_mask_pb2

from recency.v1 import user_pb2
from recency_server.store_user import changed
from recency_server.validate_user import upsert_problems
from recency_store.records import StoredUser


def _user(**fields: Any) -> user_pb2.User:
    user = user_pb2.User(user_id="u", **{k: v for k, v in fields.items() if k != "attributes"})
    user.attributes.update(fields.get("attributes", {}))
    return user


OLD = _user(attributes={"age": 24, "job": "smith"}, maturity_limit=12, consent={"training": False})


def _changed(new: user_pb2.User, *paths: str, old: user_pb2.User | None = OLD) -> user_pb2.User:
    stored = StoredUser("u", 1, old.SerializeToString(), 5, 6) if old is not None else None
    request = user_pb2.UpsertUserRequest(user=new, update_mask=field_mask_pb2.FieldMask(paths=paths))
    assert upsert_problems(request) == []
    found = changed(stored, request)
    found.ClearField("create_time")
    found.ClearField("update_time")
    return found


@pytest.mark.parametrize("paths", [(), ("*",)])
def test_without_a_mask_everything_is_replaced(paths: tuple[str, ...]) -> None:
    assert _changed(_user(maturity_limit=3), *paths) == _user(maturity_limit=3)


def test_only_what_the_mask_names_changes() -> None:
    new = _user(attributes={"age": 25}, maturity_limit=3, consent={"personalization": False})
    assert _changed(new, "maturity_limit") == _user(
        attributes={"age": 24, "job": "smith"}, maturity_limit=3, consent={"training": False}
    )
    assert _changed(new, "attributes.age").attributes == _user(attributes={"age": 25, "job": "smith"}).attributes
    assert _changed(new, "attributes").attributes == new.attributes
    assert _changed(new, "consent").consent == new.consent
    both = _changed(new, "consent.personalization").consent
    assert (both.training, both.personalization) == (False, False)


def test_a_field_that_is_named_and_not_given_is_cleared() -> None:
    empty = _user()
    assert not _changed(empty, "maturity_limit").HasField("maturity_limit")
    assert not _changed(empty, "consent.training").consent.HasField("training")
    assert dict(_changed(empty, "attributes.job").attributes) == {"age": 24}
    assert not _changed(empty, "attributes").HasField("attributes")


def test_a_mask_over_nobody_makes_them() -> None:
    assert _changed(_user(maturity_limit=3, attributes={"age": 1}), "maturity_limit", old=None) == _user(
        maturity_limit=3
    )


def test_a_limit_of_zero_is_a_limit() -> None:
    found = _changed(_user(maturity_limit=0), "maturity_limit")
    assert found.HasField("maturity_limit")
    assert found.maturity_limit == 0


@pytest.mark.parametrize(
    ("request_fields", "field"),
    [
        ({}, "user.user_id"),
        ({"user": {"user_id": "x" * 257}}, "user.user_id"),
        ({"user": {"user_id": "u", "maturity_limit": 101}}, "user.maturity_limit"),
        ({"user": {"user_id": "u", "maturity_limit": -1}}, "user.maturity_limit"),
        ({"user": {"user_id": "u", "attributes": {"a": "x" * 17_000}}}, "user.attributes"),
        ({"user": {"user_id": "u", "attributes": {str(n): 1 for n in range(65)}}}, "user.attributes"),
        ({"user": {"user_id": "u"}, "update_mask": {"paths": ["consent", "age"]}}, "update_mask.paths[1]"),
        ({"user": {"user_id": "u"}, "update_mask": {"paths": ["*", "consent"]}}, "update_mask.paths[0]"),
        ({"user": {"user_id": "u"}, "update_mask": {"paths": ["user_id"]}}, "update_mask.paths[0]"),
        ({"user": {"user_id": "u"}, "update_mask": {"paths": ["attributes."]}}, "update_mask.paths[0]"),
        ({"user": {"user_id": "u"}, "update_mask": {"paths": ["consent"] * 101}}, "update_mask"),
    ],
)
def test_a_wrong_request_is_told_by_its_field(request_fields: dict[str, Any], field: str) -> None:
    assert [problem.field for problem in upsert_problems(user_pb2.UpsertUserRequest(**request_fields))] == [field]


def test_what_is_the_servers_to_fill_may_be_named_and_changes_nothing() -> None:
    assert _changed(_user(), "create_time", "update_time") == OLD

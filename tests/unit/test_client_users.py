"""Users into messages and back, without a channel."""

from __future__ import annotations

from datetime import UTC, datetime

from recency import Consent, Event, EventType, ServedSlate, User
from recency.messages import event_to_message
from recency.user_calls import delete_user, export_user, get_user, upsert_user
from recency.v1 import user_pb2

TIME = datetime(2024, 5, 1, tzinfo=UTC)
CLICK = Event(event_id="e", user_id="u", type=EventType.CLICK, item_id="i", event_time=TIME, value=0.0, quantity=2)


def test_what_is_not_said_of_a_user_is_not_sent() -> None:
    call = upsert_user(User(user_id="u"), ())
    assert call.request == user_pb2.UpsertUserRequest(user=user_pb2.User(user_id="u"), update_mask={})
    assert not call.request.user.HasField("consent")
    assert not call.request.user.HasField("maturity_limit")


def test_what_is_said_of_a_user_is_sent_and_read_back() -> None:
    said = User(user_id="u", attributes={"age": 24.0}, consent=Consent(False, True), maturity_limit=0)
    request = upsert_user(said, ["consent.training"]).request
    assert list(request.update_mask.paths) == ["consent.training"]
    known = get_user("u", 5).read(user_pb2.GetUserResponse(user=request.user, history=[event_to_message(CLICK)]))
    assert known.user == said
    assert known.history == (CLICK,)
    assert get_user("u", None).request == user_pb2.GetUserRequest(user_id="u")


def test_an_export_gives_users_events_and_slates() -> None:
    read = export_user("u").read
    assert read(user_pb2.ExportUserResponse(user={"user_id": "u"})) == User(user_id="u")
    assert read(user_pb2.ExportUserResponse(event=event_to_message(CLICK))) == CLICK
    slate = user_pb2.ServedSlate(recommendation_id="r", release=2, item_ids=["a", "b"], labels={"k": "v"})
    slate.answer_time.FromDatetime(TIME)
    read_back = ServedSlate("r", TIME, 2, ("a", "b"), {"k": "v"}, "")
    assert read(user_pb2.ExportUserResponse(slate=slate)) == read_back


def test_an_erasure_names_its_record() -> None:
    done = delete_user("u").read(user_pb2.DeleteUserResponse(consistency_token="t", erased_events=3, audit_id="9"))
    assert (done.consistency_token, done.erased_events, done.audit_id) == ("t", 3, "9")

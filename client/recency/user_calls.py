"""The calls about users, as values."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import MessageToDict

from recency.calls import Call
from recency.messages import event_from, struct_of, time_from
from recency.types import Event
from recency.user_types import Consent, Erased, KnownUser, ServedSlate, User, UserStored
from recency.v1 import user_pb2


def upsert_user(user: User, update_mask: Sequence[str]) -> Call[UserStored]:
    """UpsertUser."""

    def read(response: user_pb2.UpsertUserResponse) -> UserStored:
        return UserStored(response.consistency_token)

    message = user_pb2.User(
        user_id=user.user_id, attributes=struct_of(user.attributes), maturity_limit=user.maturity_limit
    )
    if user.consent.personalization is not None:
        message.consent.personalization = user.consent.personalization
    if user.consent.training is not None:
        message.consent.training = user.consent.training
    request = user_pb2.UpsertUserRequest(user=message, update_mask=FieldMask(paths=update_mask))
    return Call("UpsertUser", request, read)


def get_user(user_id: str, history_size: int | None) -> Call[KnownUser]:
    """GetUser."""

    def read(response: user_pb2.GetUserResponse) -> KnownUser:
        return KnownUser(user_from(response.user), tuple(event_from(event) for event in response.history))

    return Call("GetUser", user_pb2.GetUserRequest(user_id=user_id, history_size=history_size), read)


def export_user(user_id: str) -> Call[User | Event | ServedSlate]:
    """ExportUser; `read` is for each message."""

    def read(part: user_pb2.ExportUserResponse) -> User | Event | ServedSlate:
        if part.HasField("slate"):
            return _slate_from(part.slate)
        return user_from(part.user) if part.HasField("user") else event_from(part.event)

    return Call("ExportUser", user_pb2.ExportUserRequest(user_id=user_id), read)


def delete_user(user_id: str) -> Call[Erased]:
    """DeleteUser."""

    def read(response: user_pb2.DeleteUserResponse) -> Erased:
        return Erased(response.consistency_token, response.erased_events, response.audit_id)

    return Call("DeleteUser", user_pb2.DeleteUserRequest(user_id=user_id), read)


def _slate_from(slate: user_pb2.ServedSlate) -> ServedSlate:
    return ServedSlate(
        slate.recommendation_id,
        time_from(slate, "answer_time"),
        slate.release,
        tuple(slate.item_ids),
        dict(slate.labels),
        slate.context_json,
    )


def user_from(message: user_pb2.User) -> User:
    """A user as they are stored."""
    consent = message.consent
    return User(
        user_id=message.user_id,
        attributes=MessageToDict(message.attributes),
        consent=Consent(
            consent.personalization if consent.HasField("personalization") else None,
            consent.training if consent.HasField("training") else None,
        ),
        maturity_limit=message.maturity_limit if message.HasField("maturity_limit") else None,
        create_time=time_from(message, "create_time"),
        update_time=time_from(message, "update_time"),
    )

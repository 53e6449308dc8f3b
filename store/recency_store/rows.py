"""Messages → what every store keeps of them."""

from __future__ import annotations

from dataclasses import replace

from recency.v1 import event_pb2, item_pb2, user_pb2
from recency_store.records import StoredUser

# sequence is not known yet: (event_id, user_id, item_id, type, time_micros, value, payload, retracts)
EventRow = tuple[str, str, str, int, int, float | None, bytes, str]

_REASON_CHARACTERS = 1_024
_OUTPUT_ONLY = ("create_time", "update_time", "hidden", "hidden_reason")


def event_row(event: event_pb2.Event) -> EventRow:
    """An event's columns; ValueError where it lacks what a log entry needs."""
    if not event.event_id or not event.HasField("event_time"):
        raise ValueError(f"event {event.event_id!r}: needs an event_id and an event_time before it is appended")
    time = event.event_time
    return (
        event.event_id,
        event.user_id,
        event.item_id,
        event.type,
        time.seconds * 1_000_000 + time.nanos // 1_000,
        event.value if event.HasField("value") else None,
        event.SerializeToString(),
        event.retracts_event_id,
    )


def report_reason(payload: bytes) -> str:
    """What a report says in its context: for a reviewer, and never longer than a reason of ours."""
    reason = event_pb2.Event.FromString(payload).context.fields["reason"].string_value
    return reason[:_REASON_CHARACTERS]


def item_payload(item: item_pb2.Item) -> bytes:
    """An item as it is stored: without the output-only fields, which are columns of their own."""
    kept = item_pb2.Item()
    kept.CopyFrom(item)
    for name in _OUTPUT_ONLY:
        kept.ClearField(name)
    return kept.SerializeToString(deterministic=True)


def user_payload(user: user_pb2.User) -> bytes:
    """A user as they are stored: without the output-only fields, which are columns of their own."""
    kept = user_pb2.User()
    kept.CopyFrom(user)
    kept.ClearField("create_time")
    kept.ClearField("update_time")
    return kept.SerializeToString(deterministic=True)


def trains(user: user_pb2.User) -> bool:
    """Whether the user's events may train models."""
    return not user.consent.HasField("training") or user.consent.training


def merged_user(source: StoredUser, target: StoredUser | None, target_id: str) -> StoredUser:
    """What is known of a visitor, put into what is known of the user that they are: the user's own attributes win, the
    lower maturity limit holds, and what either has refused stays refused."""
    visitor = user_pb2.User.FromString(source.payload)
    user = user_pb2.User() if target is None else user_pb2.User.FromString(target.payload)
    for name, value in visitor.attributes.fields.items():
        if name not in user.attributes.fields:
            user.attributes.fields[name].CopyFrom(value)
    for name in ("personalization", "training"):
        told = [getattr(one.consent, name) for one in (visitor, user) if one.consent.HasField(name)]
        if told:
            setattr(user.consent, name, all(told))
    limits = [one.maturity_limit for one in (visitor, user) if one.HasField("maturity_limit")]
    if limits:
        user.maturity_limit = min(limits)
    user.user_id = target_id
    # A profile that stays as it was keeps its vector.
    kept = (
        target
        if target is not None and user.attributes == user_pb2.User.FromString(target.payload).attributes
        else None
    )
    vector, encoder = (kept.text_vector, kept.text_encoder) if kept else (b"", "")
    created = min(source.create_micros, target.create_micros) if target is not None else source.create_micros
    return replace(
        source,
        user_id=target_id,
        payload=user_payload(user),
        create_micros=created,
        text_vector=vector,
        text_encoder=encoder,
    )

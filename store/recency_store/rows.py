"""Messages → what every store keeps of them."""

from __future__ import annotations

from recency.v1 import event_pb2, item_pb2, user_pb2

# sequence is not known yet: (event_id, user_id, item_id, type, time_micros, value, payload)
EventRow = tuple[str, str, str, int, int, float | None, bytes]

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
    )


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

"""Making events: an id that grows with time, and now."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from recency.messages import number_of
from recency.types import Event, EventType


def event_id_at(unix_millis: int, random_bits: int) -> str:
    """A version 7 UUID (RFC 9562): ids in the order of time cost the server's index a third of what random ones do."""
    value = (unix_millis & (1 << 48) - 1) << 80 | (random_bits & (1 << 74) - 1)
    low = value & (1 << 62) - 1
    middle = value >> 62 & (1 << 12) - 1
    return str(uuid.UUID(int=unix_millis << 80 | 0x7 << 76 | middle << 64 | 0b10 << 62 | low))


def event(
    user_id: str,
    item_id: str = "",
    type: EventType | str = EventType.CLICK,
    *,
    clock: Callable[[], int] = time.time_ns,
    **fields: Any,
) -> Event:
    """An event that happened now, with an id of its own; `fields` are the other fields of `Event`.

    Send the same event again after a failure, not a new one: the id makes it count once.
    """
    now_nanos = clock()
    fields.setdefault("event_id", event_id_at(now_nanos // 1_000_000, secrets.randbits(74)))
    fields.setdefault("event_time", datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=now_nanos // 1_000))
    return Event(user_id=user_id, item_id=item_id, type=EventType(number_of(EventType, type)), **fields)

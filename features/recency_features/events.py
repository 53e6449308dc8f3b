"""The one table of what each event type does. Configuration may override rows; nothing else decides.

`docs/event-types.md` is made from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from recency.v1 import event_pb2

# The number of event types a model can tell apart (the size of its type embedding); type numbers are below it.
TYPE_COUNT = 32


@dataclass(frozen=True, slots=True)
class EventRule:
    """What one event type does.

    in_history      it is a position in the history that the user encoder reads
    positive_weight its weight as a training target, 0 for none
    marks_seen      the item counts as consumed by the user
    trend_weight    what it adds to the item's trend
    """

    in_history: bool
    positive_weight: float
    marks_seen: bool
    trend_weight: float


_NOTHING = EventRule(False, 0.0, False, 0.0)

EVENT_RULES: Mapping[int, EventRule] = MappingProxyType(
    {
        event_pb2.EVENT_TYPE_IMPRESSION: _NOTHING,
        event_pb2.EVENT_TYPE_VIEW: EventRule(True, 0.0, False, 0.2),
        event_pb2.EVENT_TYPE_CLICK: EventRule(True, 1.0, True, 1.0),
        event_pb2.EVENT_TYPE_ADD_TO_CART: EventRule(True, 1.0, True, 1.5),
        event_pb2.EVENT_TYPE_REMOVE_FROM_CART: EventRule(False, 0.0, False, 0.0),
        event_pb2.EVENT_TYPE_PURCHASE: EventRule(True, 1.0, True, 2.0),
        event_pb2.EVENT_TYPE_LIKE: EventRule(True, 1.0, True, 1.5),
        event_pb2.EVENT_TYPE_DISLIKE: EventRule(False, 0.0, True, 0.0),
        event_pb2.EVENT_TYPE_RATING: EventRule(True, 1.0, True, 1.0),
        event_pb2.EVENT_TYPE_SKIP: EventRule(False, 0.0, False, 0.0),
        event_pb2.EVENT_TYPE_SHARE: EventRule(True, 1.0, True, 1.5),
        event_pb2.EVENT_TYPE_COMPLETE: EventRule(True, 1.0, True, 1.5),
        event_pb2.EVENT_TYPE_SEARCH: _NOTHING,
        event_pb2.EVENT_TYPE_HIDE: EventRule(False, 0.0, True, 0.0),
        event_pb2.EVENT_TYPE_REPORT: EventRule(False, 0.0, True, 0.0),
        event_pb2.EVENT_TYPE_CUSTOM: _NOTHING,
    }
)


def rule(event_type: int) -> EventRule:
    """The rule of a type; a type that the table does not know does nothing."""
    return EVENT_RULES.get(event_type, _NOTHING)


def types_where(field: str) -> tuple[int, ...]:
    """The types whose rule has a true (or positive) `field`."""
    return tuple(number for number, r in EVENT_RULES.items() if getattr(r, field))

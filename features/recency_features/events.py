"""The one table of what each event type does; nothing else decides. `docs/event-types.md` is made from it.

A CUSTOM event does what its configured weight says. The weights are rows of this table with type numbers of their own, and
an event is stored under the number of its weight: so serving, training and the item learner read the same table, and a
weight that is configured anew counts from then on, without changing what was learned from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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

# The weights that a CUSTOM type may have, and their type numbers; these never change. 0 is stored and does nothing.
CUSTOM_TYPES: Mapping[float, int] = MappingProxyType(
    {
        0.0: event_pb2.EVENT_TYPE_CUSTOM,
        **{
            weight: event_pb2.EVENT_TYPE_CUSTOM + place
            for place, weight in enumerate((0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 5.0), 1)
        },
    }
)


def _custom(weight: float) -> EventRule:
    """Below 1 a sign of interest, as VIEW is; from 1 on an act, as CLICK is, that is learned from by its weight."""
    acts = weight >= 1.0
    return EventRule(weight > 0.0, weight if acts else 0.0, acts, weight)


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
        **{number: _custom(weight) for weight, number in CUSTOM_TYPES.items()},
    }
)


NO_CUSTOM_TYPES: Mapping[str, int] = MappingProxyType({})


def custom_types(weights: Mapping[str, float]) -> Mapping[str, int]:
    """Configured names and weights → names and the type numbers that their events are stored under. ValueError for a
    weight that there is not."""
    for name, weight in weights.items():
        if weight not in CUSTOM_TYPES:
            known = ", ".join(f"{weight:g}" for weight in CUSTOM_TYPES)
            raise ValueError(f"custom.{name} is {weight:g}; it must be one of {known}")
    return MappingProxyType({name: CUSTOM_TYPES[weight] for name, weight in weights.items()})


@dataclass(frozen=True, slots=True)
class EventsConfig:
    """custom   the caller's own event types by name, each with its weight (docs/event-types.md)"""

    custom: Mapping[str, float] = field(default_factory=dict)


def unknown_custom_type(custom: Mapping[str, int]) -> str:
    """What is wrong with a custom type that is not configured."""
    if not custom:
        return "names a type that is not configured; give it a weight under events.custom in the configuration"
    return f"names a type that is not configured; configured under events.custom are {', '.join(sorted(custom))}"


def rule(event_type: int) -> EventRule:
    """The rule of a type; a type that the table does not know does nothing."""
    return EVENT_RULES.get(event_type, _NOTHING)


def types_where(field: str) -> tuple[int, ...]:
    """The types whose rule has a true (or positive) `field`."""
    return tuple(number for number, r in EVENT_RULES.items() if getattr(r, field))

"""Whether an Event may be stored, and the events of a request that may."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from recency.v1 import event_pb2
from recency_features.events import NO_CUSTOM_TYPES, unknown_custom_type
from recency_server import limits
from recency_server.validate import Problem, count, identifier, label, moment, number, record, text, whole

_TYPES = frozenset(event_pb2.EventType.values())
_IMPRESSION = event_pb2.EVENT_TYPE_IMPRESSION
_SEARCH = event_pb2.EVENT_TYPE_SEARCH
_CUSTOM = event_pb2.EVENT_TYPE_CUSTOM
_RATING = event_pb2.EVENT_TYPE_RATING


def _currency(value: str) -> str | None:
    valid = len(value) == 3 and value.isascii() and value.isalpha()
    return None if valid else "is not an ISO 4217 code of three letters"


def _type(value: int) -> str | None:
    return None if value in _TYPES else f"is {value}, which no event type of this version has"


# The check of each field that is set. A field of the proto that is not here is refused as not implemented, so that
# none is ever accepted and ignored.
_CHECKS: Mapping[str, Callable[[Any], str | None]] = {
    "event_id": lambda v: label(v, limits.ID_BYTES),
    "user_id": lambda v: label(v, limits.ID_BYTES),
    "item_id": lambda v: label(v, limits.ID_BYTES),
    "type": _type,
    "custom_type": lambda v: label(v, limits.CUSTOM_TYPE_BYTES),
    "value": number,
    "quantity": lambda v: whole(v, 1, limits.MAX_QUANTITY),
    "currency": _currency,
    "recommendation_id": lambda v: label(v, limits.RECOMMENDATION_ID_BYTES),
    "session_id": lambda v: label(v, limits.ID_BYTES),
    "position": lambda v: whole(v, 0, limits.MAX_POSITION),
    "query": lambda v: text(v, limits.QUERY_BYTES),
    "retracts_event_id": lambda v: label(v, limits.ID_BYTES),
    "context": record,
}


def event_problems(
    event: event_pb2.Event, now_micros: int, custom: Mapping[str, int] = NO_CUSTOM_TYPES, *, stored: bool = True
) -> list[Problem]:
    """What is wrong with one event, each field named relative to it. An event that is only read with a request
    (`stored=False`) needs no `event_id` and no `user_id`. `custom` are the configured CUSTOM types."""
    problems: list[Problem] = []
    for descriptor, value in event.ListFields():
        name = descriptor.name
        check = _CHECKS.get(name)
        if check is not None:
            reason = check(value)
            if reason is not None:
                problems.append(Problem(name, reason))
        elif name == "event_time":
            reason = moment(value, now_micros + limits.EVENT_FUTURE_MICROS)
            if reason is not None:
                problems.append(Problem(name, reason))
        elif name == "shown_item_ids":
            problems += _shown_problems(value)
        else:
            problems.append(Problem(name, "is not implemented yet; leave it out", later=True))
    if stored:
        for name, value in (("event_id", event.event_id), ("user_id", event.user_id)):
            if not value:
                problems.append(Problem(name, identifier("") or ""))
    if event.retracts_event_id and event.retracts_event_id == event.event_id:
        problems.append(Problem("retracts_event_id", "is the event's own event_id; name the event that it takes back"))
    _type_problems(event, problems)
    named = event.custom_type and not any(problem.field == "custom_type" for problem in problems)
    if event.type == _CUSTOM and named and event.custom_type not in custom:
        problems.append(Problem("custom_type", unknown_custom_type(custom)))
    return problems


def _shown_problems(shown: Sequence[str]) -> list[Problem]:
    reason = count(len(shown), 0, limits.SHOWN_ITEMS, "items")
    if reason is not None:
        return [Problem("shown_item_ids", reason)]
    return [
        Problem(f"shown_item_ids[{i}]", reason)
        for i, item_id in enumerate(shown)
        if (reason := identifier(item_id)) is not None
    ]


def _type_problems(event: event_pb2.Event, problems: list[Problem]) -> None:
    """What the event's type asks for, and what it does not take."""
    kind = event.type
    if kind == event_pb2.EVENT_TYPE_UNSPECIFIED:
        problems.append(Problem("type", "is not set; say what the user did"))
        return
    if kind == _CUSTOM and not event.custom_type:
        problems.append(Problem("custom_type", "is empty; a CUSTOM event names its type"))
    elif kind != _CUSTOM and event.custom_type:
        problems.append(Problem("custom_type", "is set; only a CUSTOM event has one"))
    if kind == _RATING and not event.HasField("value"):
        problems.append(Problem("value", "is not set; a RATING gives the rating in it"))
    if kind != _IMPRESSION and event.shown_item_ids:
        problems.append(Problem("shown_item_ids", "is set; only an IMPRESSION lists what was shown"))
    if kind == _SEARCH:
        if event.item_id:
            problems.append(Problem("item_id", "is set; a SEARCH has a query and no item"))
    elif kind == _IMPRESSION:
        if event.item_id and event.shown_item_ids:
            problems.append(Problem("item_id", "is set beside shown_item_ids; give one of the two"))
        elif not (event.item_id or event.shown_item_ids or event.recommendation_id):
            problems.append(Problem("item_id", "is empty; an IMPRESSION names its items or its recommendation_id"))
    elif not event.item_id:
        problems.append(Problem("item_id", identifier("") or ""))

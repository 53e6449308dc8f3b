"""RecommendRequest → Query: every field that is set is checked and read, or refused as not implemented yet."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from google.protobuf import json_format, struct_pb2

from recency.v1 import recommendation_pb2
from recency_features.events import NO_CUSTOM_TYPES
from recency_features.history import Interaction
from recency_server import limits
from recency_server.consistency import decode_token
from recency_server.paging import PAGE_OF, decode_page, request_digest
from recency_server.query import Query
from recency_server.request_reading import Reading
from recency_server.validate import (
    Problem,
    count,
    identifier,
    label,
    micros,
    record,
    refuse,
    span,
    whole,
    with_prefix,
)
from recency_server.validate_aim import AIM_READERS
from recency_server.validate_event import event_problems

_VIEWS = frozenset(recommendation_pb2.RecommendView.values())
# Labels of the slate that have fields of their own.
_OWN_LABELS = ("session_id", "surface")


def read_recommend(
    request: recommendation_pb2.RecommendRequest, now_micros: int, custom: Mapping[str, int] = NO_CUSTOM_TYPES
) -> Query:
    """The request with its defaults filled in. InvalidRequest names every field that is wrong, NotBuilt every field
    that this version cannot serve yet. `custom` are the configured CUSTOM event types."""
    digest = request_digest(request)
    reading = Reading(now_micros, request.user_id, digest, custom)
    for descriptor, value in request.ListFields():
        read = _READERS.get(descriptor.name)
        if read is None:
            reading.problems.append(Problem(descriptor.name, "is not implemented yet; leave it out", later=True))
        else:
            read(value, reading)
    if reading.problems:
        refuse(reading.problems)
    if reading.labels:
        reading.query["labels"] = reading.labels
    return Query(**reading.query, request_digest=digest)


def _user_id(value: str, reading: Reading) -> None:
    if reading.check("user_id", label(value, limits.ID_BYTES)):
        reading.query["user_id"] = value


def _session_id(value: str, reading: Reading) -> None:
    if reading.check("session_id", label(value, limits.ID_BYTES)):
        reading.labels["session_id"] = value


def _surface(value: str, reading: Reading) -> None:
    if reading.check("surface", label(value, limits.SURFACE_BYTES)):
        reading.labels["surface"] = value


def _labels(value: Mapping[str, str], reading: Reading) -> None:
    if not reading.check("labels", count(len(value), 0, limits.LABELS, "labels")):
        return
    for name, text_of in value.items():
        reason = identifier(name, limits.LABEL_BYTES)
        if reason is not None:
            reading.check("labels", f"has a name that {reason}")
        elif name in _OWN_LABELS:
            reading.check(f"labels[{name}]", f"has a field of its own; use {name}")
        elif name == PAGE_OF:
            reading.check(f"labels[{name}]", "is a label that the service writes itself; take another name")
        elif reading.check(f"labels[{name}]", label(text_of, limits.LABEL_BYTES)):
            reading.labels[name] = text_of


def _context(value: struct_pb2.Struct, reading: Reading) -> None:
    if reading.check("context", record(value)):
        reading.query["context_json"] = json.dumps(json_format.MessageToDict(value), sort_keys=True)


def _page_size(value: int, reading: Reading) -> None:
    if reading.check("page_size", whole(value, 1, limits.MAX_PAGE_SIZE)):
        reading.query["page_size"] = value


def _page_token(value: str, reading: Reading) -> None:
    page = decode_page(value) if len(value) <= limits.TOKEN_CHARACTERS and value.isascii() else None
    if page is None:
        reading.check("page_token", "is not a token that an answer gave; send it as it was given")
    elif page.request != reading.digest:
        reading.check(
            "page_token", "is of another request; keep every other field as it was, or ask for the first page"
        )
    else:
        reading.query["page"] = page


def _recent_events(value: Sequence[Any], reading: Reading) -> None:
    if not reading.check("recent_events", count(len(value), 0, limits.RECENT_EVENTS, "events")):
        return
    recent: list[tuple[Interaction, str]] = []
    named = {event.event_id for event in value if event.event_id}
    taken_back = {event.retracts_event_id for event in value if event.retracts_event_id}
    for index, event in enumerate(value):
        problems = event_problems(event, reading.now_micros, reading.custom, stored=False)
        if event.retracts_event_id and event.retracts_event_id not in named:
            problems.append(Problem("retracts_event_id", "names no event of recent_events; send it as Feedback"))
        if event.user_id and reading.user_id and event.user_id != reading.user_id:
            problems.append(Problem("user_id", "is not the request's user_id; leave it out"))
        if problems:
            reading.problems += with_prefix(problems, f"recent_events[{index}].")
        elif event.item_id and not event.retracts_event_id and event.event_id not in taken_back:
            time = micros(event.event_time) if event.HasField("event_time") else reading.now_micros
            kind = reading.custom[event.custom_type] if event.custom_type else event.type
            recent.append((Interaction(event.item_id, kind, time), event.event_id))
    recent.sort(key=lambda pair: pair[0].time_micros)
    reading.query["recent"] = tuple(interaction for interaction, _ in recent)
    reading.query["recent_ids"] = tuple(event_id for _, event_id in recent)


def _tokens(value: Sequence[str], reading: Reading) -> None:
    if not reading.check("consistency_token", count(len(value), 0, limits.CONSISTENCY_TOKENS, "tokens")):
        return
    highest = 0
    for index, token in enumerate(value):
        sequence = decode_token(token)
        if sequence is None:
            reading.check(
                f"consistency_token[{index}]", "is not a token that a write answered; send it as it was given"
            )
        else:
            highest = max(highest, sequence)
    reading.query["must_reflect"] = highest


def _strict(value: bool, reading: Reading) -> None:
    reading.query["strict"] = value


def _max_staleness(value: Any, reading: Reading) -> None:
    if reading.check("max_staleness", span(value)):
        reading.query["max_staleness_micros"] = value.ToMicroseconds()


def _view(value: int, reading: Reading) -> None:
    if value not in _VIEWS:
        reading.check("view", f"is {value}, which no view of this version has")
    reading.query["with_items"] = value == recommendation_pb2.RECOMMEND_VIEW_ITEMS


def _explain(value: bool, reading: Reading) -> None:
    reading.query["explain"] = value


def _trace(value: bool, reading: Reading) -> None:
    reading.query["trace"] = value


def _validate_only(value: bool, reading: Reading) -> None:
    """The service reads it: nothing is computed then."""


_READERS: Mapping[str, Callable[[Any, Reading], None]] = {
    "user_id": _user_id,
    "session_id": _session_id,
    "surface": _surface,
    "labels": _labels,
    "context": _context,
    "page_size": _page_size,
    "page_token": _page_token,
    "recent_events": _recent_events,
    "consistency_token": _tokens,
    "strict_consistency": _strict,
    "max_staleness": _max_staleness,
    "view": _view,
    "explain": _explain,
    "trace": _trace,
    "validate_only": _validate_only,
    **AIM_READERS,
}

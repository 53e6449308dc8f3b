"""RecommendRequest → Query: every field that is set is checked and read, or refused as not implemented yet."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from google.protobuf import json_format, struct_pb2

from recency.v1 import recommendation_pb2
from recency_features.history import Interaction
from recency_server import limits
from recency_server.consistency import decode_token
from recency_server.query import Query
from recency_server.validate import (
    Problem,
    count,
    identifier,
    label,
    micros,
    number,
    record,
    refuse,
    span,
    text,
    whole,
    with_prefix,
)
from recency_server.validate_event import event_problems

_VIEWS = frozenset(recommendation_pb2.RecommendView.values())
# Labels of the slate that have fields of their own.
_OWN_LABELS = ("session_id", "surface")


class _Reading:
    """What has been read so far: the arguments of Query, and what is wrong."""

    __slots__ = ("labels", "now_micros", "problems", "query", "user_id")

    def __init__(self, now_micros: int, user_id: str) -> None:
        self.now_micros = now_micros
        self.user_id = user_id
        self.query: dict[str, Any] = {}
        self.labels: dict[str, str] = {}
        self.problems: list[Problem] = []

    def check(self, field: str, reason: str | None) -> bool:
        """Notes what is wrong with a field, if anything; whether it is right."""
        if reason is None:
            return True
        self.problems.append(Problem(field, reason))
        return False

    def check_ids(self, field: str, ids: Sequence[str], most: int) -> bool:
        """Checks a list of item ids."""
        if not self.check(field, count(len(ids), 0, most, "ids")):
            return False
        before = len(self.problems)
        for index, item_id in enumerate(ids):
            # Most ids are short printable ASCII; the message is made for the others alone.
            if not item_id or len(item_id) > limits.ID_BYTES or not item_id.isascii() or not item_id.isprintable():
                self.check(f"{field}[{index}]", identifier(item_id))
        return len(self.problems) == before


def read_recommend(request: recommendation_pb2.RecommendRequest, now_micros: int) -> Query:
    """The request with its defaults filled in. InvalidRequest names every field that is wrong, NotBuilt every field
    that this version cannot serve yet."""
    reading = _Reading(now_micros, request.user_id)
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
    return Query(**reading.query)


def _user_id(value: str, reading: _Reading) -> None:
    if reading.check("user_id", label(value, limits.ID_BYTES)):
        reading.query["user_id"] = value


def _session_id(value: str, reading: _Reading) -> None:
    if reading.check("session_id", label(value, limits.ID_BYTES)):
        reading.labels["session_id"] = value


def _surface(value: str, reading: _Reading) -> None:
    if reading.check("surface", label(value, limits.SURFACE_BYTES)):
        reading.labels["surface"] = value


def _labels(value: Mapping[str, str], reading: _Reading) -> None:
    if not reading.check("labels", count(len(value), 0, limits.LABELS, "labels")):
        return
    for name, text_of in value.items():
        reason = identifier(name, limits.LABEL_BYTES)
        if reason is not None:
            reading.check("labels", f"has a name that {reason}")
        elif name in _OWN_LABELS:
            reading.check(f"labels[{name}]", f"has a field of its own; use {name}")
        elif reading.check(f"labels[{name}]", label(text_of, limits.LABEL_BYTES)):
            reading.labels[name] = text_of


def _context(value: struct_pb2.Struct, reading: _Reading) -> None:
    if reading.check("context", record(value)):
        reading.query["context_json"] = json.dumps(json_format.MessageToDict(value), sort_keys=True)


def _page_size(value: int, reading: _Reading) -> None:
    if reading.check("page_size", whole(value, 1, limits.MAX_PAGE_SIZE)):
        reading.query["page_size"] = value


def _recent_events(value: Sequence[Any], reading: _Reading) -> None:
    if not reading.check("recent_events", count(len(value), 0, limits.RECENT_EVENTS, "events")):
        return
    recent: list[Interaction] = []
    for index, event in enumerate(value):
        problems = event_problems(event, reading.now_micros, stored=False)
        if event.user_id and reading.user_id and event.user_id != reading.user_id:
            problems.append(Problem("user_id", "is not the request's user_id; leave it out"))
        if problems:
            reading.problems += with_prefix(problems, f"recent_events[{index}].")
        elif event.item_id:
            time = micros(event.event_time) if event.HasField("event_time") else reading.now_micros
            recent.append(Interaction(event.item_id, event.type, time))
    recent.sort(key=lambda interaction: interaction.time_micros)
    reading.query["recent"] = tuple(recent)


def _query(value: str, reading: _Reading) -> None:
    if reading.check("query", text(value, limits.QUERY_BYTES)):
        reading.query["text"] = value.strip()


def _query_weight(value: float, reading: _Reading) -> None:
    if reading.check("query_weight", number(value, 0.0, 1.0)):
        reading.query["text_weight"] = value


def _candidates(value: Sequence[str], reading: _Reading) -> None:
    if reading.check_ids("candidate_item_ids", value, limits.NAMED_ITEMS):
        reading.query["candidate_item_ids"] = tuple(dict.fromkeys(value))


def _exclude(value: Sequence[str], reading: _Reading) -> None:
    if reading.check_ids("exclude_item_ids", value, limits.NAMED_ITEMS):
        reading.query["exclude_item_ids"] = tuple(value)


def _include_seen(value: bool, reading: _Reading) -> None:
    reading.query["include_seen"] = value


def _tokens(value: Sequence[str], reading: _Reading) -> None:
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


def _strict(value: bool, reading: _Reading) -> None:
    reading.query["strict"] = value


def _max_staleness(value: Any, reading: _Reading) -> None:
    if reading.check("max_staleness", span(value)):
        reading.query["max_staleness_micros"] = value.ToMicroseconds()


def _view(value: int, reading: _Reading) -> None:
    if value not in _VIEWS:
        reading.check("view", f"is {value}, which no view of this version has")
    reading.query["with_items"] = value == recommendation_pb2.RECOMMEND_VIEW_ITEMS


def _validate_only(value: bool, reading: _Reading) -> None:
    """The service reads it: nothing is computed then."""


def _share(field: str, instead: str) -> Callable[[float, _Reading], None]:
    """A number 0..1 of a later version: 0 is what this version does, more is not."""

    def read(value: float, reading: _Reading) -> None:
        if reading.check(field, number(value, 0.0, 1.0)) and value > 0:
            reading.problems.append(Problem(field, instead, later=True))

    return read


def _later(field: str, instead: str) -> Callable[[Any, _Reading], None]:
    """A field of a later version."""

    def read(value: Any, reading: _Reading) -> None:
        reading.problems.append(Problem(field, instead, later=True))

    return read


# What to do instead of each field that a later version will have.
LATER: Mapping[str, str] = {
    "page_token": "is not implemented yet; ask for a larger page_size, or exclude what was shown by exclude_item_ids",
    "seed_item_ids": "are not implemented yet; send the seeds as recent_events, or say in query what is wanted",
    "negative_item_ids": "are not implemented yet; leave items out by exclude_item_ids",
    "filter": "is not implemented yet; choose the items yourself and name them in candidate_item_ids",
    "promotions": "are not implemented yet; place promoted items in the slate yourself",
    "diversity": "over 0 is not implemented yet; ask for a larger page_size and pick from it",
    "exploration": "over 0 is not implemented yet; leave it out",
    "explain": "is not implemented yet; leave it out",
    "trace": "is not implemented yet; leave it out, and see freshness, degraded_reason and /metrics",
}
_READERS: Mapping[str, Callable[[Any, _Reading], None]] = {
    "user_id": _user_id,
    "session_id": _session_id,
    "surface": _surface,
    "labels": _labels,
    "context": _context,
    "page_size": _page_size,
    "recent_events": _recent_events,
    "query": _query,
    "query_weight": _query_weight,
    "candidate_item_ids": _candidates,
    "exclude_item_ids": _exclude,
    "include_seen": _include_seen,
    "consistency_token": _tokens,
    "strict_consistency": _strict,
    "max_staleness": _max_staleness,
    "view": _view,
    "validate_only": _validate_only,
    **{name: _later(name, LATER[name]) for name in LATER if name not in ("diversity", "exploration")},
    **{name: _share(name, LATER[name]) for name in ("diversity", "exploration")},
}

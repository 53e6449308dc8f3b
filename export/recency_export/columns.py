"""Rows → events and items: which columns there are, what each holds, and what a row must have.

Events: `user_id`, `item_id`, `time` are required. `type` says what was done (CLICK where there is none, RATING where
the row has a value and no type). `value` (also `rating`), `event_id`, `quantity`, `currency`, `session_id`,
`recommendation_id`, `position`, `query`, `custom_type`, `retracts_event_id` are as in the API. Further columns become the
event's `context`.

Items: `item_id` is required. `title`, `text`, `categories` (a list, or `a|b`), `provider`, `available_from`,
`available_until`, `maturity` and `vectors` (an object: space → list) are as in the API. Further columns become attributes;
in CSV a column whose cells are all numbers gives numbers.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Collection, Mapping
from typing import Any

from google.protobuf import struct_pb2

from recency.v1 import event_pb2, item_pb2
from recency_export import cells
from recency_export.cells import BadCell, given
from recency_export.rows import Problem, Row
from recency_features.events import NO_CUSTOM_TYPES, unknown_custom_type
from recency_features.spaces import NO_SPACES, wrong_space, wrong_values

EVENT_COLUMNS = (
    *("user_id", "item_id", "time", "type", "value", "event_id", "quantity", "currency"),
    *("session_id", "recommendation_id", "position", "query", "custom_type", "retracts_event_id"),
)
EVENT_ALIASES = {"rating": "value", "timestamp": "time", "event_time": "time", "event_type": "type"}
EVENT_REQUIRED = ("user_id", "item_id", "time")
ITEM_COLUMNS = (
    *("item_id", "title", "text", "categories", "provider", "maturity", "available_from", "available_until", "vectors"),
)
ITEM_REQUIRED = ("item_id",)
_FAR_MICROS = 253_402_300_799_000_000  # the last second of year 9999
_NO_ITEM = (event_pb2.EVENT_TYPE_SEARCH,)


def rename(cells_by_name: Mapping[str, Any], mapping: Mapping[str, str], aliases: Mapping[str, str]) -> dict[str, Any]:
    """The row with our names for its columns: those that `mapping` (theirs → ours) names, then the usual aliases."""
    renamed = {mapping.get(name, name): cell for name, cell in cells_by_name.items()}
    for alias, ours in aliases.items():
        if alias in renamed and ours not in renamed:
            renamed[ours] = renamed.pop(alias)
    return renamed


def missing_columns(found: Collection[str], required: Collection[str], known: Collection[str]) -> list[str]:
    """One sentence for each required column that is not there, with the column that it may be."""
    sentences = []
    for name in required:
        if name in found:
            continue
        others = [other for other in found if other not in known]
        near = difflib.get_close_matches(name, others, n=1, cutoff=0.5) or others[:1]
        hint = f"; if it is another column, say --map {near[0]}={name}" if near else ""
        sentences.append(f"no column {name!r} (there are: {', '.join(found)}){hint}")
    return sentences


def _fill(row: Row, problems: list[Problem], fields: Mapping[str, Callable[[Any], None]]) -> None:
    """Gives each cell that there is to its field's setter, and notes what it says is wrong."""
    for name, put in fields.items():
        cell = row.cells.get(name)
        if not given(cell):
            continue
        try:
            put(cell)
        except BadCell as error:
            problems.append(Problem(row.line, name, str(error)))


def event_of(
    row: Row, latest_micros: int, custom: Mapping[str, int] = NO_CUSTOM_TYPES
) -> tuple[event_pb2.Event, list[Problem]]:
    """The row's event (with our column names), and what is wrong with it. `custom` are the configured CUSTOM types."""
    event = event_pb2.Event()
    problems: list[Problem] = []
    _fill(row, problems, _event_fields(event, latest_micros))
    wrong = {problem.column for problem in problems}
    if event.type == event_pb2.EVENT_TYPE_UNSPECIFIED and "type" not in wrong:
        event.type = event_pb2.EVENT_TYPE_RATING if event.HasField("value") else event_pb2.EVENT_TYPE_CLICK
    for name, reason in _event_rules(event, custom):
        if name not in wrong:
            problems.append(Problem(row.line, name, reason))
    if not problems:
        _struct(row, EVENT_COLUMNS, event.context, problems, "context")
    if not event.event_id and not problems:
        event.event_id = _derived_id(event, row.line)
    if event.custom_type and not problems:
        event.type = custom[event.custom_type]  # type: ignore[assignment]
    return event, problems


def _event_fields(event: event_pb2.Event, latest_micros: int) -> Mapping[str, Callable[[Any], None]]:
    def put(name: str, read: Callable[[Any], Any]) -> Callable[[Any], None]:
        return lambda cell: setattr(event, name, read(cell))

    return {
        "user_id": put("user_id", cells.label),
        "item_id": put("item_id", cells.label),
        "event_id": put("event_id", cells.label),
        "time": lambda cell: event.event_time.FromMicroseconds(cells.moment(cell, latest_micros)),
        "type": put("type", cells.event_type),
        "custom_type": put("custom_type", lambda cell: cells.label(cell, 64)),
        "value": put("value", cells.number),
        "quantity": put("quantity", lambda cell: cells.whole(cell, 1, 1_000_000)),
        "currency": put("currency", _currency),
        "session_id": put("session_id", cells.label),
        "recommendation_id": put("recommendation_id", lambda cell: cells.label(cell, 64)),
        "position": put("position", lambda cell: cells.whole(cell, 0, 9_999)),
        "query": put("query", lambda cell: cells.text(cell, 4_096)),
        "retracts_event_id": put("retracts_event_id", cells.label),
    }


def _event_rules(event: event_pb2.Event, custom: Mapping[str, int]) -> list[tuple[str, str]]:
    """What a row of this type must have, and what it must not."""
    rules = [
        (not event.user_id, "user_id", "empty; say who did it"),
        (not event.HasField("event_time"), "time", "empty; say when it was done"),
    ]
    kind = event.type
    if kind in _NO_ITEM:
        rules.append((bool(event.item_id), "item_id", "set; a SEARCH has a query and no item"))
    else:
        rules.append((not event.item_id, "item_id", "empty; say which item"))
    if kind == event_pb2.EVENT_TYPE_RATING:
        rules.append((not event.HasField("value"), "value", "empty; a RATING needs the rating"))
    own, name = kind == event_pb2.EVENT_TYPE_CUSTOM, event.custom_type
    rules.append((own and not name, "custom_type", "empty; a CUSTOM event names its type"))
    rules.append((own and bool(name) and name not in custom, "custom_type", unknown_custom_type(custom)))
    rules.append((not own and bool(name), "custom_type", "set; only a CUSTOM event has one"))
    itself = bool(event.event_id) and event.retracts_event_id == event.event_id
    rules.append((itself, "retracts_event_id", "the event's own event_id; name the event that it takes back"))
    return [(name, reason) for broken, name, reason in rules if broken]


def _derived_id(event: event_pb2.Event, line: int) -> str:
    """The same row of the same file has the same id, so that a second import counts nothing twice; two equal rows of
    one file are two events. Ids grow with time, which the store's index likes."""
    digest = hashlib.sha256(event.SerializeToString(deterministic=True) + b"|%d" % line)
    return f"import-{event.event_time.ToMicroseconds():014x}-{digest.hexdigest()[:24]}"


def item_of(
    row: Row, numeric: Collection[str], spaces: Mapping[str, int] = NO_SPACES
) -> tuple[item_pb2.Item, list[Problem]]:
    """The row's item (with our column names), and what is wrong with it. `numeric` names the columns of numbers, `spaces`
    are the configured ones."""
    item = item_pb2.Item()
    problems: list[Problem] = []

    def put(name: str, read: Callable[[Any], Any]) -> Callable[[Any], None]:
        return lambda cell: setattr(item, name, read(cell))

    fields = {
        "item_id": put("item_id", cells.label),
        "title": put("title", lambda cell: cells.text(cell, 1_024).strip()),
        "text": put("text", lambda cell: cells.text(cell, 65_536).strip()),
        "categories": lambda cell: item.categories.extend(cells.names(cell, 128, 64)),
        "provider": put("provider", cells.label),
        "maturity": put("maturity", lambda cell: cells.whole(cell, 0, 100)),
        "available_from": lambda cell: item.available_from.FromMicroseconds(cells.moment(cell, _FAR_MICROS)),
        "available_until": lambda cell: item.available_until.FromMicroseconds(cells.moment(cell, _FAR_MICROS)),
        "vectors": lambda cell: _vectors(item, cell, spaces),
    }
    _fill(row, problems, fields)
    if not item.item_id and not any(problem.column == "item_id" for problem in problems):
        problems.append(Problem(row.line, "item_id", "empty; an item needs its id"))
    until = item.available_until.ToMicroseconds() if item.HasField("available_until") else _FAR_MICROS
    if item.available_from.ToMicroseconds() >= until:
        problems.append(Problem(row.line, "available_until", "not after available_from"))
    _struct(row, ITEM_COLUMNS, item.attributes, problems, "attributes", numeric)
    return item, problems


def _struct(
    row: Row,
    known: Collection[str],
    into: struct_pb2.Struct,
    problems: list[Problem],
    what: str,
    numeric: Collection[str] = (),
) -> None:
    """Every further column that has something, into a Struct."""
    for name, cell in row.cells.items():
        if name in known or not given(cell):
            continue
        try:
            value = cells.number(cell) if name in numeric else cells.attribute(cell)
            into[cells.label(name)] = value
        except BadCell as error:
            problems.append(Problem(row.line, name, str(error)))
        except ValueError:
            problems.append(Problem(row.line, name, "an object; flatten it into columns"))
    if len(into.fields) > cells.STRUCT_KEYS:
        problems.append(Problem(row.line, "", f"{len(into.fields)} {what} columns, the limit is {cells.STRUCT_KEYS}"))
    elif into.ByteSize() > cells.STRUCT_BYTES:
        problems.append(
            Problem(row.line, "", f"{what} of {into.ByteSize():,} bytes, the limit is {cells.STRUCT_BYTES:,}")
        )


def _currency(cell: Any) -> str:
    value = cells.label(cell)
    if len(value) != 3 or not (value.isascii() and value.isalpha()):
        raise BadCell("not an ISO 4217 code of three letters")
    return value


def _vectors(item: item_pb2.Item, cell: Any, spaces: Mapping[str, int]) -> None:
    for name, values in cells.lists_by_name(cell).items():
        reason = wrong_space(name, spaces)
        if reason is None:
            item.vectors[name].values.extend(values)
            reason = wrong_values(item.vectors[name].values, spaces[name])
        if reason is not None:
            raise BadCell(reason if name not in spaces else f"{name} {reason}")

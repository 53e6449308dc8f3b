"""`recency import`: a file of items or events into the store. Nothing is written before every row has been read and is
right; then chunks are written, each durable, and a second run (or one after a kill) counts nothing twice."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from recency.v1 import event_pb2, item_pb2
from recency_export import cells
from recency_export.columns import (
    EVENT_ALIASES,
    EVENT_COLUMNS,
    EVENT_REQUIRED,
    ITEM_COLUMNS,
    ITEM_REQUIRED,
    event_of,
    item_of,
    missing_columns,
    rename,
)
from recency_export.progress import Progress, Silent
from recency_export.rows import BadFile, Problem, Row, read_rows
from recency_features.events import NO_CUSTOM_TYPES
from recency_features.spaces import NO_SPACES
from recency_store.protocol import Store
from recency_store.records import NewItem

CHUNK = 5_000
_MOST_PROBLEMS = 20
_TICK = 1_000

_SILENT = Silent()
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did: rows read, how many were written, and how many were there already."""

    rows: int
    written: int
    unchanged: int


def import_events(
    store: Store | None,
    path: Path,
    now_micros: int,
    mapping: Mapping[str, str] | None = None,
    progress: Progress = _SILENT,
    custom: Mapping[str, int] = NO_CUSTOM_TYPES,
) -> Imported:
    """Imports a file of events; without a store it only checks. BadFile says what is wrong and where. `custom` are the
    configured CUSTOM event types."""
    latest = now_micros + cells.FUTURE_MICROS

    def events() -> Iterator[tuple[event_pb2.Event, list[Problem]]]:
        for row in _rows(path, mapping or {}, EVENT_ALIASES, EVENT_REQUIRED, EVENT_COLUMNS):
            yield (event_pb2.Event(), [row]) if isinstance(row, Problem) else event_of(row, latest, custom)

    total = _check(path, events(), progress)
    return write_events(store, (event for event, _ in events()), total, progress)


def import_items(
    store: Store | None,
    path: Path,
    now_micros: int,
    mapping: Mapping[str, str] | None = None,
    progress: Progress = _SILENT,
    spaces: Mapping[str, int] = NO_SPACES,
) -> Imported:
    """Imports a file of items; without a store it only checks. An item that is there already as it is stays untouched.
    `spaces` are the configured ones, with the size of their vectors."""
    numeric: Collection[str] = ()

    def items(columns: _Columns | None) -> Iterator[tuple[item_pb2.Item, list[Problem]]]:
        for row in _rows(path, mapping or {}, {}, ITEM_REQUIRED, ITEM_COLUMNS):
            if isinstance(row, Problem):
                yield item_pb2.Item(), [row]
                continue
            if columns is not None:
                columns.see(row)
            item, problems = item_of(row, numeric, spaces)
            if columns is not None and item.item_id:
                first = columns.lines.setdefault(item.item_id, row.line)
                if first != row.line:
                    problems = [*problems, Problem(row.line, "item_id", f"the same id is on line {first}")]
            yield item, problems

    seen = _Columns()
    total = _check(path, items(seen), progress)
    numeric = seen.numeric()
    return write_items(store, (item for item, _ in items(None)), total, now_micros, progress)


class _Columns:
    """What the first pass learns: on which line an id was, and which columns hold nothing but numbers."""

    def __init__(self) -> None:
        self.lines: dict[str, int] = {}
        self._numbers: dict[str, bool] = {}

    def see(self, row: Row) -> None:
        """Looks at one row."""
        for name, cell in row.cells.items():
            if not row.typed and name not in ITEM_COLUMNS and cells.given(cell):
                self._numbers[name] = self._numbers.get(name, True) and _is_plain_number(cell)

    def numeric(self) -> frozenset[str]:
        """The columns of numbers."""
        return frozenset(name for name, all_numbers in self._numbers.items() if all_numbers)


def _is_plain_number(cell: str) -> bool:
    # A code with a leading zero (a postal code, an article number) is text.
    digits = cell.strip().lstrip("+-")
    if len(digits) > 1 and digits[0] == "0" and digits[1] != ".":
        return False
    try:
        cells.number(cell)
    except cells.BadCell:
        return False
    return not digits[:1].isalpha()


def _rows(
    path: Path,
    mapping: Mapping[str, str],
    aliases: Mapping[str, str],
    required: Collection[str],
    known: Collection[str],
) -> Iterator[Row | Problem]:
    """The file's rows under our column names; BadFile where a required column, or one that `--map` names, is not there."""
    first = True
    for row in read_rows(path):
        if isinstance(row, Problem):
            yield row
            continue
        renamed = rename(row.cells, mapping, aliases)
        if first:
            absent = [f"--map names column {name!r}, which is not there" for name in mapping if name not in row.cells]
            absent += missing_columns(list(renamed), required, known)
            if absent:
                raise BadFile(path, [Problem(1, "", reason) for reason in absent])
            first = False
        yield Row(row.line, renamed, row.typed)


def _check(path: Path, rows: Iterable[tuple[object, list[Problem]]], progress: Progress) -> int:
    """Reads everything; BadFile with the first problems if there is any. Answers how many rows there are."""
    progress.started("check")
    found: list[Problem] = []
    count = problems = 0
    for _, wrong in rows:
        count += 1
        problems += len(wrong)
        found.extend(wrong[: _MOST_PROBLEMS - len(found)])
        if count % _TICK == 0:
            progress.advanced("check", count, 0)
    if problems:
        raise BadFile(path, found, problems)
    progress.advanced("check", count, count)
    return count


def write_events(store: Store | None, events: Iterable[event_pb2.Event], total: int, progress: Progress) -> Imported:
    """Appends checked events in chunks, each durable before the next."""
    progress.started("write")
    rows = unwritten = 0
    for chunk in chunks(events, CHUNK):
        if store is not None:
            # Those of people who were erased since are no more written than those that are there.
            unwritten += sum(appended.duplicate or appended.erased for appended in store.append(chunk))
        rows += len(chunk)
        progress.advanced("write", rows, total)
    return Imported(rows, rows - unwritten if store is not None else 0, unwritten)


def write_items(
    store: Store | None, items: Iterable[item_pb2.Item], total: int, now_micros: int, progress: Progress
) -> Imported:
    """Stores checked items in chunks. What is there as it is keeps its revision and its text vector."""
    progress.started("write")
    rows = written = 0
    for chunk in chunks(items, CHUNK):
        if store is not None:
            there = store.get_items([item.item_id for item in chunk])
            new = [
                item
                for item in chunk
                if item.item_id not in there or item_pb2.Item.FromString(there[item.item_id].payload) != item
            ]
            if new:
                store.upsert_items([NewItem(item) for item in new], now_micros)
            written += len(new)
        rows += len(chunk)
        progress.advanced("write", rows, total)
    return Imported(rows, written, rows - written if store is not None else 0)


def chunks(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of at most `size`."""
    iterator = iter(values)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk

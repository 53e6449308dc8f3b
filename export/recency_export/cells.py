"""One cell of a data file → one value, or a `BadCell` that says what is wrong with it and what would be right.

Cells of CSV are text; JSON and Parquet bring types of their own, and both are taken. The limits are the gateway's (the
comments in `protos/`): what the gateway refuses, an import refuses too. A test holds the two together.
"""

from __future__ import annotations

import datetime as dt
import decimal
import difflib
import math
import re
from collections.abc import Mapping
from typing import Any

from recency.v1 import event_pb2

MICROS = 1_000_000
FUTURE_MICROS = 24 * 3600 * MICROS
STRUCT_KEYS = 64
STRUCT_BYTES = 16 * 1024
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_PREFIX = "EVENT_TYPE_"
_TYPES: Mapping[str, int] = {
    name.removeprefix(_PREFIX): number for name, number in event_pb2.EventType.items() if number != 0
}
# A number tells its unit by its size: each range begins at 1973 and ends far off, and none overlaps another.
_SECONDS_BELOW, _MILLIS_BELOW, _MICROS_BELOW = 1e11, 1e14, 1e17


class BadCell(Exception):
    """A cell that cannot be what its column asks for."""


def given(cell: Any) -> bool:
    """Whether there is anything in the cell: not missing, null, NaN or blank."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return False
    return not (isinstance(cell, str) and not cell.strip())


def text(cell: Any, limit: int) -> str:
    """Free text of at most `limit` bytes."""
    if isinstance(cell, bool) or not isinstance(cell, (str, int, float, decimal.Decimal)):
        raise BadCell(f"{_kind(cell)} where text is expected")
    value = cell if isinstance(cell, str) else _plain(cell)
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise BadCell("holds half a character (a lone surrogate); save the file as UTF-8") from None
    if size > limit:
        raise BadCell(f"{size:,} bytes, the limit is {limit:,}")
    return value


def label(cell: Any, limit: int = 256) -> str:
    """An id or label: text without control characters, trimmed. 1 and 1.0 of a typed file are "1"."""
    value = text(cell, limit).strip()
    if _CONTROL.search(value):
        raise BadCell("holds a control character; ids and labels are printable text")
    return value


def _plain(number: int | float | decimal.Decimal) -> str:
    return str(int(number)) if math.isfinite(number) and number == int(number) else str(number)


def number(cell: Any) -> float:
    """A finite number."""
    if isinstance(cell, bool) or not isinstance(cell, (str, int, float, decimal.Decimal)):
        raise BadCell(f"{_kind(cell)} where a number is expected")
    try:
        value = float(cell)
    except (ValueError, OverflowError):
        raise BadCell(f"{_shown(cell)} is not a number") from None
    if not math.isfinite(value):
        raise BadCell(f"{_shown(cell)} is not a finite number")
    return value


def whole(cell: Any, least: int, most: int) -> int:
    """A whole number in a range."""
    value = number(cell)
    if value != int(value):
        raise BadCell(f"{_shown(cell)} is not a whole number")
    if not least <= value <= most:
        raise BadCell(f"{_shown(cell)} is out of {least}..{most:,}")
    return int(value)


def moment(cell: Any, latest_micros: int) -> int:
    """A time in microseconds since 1970: ISO 8601 (UTC where it names no zone), or a number of seconds, milliseconds or
    microseconds since 1970."""
    if isinstance(cell, dt.datetime):
        micros = _of_datetime(cell)
    elif isinstance(cell, dt.date):
        micros = _of_datetime(dt.datetime(cell.year, cell.month, cell.day))
    elif isinstance(cell, str) and not _looks_numeric(cell):
        try:
            micros = _of_datetime(dt.datetime.fromisoformat(cell.strip()))
        except ValueError:
            raise BadCell(
                f"{_shown(cell)} is not a time; write 2026-01-31T12:00:00Z, or seconds or milliseconds since 1970"
            ) from None
    else:
        micros = _of_number(cell)
    if micros < 0:
        raise BadCell(f"{_shown(cell)} is before 1970")
    if micros > latest_micros:
        raise BadCell(f"{_shown(cell)} is more than a day in the future")
    return micros


def _looks_numeric(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    # 20260131 would be a number of seconds in 1970; it is a date.
    return not (len(cell.strip()) == 8 and cell.strip().startswith(("19", "20")))


def _of_datetime(value: dt.datetime) -> int:
    aware = value if value.tzinfo else value.replace(tzinfo=dt.UTC)
    return (aware - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)


def _of_number(cell: Any) -> int:
    value = number(cell)
    size = abs(value)
    if size < _SECONDS_BELOW:
        return round(value * MICROS)
    if size < _MILLIS_BELOW:
        return round(value * 1_000)
    if size < _MICROS_BELOW:
        return round(value)
    raise BadCell(f"{_shown(cell)} is too large for a time in seconds, milliseconds or microseconds since 1970")


def event_type(cell: Any) -> int:
    """An event type by its name in any case: `click`, `ADD_TO_CART`, `add-to-cart`, `EVENT_TYPE_CLICK`."""
    if not isinstance(cell, str):
        raise BadCell(f"{_kind(cell)} where an event type is expected")
    name = re.sub(r"[\s-]+", "_", cell.strip()).upper().removeprefix(_PREFIX)
    if name in _TYPES:
        return _TYPES[name]
    near = difflib.get_close_matches(name, _TYPES, n=1)
    guess = f"; did you mean {near[0]}?" if near else f"; the types are {', '.join(_TYPES)}"
    raise BadCell(f"{_shown(cell)} is not an event type{guess}")


def names(cell: Any, limit: int, most: int, separator: str = "|") -> list[str]:
    """A list of labels: a list, or text with `|` between them."""
    parts = cell.split(separator) if isinstance(cell, str) else cell
    if not isinstance(parts, (list, tuple)):
        raise BadCell(f"{_kind(cell)} where a list, or text with {separator} between the entries, is expected")
    values = [label(part, limit) for part in parts if given(part)]
    if len(values) > most:
        raise BadCell(f"{len(values)} entries, the limit is {most}")
    return values


def lists_by_name(cell: Any) -> dict[str, list[float]]:
    """Lists of numbers by name: an object, or a struct or map of Parquet."""
    if isinstance(cell, list) and all(isinstance(entry, tuple) and len(entry) == 2 for entry in cell):
        cell = dict(cell)
    if not isinstance(cell, dict):
        raise BadCell(f"{_kind(cell)} where an object of lists of numbers is expected (JSON lines or Parquet, not CSV)")
    lists = {str(name): values for name, values in cell.items() if given(values)}
    if not all(isinstance(values, (list, tuple)) for values in lists.values()):
        raise BadCell("something else than a list of numbers under a name")
    return {name: [number(value) for value in values] for name, values in lists.items()}


def attribute(cell: Any) -> Any:
    """A value of a Struct: text, number, boolean or a list of them."""
    if isinstance(cell, (list, tuple)):
        if any(isinstance(part, (list, tuple, dict)) for part in cell):
            raise BadCell("a list in a list; one level is allowed")
        return [attribute(part) for part in cell if given(part)]
    if isinstance(cell, bool):
        return cell
    if isinstance(cell, (dt.datetime, dt.date)):
        return cell.isoformat()
    if isinstance(cell, (int, float, decimal.Decimal)):
        return number(cell)
    return text(cell, STRUCT_BYTES)


def _shown(cell: Any) -> str:
    shown = repr(cell) if isinstance(cell, str) else str(cell)
    return shown if len(shown) <= 60 else shown[:57] + "…" + shown[0]


def _kind(cell: Any) -> str:
    if isinstance(cell, dict):
        return "an object"
    if isinstance(cell, (list, tuple)):
        return "a list"
    return "true or false" if isinstance(cell, bool) else f"a value of type {type(cell).__name__}"

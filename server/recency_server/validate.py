"""What a value must be: the checks that every request's validation is made of.

A check answers None, or one sentence that says what is wrong and what would be right. It never repeats the caller's
text: that may be megabytes, and a person's. Whoever calls it adds the field's path, as a `Problem`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from google.protobuf import duration_pb2, struct_pb2, timestamp_pb2

from recency_server.errors import InvalidRequest, NotBuilt, Violation
from recency_server.limits import ID_BYTES, STRUCT_BYTES, STRUCT_DEPTH, STRUCT_KEYS, VIOLATIONS

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LAYOUT = str.maketrans("\n\r\t\u0085", "    ")
_MAX_SECONDS = 253_402_300_799  # the last second of year 9999, protobuf's own limit
_MAX_DURATION_SECONDS = 315_576_000_000
_NANOS = 1_000_000_000


class Problem(NamedTuple):
    """One thing that is wrong with a request. `later` means that it is valid, and a later version will do it."""

    field: str
    reason: str
    later: bool = False


def refuse(problems: Sequence[Problem]) -> None:
    """Raises what the problems amount to; wrong fields come before missing features. No problems, no error."""
    if not problems:
        return
    wrong = [Violation(p.field, p.reason) for p in problems if not p.later]
    if wrong:
        if len(wrong) > VIOLATIONS:
            kept = len(wrong) - VIOLATIONS
            wrong = [*wrong[:VIOLATIONS], Violation("", f"and {kept:,} more violations, which are not listed")]
        raise InvalidRequest(*wrong)
    raise NotBuilt("; ".join(f"{p.field} {p.reason}" for p in problems[:VIOLATIONS]))


def with_prefix(problems: Sequence[Problem], prefix: str) -> list[Problem]:
    """The same problems, named from the request on: `events[3].` before each field."""
    return [Problem(prefix + p.field, p.reason, p.later) for p in problems]


def identifier(value: str, limit: int = ID_BYTES) -> str | None:
    """A required id: 1..limit bytes without control characters."""
    if not value:
        return f"is empty; give an id of 1..{limit} bytes"
    return label(value, limit)


def label(value: str, limit: int) -> str | None:
    """An optional id or label: at most limit bytes without control characters."""
    reason = text(value, limit)
    if reason is None and not (value.isascii() and value.isprintable()) and _CONTROL.search(value):
        return "holds a control character; ids and labels are printable text"
    return reason


def text(value: str, limit: int) -> str | None:
    """Free text of at most limit bytes. The cheap bound first: ten megabytes are not encoded to be counted."""
    if len(value) > limit or (not value.isascii() and len(value.encode()) > limit):
        return f"is longer than {limit:,} bytes; shorten it"
    return None


def words(value: str, limit: int) -> str | None:
    """What a person wrote: text of at most limit bytes, whose lines and tabs are the only control characters."""
    reason = text(value, limit)
    if reason is None and not value.isprintable() and _CONTROL.search(value.translate(_LAYOUT)):
        return "holds a control character; write words"
    return reason


def count(found: int, least: int, most: int, what: str) -> str | None:
    """How many there are of something."""
    if found < least:
        return f"holds no {what}; give {least}..{most:,}"
    if found > most:
        return f"holds {found:,} {what}, the limit is {most:,}; send several requests"
    return None


def whole(value: int, least: int, most: int) -> str | None:
    """A whole number in a range."""
    return None if least <= value <= most else f"is {value}, out of {least}..{most:,}"


def number(value: float, least: float = -math.inf, most: float = math.inf) -> str | None:
    """A finite number in a range."""
    if not math.isfinite(value):
        return "is not a finite number"
    return None if least <= value <= most else f"is out of {least:g}..{most:g}"


def moment(value: timestamp_pb2.Timestamp, latest_micros: int | None = None) -> str | None:
    """A time from 1970 on, up to `latest_micros`, or else up to the end of year 9999."""
    seconds, nanos = value.seconds, value.nanos
    if not 0 <= nanos < _NANOS:
        return f"has nanos {nanos}, out of 0..999,999,999"
    if seconds < 0:
        return "is before 1970"
    if latest_micros is not None and seconds * 1_000_000 + nanos // 1_000 > latest_micros:
        return "is more than a day past the gateway's clock; times are seconds since 1970, UTC"
    return None if seconds <= _MAX_SECONDS else "is past the year 9999"


def micros(value: timestamp_pb2.Timestamp) -> int:
    """A checked time in microseconds since 1970."""
    return int(value.seconds) * 1_000_000 + int(value.nanos) // 1_000


def span(value: duration_pb2.Duration) -> str | None:
    """A length of time that is not negative."""
    seconds, nanos = value.seconds, value.nanos
    if seconds < 0 or nanos < 0:
        return "is negative"
    if seconds > _MAX_DURATION_SECONDS or nanos >= _NANOS:
        return f"is out of range: at most {_MAX_DURATION_SECONDS:,} s and 999,999,999 ns"
    return None


def record(value: struct_pb2.Struct, *, flat: bool = False) -> str | None:
    """A Struct of at most 64 keys, 16 KiB and 8 levels; `flat` allows scalars and lists of scalars only."""
    if len(value.fields) > STRUCT_KEYS:
        return f"has {len(value.fields):,} keys, the limit is {STRUCT_KEYS}"
    if value.ByteSize() > STRUCT_BYTES:
        return f"is larger than {STRUCT_BYTES:,} bytes"
    for key, entry in value.fields.items():
        reason = identifier(key, ID_BYTES)
        if reason is not None:
            return f"has a key that {reason}"
        reason = _value(entry, 2 if flat else STRUCT_DEPTH, flat)
        if reason is not None:
            return f"[{key}] {reason}"
    return None


def _value(value: struct_pb2.Value, depth: int, flat: bool) -> str | None:
    """One value of a Struct, `depth` levels still allowed."""
    kind = value.WhichOneof("kind")
    if kind in ("string_value", "bool_value"):
        return None
    if kind == "number_value":
        return number(value.number_value)
    if flat and kind != "list_value":
        return "is not a string, number, boolean or list of them"
    if kind is None:
        return "has a value of no kind"
    if kind == "null_value":
        return None
    if depth <= 1:
        return "is a list in a list; one level is allowed" if flat else f"nests deeper than {STRUCT_DEPTH} levels"
    inner: Iterable[struct_pb2.Value]
    inner = value.list_value.values if kind == "list_value" else value.struct_value.fields.values()
    for entry in inner:
        reason = _value(entry, depth - 1, flat)
        if reason is not None:
            return reason
    return None

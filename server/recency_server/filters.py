"""Which items a filter lets through: the tree of `filter_text` over the columns of `attributes`.

What the text says decides; what it cannot mean for this catalogue (an attribute that nobody has, a word compared with a
number) is an error that points at the character, never an empty answer.
"""

from __future__ import annotations

import difflib
import operator
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from recency_server.attributes import Attributes, Column, Mask, number_text
from recency_server.errors import InvalidRequest, Violation
from recency_server.filter_text import And, Compare, Filter, FilterError, Literal, Not, Or, Words, parse_filter
from recency_server.limits import MAX_MATURITY

if TYPE_CHECKING:
    from recency_server.query import Query

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_BOOLEANS = {"true": 1.0, "false": 0.0}
# Kinds that a column holds as numbers.
_NUMERIC = ("number", "boolean", "time")
# Masks that are kept: callers ask with the same few filters again and again.
_KEPT = 64
_TEXT_COLUMNS = ("title", "categories", "provider")


@dataclass(frozen=True, slots=True)
class Narrowed:
    """What a filter lets through of the catalogue as it is now."""

    attributes: Attributes
    mask_R: Mask

    def fits(self, item_id: str) -> bool:
        """Whether it lets an item through."""
        row = self.attributes.row_of.get(item_id, -1)
        return 0 <= row < len(self.mask_R) and bool(self.mask_R[row])

    def also(self, other: Narrowed | None) -> Narrowed:
        """What another filter lets through as well."""
        if other is None:
            return self
        # The catalogue may have grown between the two: what only one of them knows is left out.
        rows = min(len(self.mask_R), len(other.mask_R))
        return replace(self, mask_R=self.mask_R[:rows] & other.mask_R[:rows])

    @property
    def share(self) -> float:
        """Which share of the catalogue it lets through."""
        return float(self.mask_R.sum()) / max(1, int(self.attributes.there_R.sum()))

    def item_ids(self) -> list[str]:
        """The items that it lets through."""
        return [self.attributes.item_ids[row] for row in np.flatnonzero(self.mask_R).tolist()]


class Filters:
    """Filters read and evaluated, the newest ones kept until the catalogue changes."""

    def __init__(self, attributes: Attributes) -> None:
        self._attributes = attributes
        self._kept: OrderedDict[str, tuple[int, Mask]] = OrderedDict()

    def narrow(self, text: str, field: str = "filter") -> Narrowed | None:
        """What a filter lets through, None for an empty one. InvalidRequest where the catalogue has no such attribute, or
        one of another kind."""
        if not text:
            return None
        try:
            return Narrowed(self._attributes, self.mask(text))
        except FilterError as error:
            raise InvalidRequest(Violation(field, str(error))) from error

    def up_to_maturity(self, narrowed: Narrowed | None, limit: int) -> Narrowed | None:
        """The same without the items above a maturity. Nothing is looked at where the limit is the highest there is."""
        if limit >= MAX_MATURITY:
            return narrowed
        allowed = Narrowed(self._attributes, self.mask(f"maturity <= {limit}"))
        if narrowed is None and allowed.share == 1.0:
            return None
        return allowed.also(narrowed)

    def check(self, query: Query) -> None:
        """InvalidRequest where the request's filter, or a promotion's, cannot be meant."""
        self.narrow(query.filter)
        for number, promotion in enumerate(query.promotions):
            self.narrow(promotion.filter, f"promotions[{number}].filter")

    def mask(self, text: str) -> Mask:
        """Which rows of the attributes a filter lets through. FilterError where it cannot be meant."""
        version = self._attributes.version
        kept = self._kept.get(text)
        if kept is None or kept[0] != version:
            tree = parse_filter(text)
            found = self._attributes.there_R.copy() if tree is None else evaluate(tree, self._attributes)
            kept = self._kept[text] = (version, found)
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(text)
        return kept[1]


def evaluate(tree: Filter, attributes: Attributes) -> Mask:
    """The rows where a filter is true. An item without a value is true for no comparison but `!=`."""
    there = attributes.there_R
    if isinstance(tree, And):
        return reduce(np.logical_and, (evaluate(part, attributes) for part in tree.parts))
    if isinstance(tree, Or):
        return reduce(np.logical_or, (evaluate(part, attributes) for part in tree.parts))
    if isinstance(tree, Not):
        return there & ~evaluate(tree.part, attributes)
    if isinstance(tree, Words):
        columns = [attributes.columns[name] for name in _TEXT_COLUMNS]
        found = [_holding(column, tree.text.text, len(there)) for column in columns]
        return there & reduce(np.logical_or, found)
    return there & _compared(tree, _column(tree, attributes), len(there))


def _column(tree: Compare, attributes: Attributes) -> Column:
    name = tree.path.removeprefix("attributes.")
    column = attributes.columns.get(name)
    if column is None or not column.used:
        near = difflib.get_close_matches(name, attributes.names(), n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(attributes.names()[:20])}"
        raise FilterError(f"no item has an attribute of this name; {hint}", tree.position)
    return column


def _compared(tree: Compare, column: Column, rows: int) -> Mask:
    value = tree.value
    if tree.operator == ":":
        if value.text == "*" and not value.quoted:
            return _present(column, rows)
        if not (column.has("list") or column.has("text")):
            return _numeric("=", column, value, rows)
        return _holding(column, value.text, rows)
    if not column.has("text"):
        if not any(column.has(kind) for kind in _NUMERIC):
            raise FilterError("it is a list; ask whether it holds something by `:`", tree.position)
        return _numeric(tree.operator, column, value, rows)
    # Some items may have a number where others have a text: one of them must not change what is asked of the rest.
    as_text = _textual(tree, column, rows)
    if not any(column.has(kind) for kind in _NUMERIC):
        return as_text
    try:
        as_number = _numeric(tree.operator, column, value, rows)
    except FilterError:
        return as_text
    if tree.operator == "!=":
        return as_text & as_number
    return as_text | as_number if tree.operator == "=" else as_number


def _numeric(name: str, column: Column, value: Literal, rows: int) -> Mask:
    number_R = np.full(rows, np.nan)
    some = column.number_R[:rows]
    number_R[: len(some)] = some
    wanted = _number(column, value)
    found: Mask = _COMPARE[name](number_R, wanted)
    return found if name == "!=" else found & ~np.isnan(number_R)


def _number(column: Column, value: Literal) -> float:
    """A literal as the column's kind has it."""
    if column.has("time"):
        try:
            time = datetime.fromisoformat(value.text)
        except ValueError:
            raise FilterError(
                'is compared with a time; write one like "2024-05-01T12:00:00Z"', value.position
            ) from None
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1e6
    if column.has("boolean") and value.text.lower() in _BOOLEANS:
        return _BOOLEANS[value.text.lower()]
    try:
        wanted = float(value.text)
    except ValueError:
        kind = "true or false" if column.has("boolean") else "a number"
        raise FilterError(f"is compared with {kind}; {value.text[:40]!r} is none", value.position) from None
    if not np.isfinite(wanted):
        raise FilterError("is not a finite number", value.position)
    return wanted


def _textual(tree: Compare, column: Column, rows: int) -> Mask:
    """Texts compared as they are; `*` in an equality stands for anything. Ids and dates order as texts do."""
    wanted, name = tree.value.text, tree.operator
    if name in ("=", "!="):
        if "*" in wanted:
            equal = _rows_where(column.rows_of_text, lambda text: _like(text, wanted), rows)
        else:
            equal = _rows(column.rows_of_text.get(wanted, ()), rows)
        return ~equal if name == "!=" else equal
    return _rows_where(column.rows_of_text, lambda text: _COMPARE[name](text, wanted), rows)


def _holding(column: Column, wanted: str, rows: int) -> Mask:
    """Lists with the element, texts with the words in them; upper and lower case are one."""
    folded, number = wanted.casefold(), _finite(wanted)
    mask = _rows_where(column.rows_of_element, lambda text: _like(text.casefold(), folded), rows)
    if number is not None:
        mask |= _rows(column.rows_of_element.get(number_text(number), ()), rows)
    if column.rows_of_text:
        inside = folded.strip("*")
        mask |= _rows_where(column.rows_of_text, lambda text: inside in text.casefold(), rows)
    if column.has("number") and number is not None:
        mask[: len(column.number_R)] |= column.number_R[:rows] == number
    return mask


def _finite(text: str) -> float | None:
    """The number that a text writes, None where it is none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def _like(text: str, pattern: str) -> bool:
    """Whether a text fits a pattern in which `*` stands for anything."""
    if "*" not in pattern:
        return text == pattern
    first, *middle, last = pattern.split("*")
    if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def _present(column: Column, rows: int) -> Mask:
    mask = _rows_where(column.rows_of_text, lambda text: True, rows)
    mask |= _rows_where(column.rows_of_element, lambda text: True, rows)
    some = ~np.isnan(column.number_R[:rows])
    mask[: len(some)] |= some
    return mask


def _rows_where(rows_of: dict[str, set[int]], fits: Callable[[str], bool], rows: int) -> Mask:
    return _rows([row for text, found in rows_of.items() if fits(text) for row in found], rows)


def _rows(found: Iterable[int], rows: int) -> Mask:
    mask = np.zeros(rows, dtype=bool)
    mask[list(found)] = True
    return mask

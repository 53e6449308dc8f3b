"""Whether an Item may be stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from recency.v1 import item_pb2
from recency_features.spaces import NO_SPACES, wrong_space, wrong_values
from recency_server import limits
from recency_server.validate import Problem, count, identifier, label, moment, record, text, whole, with_prefix

# The check of each field that is set; a field of the proto that is in neither table is refused as not implemented.
_CHECKS: Mapping[str, Callable[[Any], str | None]] = {
    "item_id": identifier,
    "title": lambda v: text(v, limits.TITLE_BYTES),
    "text": lambda v: text(v, limits.TEXT_BYTES),
    "attributes": lambda v: record(v, flat=True),
    "available_from": moment,
    "available_until": moment,
    "provider": lambda v: label(v, limits.ID_BYTES),
}
# What GetItem fills in. A caller may send back what it got, so these are not refused, and not stored.
OUTPUT_ONLY = ("create_time", "update_time", "hidden", "hidden_reason")


def item_problems(item: item_pb2.Item, spaces: Mapping[str, int] = NO_SPACES) -> list[Problem]:
    """What is wrong with one item, each field named relative to it. `spaces` are the configured vector spaces with the size
    of their vectors."""
    problems: list[Problem] = []
    for descriptor, value in item.ListFields():
        name = descriptor.name
        check = _CHECKS.get(name)
        if check is not None:
            reason = check(value)
            if reason is not None:
                problems.append(Problem(name, reason))
        elif name == "categories":
            problems += _category_problems(value)
        elif name == "vectors":
            problems += _vector_problems(value, spaces)
        elif name == "maturity":
            reason = whole(value, 0, limits.MAX_MATURITY)
            if reason is not None:
                problems.append(Problem(name, reason))
        elif name not in OUTPUT_ONLY:
            problems.append(Problem(name, "is not implemented yet; leave it out", later=True))
    if not item.item_id:
        problems.append(Problem("item_id", identifier("") or ""))
    if _micros_of(item, "available_until") <= _micros_of(item, "available_from"):
        problems.append(Problem("available_until", "is not after available_from; the item would never be available"))
    return problems


def items_problems(items: Sequence[item_pb2.Item], spaces: Mapping[str, int] = NO_SPACES) -> list[Problem]:
    """What is wrong with the items of one request: each of them, and ids that come twice."""
    reason = count(len(items), 1, limits.UPSERT_ITEMS, "items")
    if reason is not None:
        return [Problem("items", reason)]
    problems: list[Problem] = []
    first: dict[str, int] = {}
    for index, item in enumerate(items):
        found = item_problems(item, spaces)
        if found:
            problems += with_prefix(found, f"items[{index}].")
        elif first.setdefault(item.item_id, index) != index:
            where = f"items[{first[item.item_id]}]"
            problems.append(Problem(f"items[{index}].item_id", f"is that of {where} too; send each item once"))
        if len(problems) > limits.VIOLATIONS:
            break
    return problems


def _micros_of(item: item_pb2.Item, name: str) -> float:
    """A time bound in microseconds; where it is not set, what stands for always and for ever."""
    if item.HasField(name):
        value = getattr(item, name)
        return float(value.seconds * 1_000_000 + value.nanos // 1_000)
    return float("-inf") if name == "available_from" else float("inf")


def _category_problems(categories: Sequence[str]) -> list[Problem]:
    reason = count(len(categories), 0, limits.CATEGORIES, "categories")
    if reason is not None:
        return [Problem("categories", reason)]
    return [
        Problem(f"categories[{i}]", reason)
        for i, category in enumerate(categories)
        if (reason := identifier(category, limits.CATEGORY_BYTES)) is not None
    ]


def _vector_problems(vectors: Mapping[str, item_pb2.Vector], spaces: Mapping[str, int]) -> list[Problem]:
    problems: list[Problem] = []
    for name in sorted(vectors):
        # Only the name of a configured space is repeated: any other may be megabytes.
        reason = wrong_space(name, spaces)
        if reason is not None:
            return [*problems, Problem("vectors", reason)]
        reason = wrong_values(vectors[name].values, spaces[name])
        if reason is not None:
            problems.append(Problem(f"vectors[{name}]", reason))
    return problems

"""What an answer tells of itself when it is asked: why each item is there, and how the answer came about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from recency.v1 import recommendation_pb2


class Reason(NamedTuple):
    """Why an item is in the slate. `contribution` is its part of the score, 0 where it has none of its own."""

    kind: recommendation_pb2.ReasonKind
    text: str
    event_id: str = ""
    item_id: str = ""
    contribution: float = 0.0


class Fact(NamedTuple):
    """What an item has in common with another one: the same text under a relation (an attribute, categories, provider)."""

    relation: str
    text: str
    item_id: str


class LeftOut(NamedTuple):
    """Items that one cause kept out: their number, and some of them."""

    cause: str
    number: int
    item_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """How an answer came about. Seconds by stage; scored items by the name of their source; events by id, newest last."""

    stages: tuple[tuple[str, float], ...]
    candidates_by_source: Mapping[str, int]
    left_out: tuple[LeftOut, ...]
    used_event_ids: tuple[str, ...]
    unused_event_ids: tuple[str, ...]

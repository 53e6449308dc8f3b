"""What goes in and comes out, as frozen Python values: times are aware datetimes, ages and durations timedeltas."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any


class EventType(enum.IntEnum):
    """What a user did."""

    UNSPECIFIED = 0
    IMPRESSION = 1
    VIEW = 2
    CLICK = 3
    ADD_TO_CART = 4
    REMOVE_FROM_CART = 5
    PURCHASE = 6
    LIKE = 7
    DISLIKE = 8
    RATING = 9
    SKIP = 10
    SHARE = 11
    COMPLETE = 12
    SEARCH = 13
    HIDE = 14
    REPORT = 15
    CUSTOM = 16


class Source(enum.IntEnum):
    """Where an item of a slate came from."""

    UNSPECIFIED = 0
    USER = 1
    QUERY = 2
    SEED = 3
    TREND = 4
    NEW = 5
    CANDIDATE = 6
    PROMOTION = 7
    RELATED = 8


class ReasonKind(enum.IntEnum):
    """What kind of reason one is."""

    UNSPECIFIED = 0
    BEHAVIOUR = 1
    CONTENT = 2
    TREND = 3
    QUERY = 4
    POLICY = 5


class RecommendView(enum.IntEnum):
    """How much of each item an answer carries."""

    UNSPECIFIED = 0
    IDS = 1
    ITEMS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that a user did. `event()` makes one with an id and a time."""

    event_id: str
    user_id: str
    type: EventType
    item_id: str = ""
    custom_type: str = ""
    event_time: datetime | None = None
    value: float | None = None
    quantity: int | None = None
    currency: str = ""
    recommendation_id: str = ""
    session_id: str = ""
    position: int | None = None
    query: str = ""
    shown_item_ids: Sequence[str] = ()
    retracts_event_id: str = ""
    context: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing that can be recommended. The last four are the server's to fill."""

    item_id: str
    title: str = ""
    text: str = ""
    categories: Sequence[str] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    vectors: Mapping[str, Sequence[float]] = field(default_factory=dict)
    available_from: datetime | None = None
    available_until: datetime | None = None
    maturity: int = 0
    provider: str = ""
    create_time: datetime | None = None
    update_time: datetime | None = None
    hidden: bool = False
    hidden_reason: str = ""


@dataclass(frozen=True, slots=True)
class Promotion:
    """At most `share` (0..1) of the slate from items that match `filter`."""

    name: str
    filter: str
    share: float


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an item is in the slate."""

    kind: ReasonKind
    text: str
    event_id: str
    item_id: str
    contribution: float


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One place of a slate."""

    item_id: str
    score: float
    probability: float | None
    propensity: float | None
    source: Source
    promotion: str
    reasons: tuple[Reason, ...]
    item: Item | None


@dataclass(frozen=True, slots=True)
class Freshness:
    """How old what an answer rests on is, when it was made; None where there is nothing to date."""

    release: int
    release_time: datetime | None
    trained_through_time: datetime | None
    learned_through_time: datetime | None
    behaviour_time: datetime | None
    catalog_time: datetime | None
    release_age: timedelta | None
    trained_through_age: timedelta | None
    learned_through_age: timedelta | None
    behaviour_age: timedelta | None
    catalog_age: timedelta | None
    events_used: int


@dataclass(frozen=True, slots=True)
class FilteredCandidates:
    """Candidates left out for one cause: how many, and some of them."""

    cause: str
    count: int
    item_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """How an answer came about."""

    stages: tuple[tuple[str, timedelta], ...]
    candidates_by_source: Mapping[str, int]
    filtered: tuple[FilteredCandidates, ...]
    used_event_ids: tuple[str, ...]
    unused_event_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Slate:
    """The answer to one Recommend, best first."""

    recommendation_id: str
    recommendations: tuple[Recommendation, ...]
    freshness: Freshness
    degraded: bool
    degraded_reason: str
    missing_item_ids: tuple[str, ...]
    next_page_token: str
    trace: Trace | None

    @property
    def item_ids(self) -> tuple[str, ...]:
        """The items' ids alone."""
        return tuple(r.item_id for r in self.recommendations)


@dataclass(frozen=True, slots=True)
class Refresh:
    """A slate of an interactive session, and how many of its messages it reflects."""

    slate: Slate
    messages_reflected: int


@dataclass(frozen=True, slots=True)
class MergeResult:
    """Two users are one: how many events moved."""

    consistency_token: str
    moved_events: int


@dataclass(frozen=True, slots=True)
class RejectedEvent:
    """An event that was not stored, by its place in the call, and why."""

    index: int
    field: str
    reason: str


@dataclass(frozen=True, slots=True)
class FeedbackResult:
    """What became of events. Whatever is not rejected is durable."""

    consistency_token: str
    accepted: int
    duplicates: int
    rejected: tuple[RejectedEvent, ...]


@dataclass(frozen=True, slots=True)
class UpsertResult:
    """The items are durable, embedded and searchable."""

    consistency_token: str
    created: int
    updated: int


@dataclass(frozen=True, slots=True)
class DeleteResult:
    """The items are gone."""

    consistency_token: str
    deleted: int
    missing_item_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HideResult:
    """The items are hidden, or may be shown again."""

    consistency_token: str
    missing_item_ids: tuple[str, ...]

"""What the request path takes and gives: the request after validation, and the answer before it becomes protobuf."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from recency.v1 import item_pb2, recommendation_pb2
from recency_features.history import Interaction
from recency_server.paging import Page
from recency_server.promotion import Promotion
from recency_server.told import Fact, Reason, Trace

# Microseconds since 1970; an argument everywhere, so that benches and tests can drive it by event time.
Clock = Callable[[], int]


@dataclass(frozen=True, slots=True)
class Deadline:
    """When the caller stops waiting, on the monotonic clock in seconds."""

    at_seconds: float

    @staticmethod
    def after(seconds: float) -> Deadline:
        """A deadline so many seconds from now."""
        return Deadline(time.monotonic() + seconds)

    def remaining_seconds(self) -> float:
        """How long is left; 0 when it has passed."""
        return max(0.0, self.at_seconds - time.monotonic())


@dataclass(frozen=True, slots=True)
class Query:
    """A validated RecommendRequest with its defaults filled in."""

    user_id: str = ""
    page_size: int = 10
    recent: tuple[Interaction, ...] = ()
    # The ids of these events, in the same order; empty texts where they have none.
    recent_ids: tuple[str, ...] = ()
    text: str = ""
    text_weight: float = 0.5
    # None: retrieve; otherwise rank only these.
    candidate_item_ids: tuple[str, ...] | None = None
    exclude_item_ids: tuple[str, ...] = ()
    # AIP-160 text that could be read; whether the catalogue has such attributes is seen when it is answered.
    filter: str = ""
    # The page that is asked for, and what of the request its pages share (empty: nobody can ask for a next one).
    page: Page | None = None
    request_digest: bytes = field(default=b"", compare=False)
    # How many items the pages before this one hold.
    offset: int = 0
    seed_item_ids: tuple[str, ...] = ()
    negative_item_ids: tuple[str, ...] = ()
    # 0: by score alone … 1.
    diversity: float = 0.0
    exploration: float = 0.0
    promotions: tuple[Promotion, ...] = ()
    # None: as the deployment is configured.
    include_seen: bool | None = None
    # The highest sequence of the consistency tokens; 0 for none.
    must_reflect: int = 0
    strict: bool = False
    max_staleness_micros: int | None = None
    with_items: bool = False
    explain: bool = False
    trace: bool = False
    # Logged with the slate.
    labels: Mapping[str, str] = field(default_factory=dict)
    context_json: str = ""

    @property
    def who(self) -> str:
        """Whom a canary knows again: the user, or else the session; empty for somebody it cannot."""
        return self.user_id or self.labels.get("session_id", "")

    @property
    def aimed(self) -> bool:
        """Whether more was asked for than the user's own slate, explored or not."""
        asked_for = (self.recent, self.text, self.filter, self.page, self.seed_item_ids, self.negative_item_ids)
        left_out = (self.exclude_item_ids, self.candidate_item_ids is not None, self.include_seen is not None)
        return any(asked_for) or any(left_out) or bool(self.promotions) or self.diversity > 0.0


class Placed(NamedTuple):
    """One place of a slate. `probability` is None in degraded answers. A tuple, for every answer makes many."""

    item_id: str
    score: float
    probability: float | None
    source: recommendation_pb2.Source
    # The chance that it was put at its place, given those before; None where it was not left to chance.
    propensity: float | None = None
    # The promotion that placed it, empty for none.
    promotion: str = ""
    item: item_pb2.Item | None = None
    reasons: tuple[Reason, ...] = ()
    # What it shares with an example, or with what the user chose last, where relations are configured.
    fact: Fact | None = None


@dataclass(frozen=True, slots=True)
class Freshness:
    """What an answer rests on; times in microseconds, None where there is nothing to date."""

    release: int = 0
    release_micros: int | None = None
    trained_through_micros: int | None = None
    learned_through_micros: int | None = None
    behaviour_micros: int | None = None
    catalog_micros: int | None = None
    events_used: int = 0


@dataclass(frozen=True, slots=True)
class Slate:
    """The answer to one Query. `degraded` holds `cause: detail` texts, empty when it is all that was asked for."""

    recommendation_id: str
    placed: tuple[Placed, ...]
    freshness: Freshness
    answered_micros: int
    degraded: tuple[str, ...] = ()
    missing_item_ids: tuple[str, ...] = ()
    next_page_token: str = ""
    # Whether rules, caps, a share for new items, the user's profile or its limits had a say, besides the ranking.
    ruled: bool = False
    trace: Trace | None = None

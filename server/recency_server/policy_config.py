"""What a deployment decides about its slates: the section `policy` of the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

# Of what trends in a segment, and of what is related, no more are ranked.
MOST_CANDIDATES = 200


@dataclass(frozen=True, slots=True)
class PolicyConfig:
    """diversity_method   how a slate is made to differ: `mmr` (maximal marginal relevance) or `dpp` (determinantal)
    rules              the file of business rules; none where it is not set
    rules_seconds      between two looks at that file
    category_cap       at most so many items of a category in a slate, 0 for no cap; an item counts for each it has
    provider_cap       the same for its provider
    fresh_share        the share of a slate's places that new items get at least, as far as there are any
    fresh_days         an item is new while it is younger than this and few have taken it up …
    fresh_below        … fewer than this, by decayed count; or while it is not in the release
    trend_candidates   so many items that trend in a user's segments are ranked beside what is retrieved for them; 0 for none
    relations          attributes (`categories` and `provider` too) by which items are related: director, cast, …
    related_candidates so many items that share a fact with the examples, or with what the user chose last, are ranked beside
                       what is retrieved; 0 for none
    """

    diversity_method: Literal["mmr", "dpp"] = "mmr"
    rules: Path | None = None
    rules_seconds: float = 0.5
    category_cap: int = 0
    provider_cap: int = 0
    fresh_share: float = 0.0
    fresh_days: float = 7.0
    fresh_below: float = 5.0
    trend_candidates: int = 0
    relations: tuple[str, ...] = ()
    related_candidates: int = 0

    def __post_init__(self) -> None:
        for name in ("category_cap", "provider_cap"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 0 (no cap) or more")
        if not 0.0 <= self.fresh_share <= 1.0:
            raise ValueError(f"fresh_share is {self.fresh_share}; it must be from 0 to 1")
        for name in ("fresh_days", "fresh_below"):
            if not 0.0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} is {getattr(self, name)}; it must be a number, 0 or more")
        for name in ("trend_candidates", "related_candidates"):
            if not 0 <= getattr(self, name) <= MOST_CANDIDATES:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be from 0 to {MOST_CANDIDATES}")
        if self.related_candidates and not self.relations:
            raise ValueError("related_candidates is set and relations are not; name the attributes that relate items")
        if not 0.0 < self.rules_seconds < float("inf"):
            raise ValueError(f"rules_seconds is {self.rules_seconds}; it must be a number of seconds over 0")

    @property
    def capped(self) -> bool:
        """Whether slates have caps."""
        return self.category_cap > 0 or self.provider_cap > 0

    @property
    def has_a_say(self) -> bool:
        """Whether more than the ranking decides, rules aside."""
        return self.capped or self.fresh_share > 0.0 or self.trend_candidates > 0 or self.related_candidates > 0

"""What the request path counts, as plain numbers: adding one costs nothing, and metrics read them when they are scraped."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Counters:
    """Totals since the start.

    answers, degraded           slates made; how many said so, by cause (the part of the text before the colon)
    batches, rows               calls of Triton for slates, and the requests in them
    dropped_rows                requests that were cancelled or too late before their batch was sent
    refused_rows                requests that found the batch queue full
    polls, events, items        polls of the store's changes, and what they brought
    user_loads, user_hits       user states read from the store, and found in memory
    texts_encoded               texts that went through the text encoder
    slates_logged, slates_lost  slates written to the store, and dropped because the queue was full or the store away
    adoptions, refusals, swaps  releases made ready, refused, and flipped to
    adoption_seconds            how long making releases ready took, by step
    canary_rollbacks            canaries that this gateway ended
    places, fresh_places        places of slates that a model made; how many of them new items have
    fresh_given                 of these, those that only the share for new items gave
    rule_loads, rule_refusals   states of the rules file that came into force, and that could not
    """

    answers: int = 0
    degraded: dict[str, int] = field(default_factory=dict)
    batches: int = 0
    rows: int = 0
    dropped_rows: int = 0
    refused_rows: int = 0
    polls: int = 0
    events: int = 0
    items: int = 0
    user_loads: int = 0
    user_hits: int = 0
    texts_encoded: int = 0
    slates_logged: int = 0
    slates_lost: int = 0
    adoptions: int = 0
    refusals: int = 0
    swaps: int = 0
    adoption_seconds: dict[str, float] = field(default_factory=dict)
    canary_rollbacks: int = 0
    places: int = 0
    fresh_places: int = 0
    fresh_given: int = 0
    rule_loads: int = 0
    rule_refusals: int = 0

    def placed(self, places: int, fresh: int, given: int) -> None:
        """Counts the places of one slate, those with new items, and those that were given to them."""
        self.places += places
        self.fresh_places += fresh
        self.fresh_given += given

    def note(self, degraded: tuple[str, ...]) -> None:
        """Counts one answer with its degraded causes."""
        self.answers += 1
        for text in degraded:
            cause = text.partition(":")[0]
            self.degraded[cause] = self.degraded.get(cause, 0) + 1

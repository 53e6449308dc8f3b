"""The item learner's configuration."""

from __future__ import annotations

from dataclasses import dataclass

# Whoever holds it learns; nobody else does.
LEASE = "learner"


@dataclass(frozen=True, slots=True)
class LearnerConfig:
    """How `recency export online` learns. Step sizes were chosen on validation (docs/decisions/0081).

    enabled          whether `recency up` runs a learner
    nice             how far it steps back for serving on the same machine (0: not at all)
    fresh_step       first step size of items that the release was not trained on
    known_step       the same of items that it was trained on, as if nothing had taught them yet
    settle_events    the steps of an item that n events have taught, in training and since: / sqrt(1 + n / settle_events)
    chunk            positive events of one gradient step, at most
    rows_per_call    users asked for in one call of the recommender: a call this long holds up an answer at most
    window_seconds   of event time, in which bursts are bounded
    item_norm        how far one item may move in a window, by events of any number of users
    item_radius      how far an item may move from where its release has it in all
    user_events      positive events of one user in a window that teach; of one item, one
    idle_seconds     between two looks at the log
    lease_seconds    how long the lease of a learner lasts that was killed; another one takes over after that
    cached_users     users whose behaviour is kept in memory
    save_norm        an item whose vector drifted less than this since it was last saved is not saved yet
    full_items       up to this many items every one is pushed down by its probability, beyond that a sample
    sample           of so many
    """

    enabled: bool = True
    nice: int = 10
    fresh_step: float = 0.01
    known_step: float = 0.0025
    settle_events: float = 2.0
    chunk: int = 100
    rows_per_call: int = 16
    window_seconds: float = 3_600.0
    item_norm: float = 0.25
    item_radius: float = 1.0
    user_events: int = 200
    idle_seconds: float = 0.2
    lease_seconds: float = 5.0
    cached_users: int = 20_000
    save_norm: float = 0.002
    full_items: int = 20_000
    sample: int = 4_096

    def __post_init__(self) -> None:
        if not self.settle_events > 0.0:
            raise ValueError(f"settle_events is {self.settle_events}; it must be above 0")

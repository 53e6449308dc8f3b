"""When the next release is due: pure functions of what has happened since the last ones.

Drift is read from the log alone: how often a shown slate was taken up (a positive event that cites it), newest slates
against the first ones that this release was shown with; and how many of what users chose the release does not know.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from recency.v1 import event_pb2
from recency_features.events import rule
from recency_store.records import LoggedEvent


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """When `recency export watch` makes a release, and how it gives way to serving.

    events             a full release after so many new events
    seconds            a full release after so long, where at least `least_events` are new
    least_events       fewer new events than this are not worth a release
    item_events        an item release after so many events that the item learner has applied
    fresh_items        an item release when so many items are newer than the matrix
    drift_slates       slates that one side of the drift test holds; 0 turns it off
    drift_z            a full release where slates are taken up less than before by so many standard errors
    unknown_share      an item release where so large a share of the newest chosen items is not in the matrix
    poll_seconds       between two looks at the log
    pause_seconds      after a failure or rejection, doubled each time up to `longest_pause_seconds`
    nice               how far the exporter steps back behind serving, 0..19: 10 gives it about a tenth of a busy core
    """

    events: int = 3_000
    seconds: float = 3_600.0
    least_events: int = 100
    item_events: int = 500
    fresh_items: int = 200
    drift_slates: int = 500
    drift_z: float = 4.0
    unknown_share: float = 0.2
    poll_seconds: float = 2.0
    pause_seconds: float = 10.0
    longest_pause_seconds: float = 600.0
    nice: int = 10


@dataclass(frozen=True, slots=True)
class Due:
    """A release that should be made now: how deep, and why."""

    depth: str
    reason: str


@dataclass
class Behaviour:
    """What the log says of one serving release: counted in the order of the log, bounded in memory."""

    window: int
    full_events: int = 0
    item_events: int = 0
    # Whether slates were taken up: the first `window` of this release, and its newest.
    baseline: list[bool] = field(default_factory=list)
    recent: deque[bool] = field(init=False)
    # Whether what was chosen is in the matrix, newest last.
    known: deque[bool] = field(init=False)
    # Slates shown and still open for a reaction.
    _open: OrderedDict[str, bool] = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        self.recent = deque(maxlen=max(1, self.window))
        self.known = deque(maxlen=max(1, self.window))

    def take_in(self, events: Iterable[LoggedEvent], item_ids: frozenset[str]) -> None:
        """Counts events that came after the releases; `item_ids` are those in the matrix."""
        for logged in events:
            positive = rule(logged.type).positive_weight > 0
            if positive:
                self.known.append(logged.item_id in item_ids)
            if self.window and (positive or logged.type == event_pb2.EVENT_TYPE_IMPRESSION):
                self._note_slate(logged.event().recommendation_id, positive)

    def _note_slate(self, recommendation_id: str, positive: bool) -> None:
        if not recommendation_id:
            return
        if positive:
            if recommendation_id in self._open:
                self._open[recommendation_id] = True
            return
        self._open.setdefault(recommendation_id, False)
        # A slate is judged when as many have come after it: by then who wanted something has taken it.
        if len(self._open) > max(1, self.window // 10):
            _, taken = self._open.popitem(last=False)
            (self.baseline if len(self.baseline) < self.window else self.recent).append(taken)


def due(behaviour: Behaviour, fresh_items: int, age_seconds: float, settings: WatchSettings) -> Due | None:
    """The release that should be made now, the deeper one first. `age_seconds` since the last full release was made,
    `fresh_items` in the catalogue and not in the matrix."""
    new = behaviour.full_events
    if new >= settings.events:
        return Due("full", f"{new} new events (export.watch.events = {settings.events})")
    if new >= settings.least_events and age_seconds >= settings.seconds:
        return Due("full", f"{new} new events and {age_seconds:.0f} s since the last full release")
    fallen = drift(behaviour)
    if settings.drift_slates and new >= settings.least_events and fallen >= settings.drift_z:
        return Due("full", f"slates are taken up less than at first, by {fallen:.1f} standard errors")
    if behaviour.item_events >= settings.item_events:
        return Due("item", f"the item learner is {behaviour.item_events} events past the matrix")
    if fresh_items >= settings.fresh_items:
        return Due("item", f"{fresh_items} items are newer than the matrix")
    unknown = 1.0 - sum(behaviour.known) / len(behaviour.known) if behaviour.known else 0.0
    enough = len(behaviour.known) >= settings.least_events
    if enough and fresh_items and unknown >= settings.unknown_share:
        return Due("item", f"{unknown:.0%} of the newest chosen items are not in the matrix")
    return None


def drift(behaviour: Behaviour) -> float:
    """By how many standard errors the newest slates are taken up less than the first ones (two-proportion z-test); 0
    while a side is not full."""
    first, newest = behaviour.baseline, behaviour.recent
    if len(first) < behaviour.window or len(newest) < behaviour.window:
        return 0.0
    before, now = sum(first) / len(first), sum(newest) / len(newest)
    pooled = (sum(first) + sum(newest)) / (len(first) + len(newest))
    error = math.sqrt(pooled * (1.0 - pooled) * (1.0 / len(first) + 1.0 / len(newest)))
    return (before - now) / error if error else 0.0

"""Which events of users still stand: what was taken back does nothing, in whatever order the two came.

An event that names another one of the same user in `retracts` takes that one back and does nothing else; it cannot itself
be taken back. A REMOVE_FROM_CART takes back every ADD_TO_CART of its user and item before it, by time and then by place in
the log. Serving, the item learner and training sets ask the same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from recency.v1 import event_pb2
from recency_features.history import Interaction
from recency_store.records import LoggedEvent

_ADD = event_pb2.EVENT_TYPE_ADD_TO_CART
_REMOVE = event_pb2.EVENT_TYPE_REMOVE_FROM_CART
# Ids that are waited for; past so many, an event that comes after it was taken back still moves its item's trend.
_MOST_WAITING = 10_000
# (event time, sequence): an event's place among those of its user.
Place = tuple[int, int]


def takes_back(event: LoggedEvent) -> bool:
    """Whether an event may take another one back."""
    return bool(event.retracts) or event.type == _REMOVE


class TakenBack:
    """What some events take back: asked once all of them are known."""

    __slots__ = ("_emptied", "_named", "_removals")

    def __init__(self, events: Iterable[LoggedEvent] = ()) -> None:
        self._named: set[tuple[str, str]] = set()
        self._removals: list[LoggedEvent] = []
        self._emptied: dict[tuple[str, str], Place] | None = None
        for event in events:
            self.add(event)

    def __bool__(self) -> bool:
        """Whether anything may be taken back."""
        return bool(self._named or self._removals)

    def add(self, event: LoggedEvent) -> None:
        """Notes what an event takes back."""
        if event.retracts:
            self._named.add((event.user_id, event.retracts))
        elif event.type == _REMOVE:
            self._removals.append(event)
        else:
            return
        self._emptied = None

    def __contains__(self, event: LoggedEvent) -> bool:
        """Whether an event does nothing: it is taken back, or does no more than take another one back."""
        if event.retracts:
            return True
        place = (event.time_micros, event.sequence)
        return bool(self) and self.covers(event.user_id, event.event_id, event.item_id, event.type, place)

    def covers(self, user_id: str, event_id: str, item_id: str, kind: int, place: Place) -> bool:
        """Whether an event of these columns is taken back."""
        if (user_id, event_id) in self._named:
            return True
        if kind != _ADD or not self._removals:
            return False
        if self._emptied is None:
            self._emptied = {}
            for one in self._removals:
                # A removal that was itself taken back removes nothing.
                if (one.user_id, one.event_id) not in self._named:
                    cart, at = (one.user_id, one.item_id), (one.time_micros, one.sequence)
                    self._emptied[cart] = max(at, self._emptied.get(cart, at))
        removed = self._emptied.get((user_id, item_id))
        return removed is not None and place < removed


def standing(events: Sequence[LoggedEvent]) -> list[LoggedEvent]:
    """Those of some events that are neither taken back by another one of them nor only take one back, in their order."""
    back = TakenBack(events)
    return [event for event in events if event not in back]


def removed_from_cart(interactions: Sequence[Interaction]) -> list[Interaction]:
    """Interactions (of one user, oldest first) without the removals among them and what these take back."""
    gone: set[str] = set()
    kept = []
    for interaction in reversed(interactions):
        if interaction.type == _REMOVE:
            gone.add(interaction.item_id)
        elif interaction.type != _ADD or interaction.item_id not in gone:
            kept.append(interaction)
    return kept[::-1]


class Difference(NamedTuple):
    """What newest events of the log change about what stands."""

    come: list[LoggedEvent]
    gone: list[LoggedEvent]


def difference(
    events: Sequence[LoggedEvent], all_of: Callable[[str], Sequence[LoggedEvent]], waiting: set[str]
) -> Difference:
    """What stands after these events (one stretch of the log, in order) and did not before, and what no longer does.

    `all_of` reads the events of a user. `waiting` holds the ids that were taken back before they came, between calls.
    """
    concerned = {event.user_id for event in events if takes_back(event) or event.event_id in waiting}
    come = [event for event in events if event.user_id not in concerned]
    gone: list[LoggedEvent] = []
    for user_id in concerned:
        known = [event for event in all_of(user_id) if event.sequence <= events[-1].sequence]
        before = standing([event for event in known if event.sequence < events[0].sequence])
        after = standing(known)
        come += _without(after, before)
        gone += _without(before, after)
        ids = {event.event_id for event in known}
        waiting -= ids
        for event in known:
            if event.retracts and event.retracts not in ids and len(waiting) < _MOST_WAITING:
                waiting.add(event.retracts)
    return Difference(come, gone)


def _without(events: Iterable[LoggedEvent], others: Collection[LoggedEvent]) -> list[LoggedEvent]:
    there = {event.sequence for event in others}
    return [event for event in events if event.sequence not in there]

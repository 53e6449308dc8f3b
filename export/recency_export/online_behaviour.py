"""What users had done before each event that the learner reads, kept in memory for those who are about.

The same rules as in the gateway, from the same functions of `recency_features`: what stands in a history, what counts as
consumed, what was taken back.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from recency_features.events import rule
from recency_features.history import Interaction
from recency_features.standing import TakenBack, takes_back
from recency_store.protocol import Store
from recency_store.records import LoggedEvent

# Of one user so many of the newest events are read: as many as the gateway reads by default.
_EVENTS_LIMIT = 10_000


class _Kept(NamedTuple):
    """One event in the order of (time, sequence)."""

    time_micros: int
    sequence: int
    interaction: Interaction


class _Person(NamedTuple):
    """A user's events in order, and what of them is taken back, before or after it comes."""

    kept: list[_Kept]
    taken_back: TakenBack


class Before(NamedTuple):
    """A user before an event: interactions oldest first, and the ids of what was consumed."""

    interactions: list[Interaction]
    seen: set[str]


class Behaviour:
    """The users in memory, least recently used ones dropped first. Whoever takes something back is read anew."""

    def __init__(self, store: Store, cached_users: int) -> None:
        self._store = store
        self._cached_users = cached_users
        self._users: OrderedDict[str, _Person] = OrderedDict()

    def follow(self, events: Sequence[LoggedEvent]) -> None:
        """Takes in events of the log, for the users in memory; taking one in twice changes nothing."""
        for event in events:
            if takes_back(event):
                self.forget([event.user_id])
            person = self._users.get(event.user_id)
            if person is not None and _does_something(event) and event not in person.taken_back:
                kept = person.kept
                entry = _entry(event)
                place = bisect_left(kept, entry[:2], key=lambda one: one[:2])
                if place == len(kept) or kept[place].sequence != event.sequence:
                    insort(kept, entry, key=lambda one: one[:2])

    def erased(self, digests: Collection[str]) -> list[str]:
        """Which of the users in memory are those that tombstones name; they are forgotten."""
        names = [user_id for user_id in self._users if self._store.user_digest(user_id) in digests]
        for user_id in names:
            del self._users[user_id]
        return names

    def forget(self, user_ids: Iterable[str]) -> None:
        """Drops users from memory: their events are no longer what they were."""
        for user_id in user_ids:
            self._users.pop(user_id, None)

    def stands(self, event: LoggedEvent) -> bool:
        """Whether an event is not taken back, as far as the log goes now."""
        return event not in self._load(event.user_id).taken_back

    def before(self, event: LoggedEvent) -> Before:
        """What the log held of the event's user before the event, by its time and by its place in the log."""
        kept = self._load(event.user_id).kept
        until = bisect_left(kept, (event.time_micros, event.sequence), key=lambda one: one[:2])
        earlier = [one.interaction for one in kept[:until] if one.sequence < event.sequence]
        return Before(earlier, {i.item_id for i in earlier if rule(i.type).marks_seen})

    def _load(self, user_id: str) -> _Person:
        person = self._users.get(user_id)
        if person is None:
            logged = self._store.read_user(user_id, _EVENTS_LIMIT)
            back = TakenBack(logged)
            kept = [_entry(event) for event in logged if _does_something(event) and event not in back]
            person = self._users[user_id] = _Person(kept, back)
            if len(self._users) > self._cached_users:
                self._users.popitem(last=False)
        self._users.move_to_end(user_id)
        return person


def _does_something(event: LoggedEvent) -> bool:
    its = rule(event.type)
    return its.in_history or its.marks_seen


def _entry(event: LoggedEvent) -> _Kept:
    return _Kept(event.time_micros, event.sequence, Interaction(event.item_id, event.type, event.time_micros))

"""Requests with known answers, read from the log: which event came next, and what its user had done by then."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np

from recency_export.asked import Asking
from recency_features.events import rule
from recency_features.history import Interaction
from recency_features.standing import TakenBack, standing
from recency_store.protocol import Store
from recency_store.records import LoggedEvent

# A user's newest events that are read, and events read at one place of the log for a sample.
_HISTORY = 2_000
_RUN = 20


def events_between(store: Store, after: int, through: int, most: int) -> list[LoggedEvent]:
    """The events with after < sequence <= through in order, but for those of who does not want to be learned from; of more
    than about `most` the newest."""
    refusing = store.users_not_training()
    return [event for event in store.scan_log(max(after, through - most), through) if event.user_id not in refusing]


def sampled_events(store: Store, through: int, most: int, rng: np.random.Generator) -> list[LoggedEvent]:
    """Short runs of events from places all over the log up to a sequence."""
    found: dict[int, LoggedEvent] = {}
    refusing = store.users_not_training()
    for place in rng.integers(0, max(1, through), -(-2 * most // _RUN)).tolist():
        for event in store.read_log(place, _RUN):
            if event.sequence <= through and event.user_id not in refusing:
                found[event.sequence] = event
    return [found[sequence] for sequence in sorted(found)]


def next_cases(
    store: Store,
    events: Iterable[LoggedEvent],
    known: Collection[str],
    again: bool,
    most: int,
    rng: np.random.Generator,
) -> list[Asking]:
    """A case for each positive event of a `known` item (drawn where there are more than `most`), in the order of the log.

    Unless the catalogue is consumed `again`, an item that its user had consumed already is no answer to anything.
    """
    positive = [event for event in events if rule(event.type).positive_weight > 0 and event.item_id in known]
    if len(positive) > most:
        positive = [positive[row] for row in np.sort(rng.choice(len(positive), most, replace=False)).tolist()]
    histories: dict[str, list[LoggedEvent]] = {}
    backs: dict[str, TakenBack] = {}
    cases = []
    for event in positive:
        if event.user_id not in histories:
            logged = store.read_user(event.user_id, _HISTORY)
            histories[event.user_id], backs[event.user_id] = standing(logged), TakenBack(logged)
        if event in backs[event.user_id]:
            continue
        at = (event.time_micros, event.sequence)
        before = [past for past in histories[event.user_id] if (past.time_micros, past.sequence) < at]
        seen = any(past.item_id == event.item_id and rule(past.type).marks_seen for past in before)
        if again or not seen:
            cases.append(_asking(event.user_id, before, event.time_micros, event.sequence, event.item_id))
    return cases


def users_now(store: Store, events: Iterable[LoggedEvent], most: int) -> list[Asking]:
    """The users of the newest of these events, as they are at the time of the newest."""
    ordered = sorted(events, key=lambda event: event.sequence)
    users = list(dict.fromkeys(event.user_id for event in reversed(ordered)))[:most]
    if not users:
        return []
    now = max(event.time_micros for event in ordered)
    histories = ((user, standing(store.read_user(user, _HISTORY, now))) for user in users)
    return [_asking(user, before, now, ordered[-1].sequence + 1, "") for user, before in histories]


def asking_at(store: Store, user: str, at_micros: int, sequence: int) -> Asking:
    """A user as they were just before a time."""
    return _asking(user, store.read_user(user, _HISTORY, at_micros - 1), at_micros, sequence, "")


def interactions(events: Iterable[LoggedEvent]) -> list[Interaction]:
    """Events as training and serving read them."""
    return [Interaction(event.item_id, event.type, event.time_micros) for event in events]


def _asking(user: str, before: Iterable[LoggedEvent], at_micros: int, sequence: int, target: str) -> Asking:
    return Asking(user, tuple(interactions(before)), at_micros, sequence, target)

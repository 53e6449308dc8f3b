"""The events behind a user's history, by their ids.

States in memory keep no ids, which plain answers never need; an explained or traced one reads them from the store.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from recency_features.events import rule
from recency_features.history import Interaction
from recency_features.standing import standing
from recency_server.query import Query
from recency_server.release import Release
from recency_server.users import Behaviour, UserRows
from recency_store.protocol import Store
from recency_store.records import LoggedEvent

# Events that did not count, the newest of them: as many as a trace holds.
_UNUSED = 100


@dataclass(frozen=True, slots=True)
class UserEvents:
    """ids of the events at the positions of the history, newest last (empty where the store has no such event), and of the
    user's newest events that are at none."""

    used: tuple[str, ...]
    unused: tuple[str, ...]


def history_of(behaviour: Behaviour, release: Release | None) -> list[Interaction]:
    """The interactions that the user vector is made from, newest last; without a release those of any item."""
    newest_first = (
        interaction
        for interaction in reversed(behaviour.interactions)
        if rule(interaction.type).in_history and (release is None or interaction.item_id in release.index_of)
    )
    return list(islice(newest_first, None if release is None else release.manifest.history_length))[::-1]


def history_in(rows: UserRows, release: Release) -> list[Interaction]:
    """The interactions that stand in a user's rows: what an answer was made from, whatever has come since."""
    begin = len(rows.ids) - rows.length
    columns = zip(
        rows.ids[begin:].tolist(), rows.types[begin:].tolist(), rows.times_micros[begin:].tolist(), strict=True
    )
    return [Interaction(release.item_ids[index], event_type, micros) for index, event_type, micros in columns]


def read_events(store: Store, query: Query, history: Sequence[Interaction], limit: int) -> UserEvents:
    """Finds the events of a history again among the user's newest `limit` in the store and those that the request brought.
    Blocks; StoreError where the store is away."""
    return events_behind(store.read_user(query.user_id, limit) if query.user_id else [], query, history)


def events_behind(stored: Sequence[LoggedEvent], query: Query, history: Sequence[Interaction]) -> UserEvents:
    """The same where the user's events have been read."""
    stands = standing(stored)
    kept = {event.sequence for event in stands}
    taken_back = [event.event_id for event in stored if event.sequence not in kept]
    recent = zip(query.recent_ids, query.recent, strict=True)
    named = chain(
        ((event.event_id, Interaction(event.item_id, event.type, event.time_micros)) for event in stands), recent
    )
    found = match(sorted(named, key=lambda pair: pair[1].time_micros), history)
    return UserEvents(found.used, (*taken_back, *found.unused)[-_UNUSED:])


def match(named: Iterable[tuple[str, Interaction]], history: Sequence[Interaction]) -> UserEvents:
    """Gives each position of a history the id of an event that did the same at the same time. Pure."""
    events = [(event_id, interaction) for event_id, interaction in named if event_id]
    waiting: dict[Interaction, list[str]] = defaultdict(list)
    for event_id, interaction in events:
        waiting[interaction].append(event_id)
    used = [waiting[i].pop() if waiting.get(i) else "" for i in reversed(history)][::-1]
    there = set(used)
    unused = [event_id for event_id, _ in events if event_id not in there]
    return UserEvents(tuple(used), tuple(unused[-_UNUSED:]))

"""What the store knows of a user, kept in memory between requests and coherent with the log.

A state is loaded from the store in a thread and from then on kept up by the follower. A load and the follower may both
bring an event, and in any order: an event's place (time, sequence) is unique, so taking one in twice changes nothing. What
undoes earlier events (a retraction, a cart that is emptied, two users who are merged) drops the state: it is loaded anew.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from recency.v1 import event_pb2
from recency_features.events import rule
from recency_features.history import Interaction, known_history, own_counts
from recency_features.spec import PAD
from recency_features.standing import TakenBack, removed_from_cart, takes_back
from recency_server.counters import Counters
from recency_server.profile import UNKNOWN, Profile, profile_of
from recency_server.release import Release
from recency_store.protocol import Store
from recency_store.records import LoggedEvent

# A report is about the rules, not about taste.
_DISLIKES = frozenset({event_pb2.EVENT_TYPE_HIDE, event_pb2.EVENT_TYPE_DISLIKE})
_MOST_DISLIKES = 20
_NOTHING = TakenBack()
_REMOVE = event_pb2.EVENT_TYPE_REMOVE_FROM_CART
# A user who said so never sees the item again, also where a catalogue is consumed again and again.
_REJECTS = frozenset({event_pb2.EVENT_TYPE_HIDE, event_pb2.EVENT_TYPE_DISLIKE, event_pb2.EVENT_TYPE_REPORT})


@dataclass(frozen=True, slots=True)
class UserConfig:
    """Limits of what is kept.

    events_limit  the newest events of a user that are read: history, counts and what was seen come from these
    cached_users, cached_events  bounds on the states held in memory, and on their events together
    """

    events_limit: int = 10_000
    cached_users: int = 50_000
    cached_events: int = 2_000_000


@dataclass(frozen=True, slots=True)
class UserRows:
    """A user in the terms of one release, padded to its history length L, ready to be copied into a batch.

    ids, types int32 [L] and times_micros int64 [L], padded in front; own_ids int32 and own_counts float32 [K]:
    what was consumed (that is: seen) and how often; rejected int32: what the user never wants to see again; disliked int32:
    what the newest of these say about their taste.
    """

    ids: npt.NDArray[np.int32]
    types: npt.NDArray[np.int32]
    times_micros: npt.NDArray[np.int64]
    length: int
    own_ids: npt.NDArray[np.int32]
    own_counts: npt.NDArray[np.float32]
    rejected: npt.NDArray[np.int32]
    disliked: npt.NDArray[np.int32]
    # The newest event about an item that the release or its overlay knows.
    behaviour_micros: int | None


class Behaviour(NamedTuple):
    """A user's events that do something, oldest first; how often each item was consumed; what was rejected for good."""

    interactions: list[Interaction]
    counts: dict[str, int]
    rejected: set[str]


def make_rows(behaviour: Behaviour, release: Release) -> UserRows:
    """A user's behaviour as the rows for a release."""
    interactions, counts, rejected = behaviour
    limit = release.manifest.history_length
    index_of = release.index_of
    history = known_history(interactions, index_of, limit)
    length = len(history.ids)
    ids = np.full(limit, PAD, dtype=np.int32)
    types = np.zeros(limit, dtype=np.int32)
    times = np.zeros(limit, dtype=np.int64)
    if length:
        ids[limit - length :] = history.ids
        types[limit - length :] = history.types
        times[limit - length :] = history.times_micros
    own = [(index, count) for item_id, count in counts.items() if (index := index_of.get(item_id)) is not None]
    newest = next((i.time_micros for i in reversed(interactions) if i.item_id in index_of), None)
    return UserRows(
        ids=ids,
        types=types,
        times_micros=times,
        length=length,
        own_ids=np.array([index for index, _ in own], dtype=np.int32),
        own_counts=np.array([count for _, count in own], dtype=np.float32),
        rejected=np.array([index_of[item_id] for item_id in rejected if item_id in index_of], dtype=np.int32),
        disliked=np.array(_disliked(interactions, index_of) if rejected else (), dtype=np.int32),
        behaviour_micros=newest,
    )


def _disliked(interactions: Sequence[Interaction], index_of: Mapping[str, int]) -> list[int]:
    found = dict.fromkeys(
        index_of[i.item_id] for i in reversed(interactions) if i.type in _DISLIKES and i.item_id in index_of
    )
    return list(found)[:_MOST_DISLIKES]


class UserState:
    """One user's behaviour as the log has it, their profile, and the rows for the release that last asked."""

    __slots__ = ("_keys", "_rows", "_rows_of", "_taken_back", "behaviour", "profile")

    def __init__(self, events: Sequence[LoggedEvent] = (), profile: Profile = UNKNOWN) -> None:
        self.profile = profile
        # Kept: an event may come after it was taken back.
        self._taken_back = TakenBack(events) or _NOTHING
        self._keys: list[tuple[int, int]] = []
        self.behaviour = Behaviour([], {}, set())
        self._rows: UserRows | None = None
        self._rows_of: tuple[int, int] = (-1, -1)
        for event in events:
            self.take_in(event)

    def take_in(self, event: LoggedEvent) -> bool:
        """Puts an event in its place by (time, sequence), however late it came; False where it is there already, does
        nothing or is taken back. One that takes another one back is not for here: the state is to be made anew."""
        its_rule = rule(event.type)
        if not (its_rule.in_history or its_rule.marks_seen) or event in self._taken_back:
            return False
        interactions, counts, rejected = self.behaviour
        key = (event.time_micros, event.sequence)
        interaction = Interaction(event.item_id, event.type, event.time_micros)
        if not self._keys or key > self._keys[-1]:
            self._keys.append(key)
            interactions.append(interaction)
        else:
            place = bisect_left(self._keys, key)
            if self._keys[place] == key:
                return False
            self._keys.insert(place, key)
            interactions.insert(place, interaction)
        if its_rule.marks_seen:
            counts[event.item_id] = counts.get(event.item_id, 0) + 1
        if event.type in _REJECTS:
            rejected.add(event.item_id)
        self._rows = None
        return True

    def rows(self, release: Release) -> UserRows:
        """The rows for a release, made once for each state of the user and of the release's items."""
        made_of = (release.number, len(release.item_ids))
        if self._rows is None or self._rows_of != made_of:
            self._rows = make_rows(self.behaviour, release)
            self._rows_of = made_of
        return self._rows

    def with_recent(self, recent: Sequence[Interaction]) -> Behaviour:
        """The behaviour as if `recent` had been stored; what was stored meanwhile is not counted twice."""
        interactions, counts, rejected = self.behaviour
        stored = set(interactions[-4 * len(recent) - 100 :])
        new = [i for i in recent if i not in stored]
        doing = [i for i in new if rule(i.type).in_history or rule(i.type).marks_seen]
        rejected = rejected | {i.item_id for i in new if i.type in _REJECTS}
        if any(i.type == _REMOVE for i in new):
            left = removed_from_cart(sorted([*interactions, *new], key=lambda i: i.time_micros))
            left = [i for i in left if rule(i.type).in_history or rule(i.type).marks_seen]
            return Behaviour(left, own_counts(left), rejected)
        merged_counts = dict(counts)
        for item_id, count in own_counts(new).items():
            merged_counts[item_id] = merged_counts.get(item_id, 0) + count
        merged = sorted([*interactions, *doing], key=lambda i: i.time_micros)
        return Behaviour(merged, merged_counts, rejected)


@dataclass(slots=True)
class _Loading:
    """A read of a user's events: who waits, what was followed meanwhile, and whether what is read is out of date."""

    ready: asyncio.Future[UserState]
    followed: list[LoggedEvent] = field(default_factory=list)
    stale: bool = False


class Users:
    """The states in memory, least recently used ones dropped first."""

    def __init__(self, store: Store, threads: Executor, counters: Counters, config: UserConfig) -> None:
        self._store = store
        self._threads = threads
        self._counters = counters
        self._config = config
        self._states: OrderedDict[str, UserState] = OrderedDict()
        self._events = 0
        self._loading: dict[str, _Loading] = {}

    def cached(self, user_id: str) -> UserState | None:
        """The state, where it is in memory."""
        state = self._states.get(user_id)
        if state is not None:
            self._states.move_to_end(user_id)
            self._counters.user_hits += 1
        return state

    async def load(self, user_id: str) -> UserState:
        """The state, read from the store where it is not in memory; callers at the same time share one read.

        The caller may give up waiting: the read goes on and fills the cache. StoreError where the store is away.
        """
        state = self.cached(user_id)
        if state is not None:
            return state
        loading = self._loading.get(user_id)
        if loading is None:
            loop = asyncio.get_running_loop()
            loading = self._loading[user_id] = _Loading(loop.create_future())
            # A failed read that nobody waits for any more is nobody's error.
            loading.ready.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._start_reading(user_id)
        return await asyncio.shield(loading.ready)

    def take_in(self, events: Iterable[LoggedEvent]) -> None:
        """Brings the states in memory, and the ones being read, up to these events."""
        for event in events:
            if takes_back(event):
                self.forget([event.user_id])
            state = self._states.get(event.user_id)
            if state is not None:
                self._events += state.take_in(event)
            elif event.user_id in self._loading:
                self._loading[event.user_id].followed.append(event)
        self._evict()

    def forget(self, user_ids: Iterable[str]) -> None:
        """Drops what is in memory of users, and what is being read: their events are no longer what they were."""
        for user_id in user_ids:
            state = self._states.pop(user_id, None)
            if state is not None:
                self._events -= len(state.behaviour.interactions)
            elif user_id in self._loading:
                self._loading[user_id].stale = True

    def erased(self, digests: Collection[str]) -> list[str]:
        """Which of the users in memory are those that tombstones name. For a thread: it takes 1 µs a user. Who is being
        read comes first, for in the meantime they may go over to those who have been."""
        return [name for name in (*self._loading, *self._states) if self._store.user_digest(name) in digests]

    def _start_reading(self, user_id: str) -> None:
        self._counters.user_loads += 1
        reading = asyncio.get_running_loop().run_in_executor(self._threads, self._read, user_id)
        reading.add_done_callback(lambda done: self._finish_reading(user_id, done))

    def _read(self, user_id: str) -> UserState:
        profile = profile_of(self._store.get_user(user_id))
        return UserState(self._store.read_user(user_id, self._config.events_limit), profile)

    def _finish_reading(self, user_id: str, reading: asyncio.Future[UserState]) -> None:
        loading = self._loading[user_id]
        if loading.stale and not reading.cancelled() and reading.exception() is None:
            # What made it so is in the store: a second read has it, and all that was followed.
            loading.stale, loading.followed = False, []
            self._start_reading(user_id)
            return
        del self._loading[user_id]
        if reading.cancelled():
            loading.ready.cancel()
            return
        error = reading.exception()
        if error is not None:
            loading.ready.set_exception(error)
            return
        state = reading.result()
        for event in loading.followed:
            state.take_in(event)
        self._states[user_id] = state
        self._events += len(state.behaviour.interactions)
        self._evict()
        loading.ready.set_result(state)

    def _evict(self) -> None:
        while len(self._states) > self._config.cached_users or self._events > self._config.cached_events:
            _, state = self._states.popitem(last=False)
            self._events -= len(state.behaviour.interactions)

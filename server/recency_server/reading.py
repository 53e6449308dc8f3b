"""What the path knows of the user it answers: stored behaviour, what the request brought, and whether seen items go."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from recency_server.query import Query
from recency_server.release import Release
from recency_server.users import Behaviour, UserRows, Users, UserState, make_rows
from recency_store.errors import StoreError

SeenRule = Literal["auto", "always", "never"]


@dataclass(frozen=True, slots=True)
class User:
    """rows            in the terms of the release, None without one
    behaviour       the events that they are made from
    seen            items consumed, and `rejected` ones, which stay out whatever else is asked for
    leave_out_seen  whether `seen` is left out of this answer
    """

    rows: UserRows | None
    seen: Collection[str]
    rejected: Collection[str]
    leave_out_seen: bool
    behaviour_micros: int | None
    behaviour: Behaviour
    degraded: tuple[str, ...] = ()

    @property
    def events_used(self) -> int:
        """How many events the user vector is made from."""
        return self.rows.length if self.rows is not None else 0


async def read_user(
    users: Users, query: Query, release: Release | None, leave_out_seen: bool, timeout_seconds: float
) -> User:
    """The user's state from memory or the store, with the request's own recent events on top."""
    degraded: tuple[str, ...] = ()
    state = users.cached(query.user_id) if query.user_id else UserState()
    if state is None:
        try:
            async with asyncio.timeout(timeout_seconds):
                state = await users.load(query.user_id)
        except TimeoutError:
            state, degraded = UserState(), ("behaviour: the user's events were not read in time",)
        except StoreError as error:
            state, degraded = UserState(), (f"behaviour: the store does not answer ({error})",)
    if query.recent:
        behaviour = state.with_recent(query.recent)
        rows = make_rows(behaviour, release) if release is not None else None
    else:
        behaviour = state.behaviour
        rows = state.rows(release) if release is not None else None
    if rows is not None:
        behaviour_micros = rows.behaviour_micros
    elif leave_out_seen and behaviour.interactions:
        # Without a model the events still say what to leave out.
        behaviour_micros = behaviour.interactions[-1].time_micros
    else:
        behaviour_micros = None
    return User(rows, behaviour.counts, behaviour.rejected, leave_out_seen, behaviour_micros, behaviour, degraded)


def leaves_out_seen(query: Query, release: Release | None, seen_rule: SeenRule, repeat_share: float) -> bool:
    """Whether what the user consumed is left out: as the request says, else as the deployment is configured, else out
    unless the release was trained on a catalogue that is consumed again."""
    if query.include_seen is not None:
        return not query.include_seen
    if seen_rule != "auto":
        return seen_rule == "always"
    return release is None or release.manifest.repeat_share <= repeat_share

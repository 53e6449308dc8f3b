"""What the path knows of the user it answers: stored behaviour, what the request brought, and whether seen items go."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from recency_server.profile import Profile
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
    profile         what is known of the user beyond it
    maturity_limit  items above it are not for this user
    """

    rows: UserRows | None
    seen: Collection[str]
    rejected: Collection[str]
    leave_out_seen: bool
    behaviour_micros: int | None
    behaviour: Behaviour
    profile: Profile
    maturity_limit: int
    degraded: tuple[str, ...] = ()

    @property
    def events_used(self) -> int:
        """How many events the user vector is made from."""
        return self.rows.length if self.rows is not None else 0


async def read_user(
    users: Users,
    query: Query,
    release: Release | None,
    leave_out_seen: bool,
    maturity_limit: int,
    timeout_seconds: float,
) -> User:
    """The user's state from memory or the store, with the request's own recent events on top; without any events for one
    who does not want them used. `maturity_limit` is for who has none; for one who cannot be read the strictest holds."""
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
    profile = state.profile
    limit = 0 if degraded else maturity_limit if profile.maturity_limit is None else profile.maturity_limit
    if not profile.personal:
        state = UserState()
    if query.recent and profile.personal:
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
    return User(
        rows=rows,
        seen=behaviour.counts,
        rejected=behaviour.rejected,
        leave_out_seen=leave_out_seen,
        behaviour_micros=behaviour_micros,
        behaviour=behaviour,
        profile=profile,
        maturity_limit=limit,
        degraded=degraded,
    )


def leaves_out_seen(query: Query, release: Release | None, seen_rule: SeenRule, repeat_share: float) -> bool:
    """Whether what the user consumed is left out: as the request says, else as the deployment is configured, else out
    unless the release was trained on a catalogue that is consumed again."""
    if query.include_seen is not None:
        return not query.include_seen
    if seen_rule != "auto":
        return seen_rule == "always"
    return release is None or release.manifest.repeat_share <= repeat_share

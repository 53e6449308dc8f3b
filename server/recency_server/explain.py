"""Why each item of a slate is there: gathers what reasons are made of (`because.py` words them).

What each event adds is one batch of the `scorer`, what events and items are called is one look at the store. Where one of
them is away, what the other tells is told, and the answer says what is missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import numpy as np

from recency.v1 import item_pb2
from recency_features.history import Interaction
from recency_server.because import Grounds, reasons_of
from recency_server.candidates import Aim
from recency_server.counterfactual import EXPLAINED_EVENTS, Contributions, contributions, without_newest
from recency_server.errors import Overloaded, TooLate, Unavailable
from recency_server.parts import Parts
from recency_server.query import Placed, Query
from recency_server.reading import User
from recency_server.reasons import language_of
from recency_server.release import Release
from recency_server.user_events import UserEvents, history_of, read_events
from recency_server.users import Behaviour
from recency_store.errors import StoreError

# Gives how long a stage may take now.
Left = Callable[[], float]


async def explain(
    placed: tuple[Placed, ...], release: Release | None, user: User, aim: Aim, query: Query, left: Left, parts: Parts
) -> tuple[tuple[Placed, ...], tuple[str, ...]]:
    """The same places with their reasons, and what is missing of them. `release` is None where no model took part."""
    if not placed:
        return placed, ()
    # As it is now: the follower goes on while the model is asked.
    interactions, counts, rejected = user.behaviour
    behaviour = Behaviour(list(interactions), dict(counts), set(rejected))
    # Without a model nothing was made of the events, and still an item may be like what they were about.
    history = history_of(behaviour, release)
    newest = history[: -EXPLAINED_EVENTS - 1 : -1]
    (by_name, unnamed), (added, unscored) = await asyncio.gather(
        _by_name(placed, history, newest, query, left(), parts),
        _added(placed, release, user, behaviour, len(newest), aim, left(), parts),
    )
    events, items = by_name
    grounds = Grounds(
        query=query,
        language=language_of(query.context_json),
        by_model=release is not None,
        newest=newest,
        event_ids=events.used[: -EXPLAINED_EVENTS - 1 : -1],
        items=items,
        added=added,
        taken_up={} if release is None else release.taken_up([p.item_id for p in placed]),
        lifts={} if release is None else release.lifts,
        seed_of=_nearest_seeds(placed, release, query),
    )
    return tuple(one._replace(reasons=reasons_of(one, grounds)) for one in placed), (*unnamed, *unscored)


async def _by_name(
    placed: Sequence[Placed],
    history: Sequence[Interaction],
    newest: Sequence[Interaction],
    query: Query,
    within_seconds: float,
    parts: Parts,
) -> tuple[tuple[UserEvents, dict[str, item_pb2.Item]], tuple[str, ...]]:
    """The history's events, and the items that sentences name."""
    wanted = {p.item_id for p in placed} | {i.item_id for i in newest} | set(query.seed_item_ids)
    wanted |= {p.fact.item_id for p in placed if p.fact is not None}

    def read() -> tuple[UserEvents, dict[str, item_pb2.Item]]:
        events = read_events(parts.store, query, history, parts.config.users.events_limit)
        return events, {item_id: item.item() for item_id, item in parts.store.get_items(sorted(wanted)).items()}

    nothing = (UserEvents(("",) * len(history), ()), dict[str, item_pb2.Item]())
    try:
        async with asyncio.timeout(within_seconds):
            return await asyncio.get_running_loop().run_in_executor(parts.threads, read), ()
    except TimeoutError:
        return nothing, ("explain: events and items were not read in time",)
    except StoreError as error:
        return nothing, (f"explain: the store does not answer ({error})",)


async def _added(
    placed: Sequence[Placed],
    release: Release | None,
    user: User,
    behaviour: Behaviour,
    events: int,
    aim: Aim,
    within_seconds: float,
    parts: Parts,
) -> tuple[Contributions, tuple[str, ...]]:
    """What the newest events, the steer and trends add to the score of each item."""
    if release is None:
        return Contributions(), ("explain: without a model nobody can tell what each event adds",)
    scored = [p.item_id for p in placed if p.item_id in release.index_of]
    in_thread = asyncio.get_running_loop().run_in_executor
    try:
        async with asyncio.timeout(within_seconds):
            rows = await in_thread(parts.threads, without_newest, behaviour, release, events)
            return await contributions(
                parts.scorer.lanes(release).scorer,
                release,
                rows,
                aim,
                scored,
                parts.clock(),
                not user.leave_out_seen,
                within_seconds,
            ), ()
    except TimeoutError:
        return Contributions(), ("explain: what each event adds was not known in time",)
    except (Unavailable, Overloaded, TooLate) as error:
        return Contributions(), (f"explain: what each event adds is not known ({error})",)


def _nearest_seeds(placed: Sequence[Placed], release: Release | None, query: Query) -> dict[str, str]:
    """The seed that each item is most like, by item vectors."""
    if release is None:
        return {}
    seeds = [item_id for item_id in query.seed_item_ids if item_id in release.index_of]
    shown = [p.item_id for p in placed if p.item_id in release.index_of]
    if not seeds or not shown:
        return {}
    seeds_SD, shown_KD = (release.vectors_of([release.index_of[i] for i in ids]) for ids in (seeds, shown))
    seeds_SD = seeds_SD / np.maximum(np.linalg.norm(seeds_SD, axis=1, keepdims=True), 1e-9)
    return {item_id: seeds[at] for item_id, at in zip(shown, (shown_KD @ seeds_SD.T).argmax(1).tolist(), strict=True)}

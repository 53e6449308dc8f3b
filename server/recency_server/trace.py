"""How an answer came about: how long each stage took, what was scored, what was left out and why, which events counted.

"Why is my item not in it?" is asked with the item as `candidate_item_ids`: then the causes are those of the named items.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from recency.v1 import recommendation_pb2
from recency_server.candidates import Aim
from recency_server.choose import bounds
from recency_server.parts import Parts
from recency_server.query import Placed, Query
from recency_server.reading import User
from recency_server.release import Release
from recency_server.score import Scored
from recency_server.showable import Showable
from recency_server.told import LeftOut, Trace
from recency_server.user_events import UserEvents, events_behind, history_in
from recency_store.errors import StoreError
from recency_store.records import LoggedEvent

# Items that a cause names.
_NAMED = 20


class Laps:
    """How long each stage of one answer took, where that is wanted; else each lap is a look at a flag."""

    __slots__ = ("_since", "stages")

    def __init__(self, wanted: bool) -> None:
        self._since = time.perf_counter() if wanted else 0.0
        self.stages: list[tuple[str, float]] = []

    def end(self, stage: str) -> None:
        """A stage has ended, and the next one begins."""
        if self._since:
            now = time.perf_counter()
            self.stages.append((stage, now - self._since))
            self._since = now


class Stored(NamedTuple):
    """A user's events as the store has them, and what is missing of them."""

    events: Sequence[LoggedEvent] = ()
    missing: tuple[str, ...] = ()


async def stored_events(query: Query, within_seconds: float, parts: Parts) -> Stored:
    """The user's newest events in the store, read beside the work of the model."""
    read, limit = parts.store.read_user, parts.config.users.events_limit
    if not query.user_id:
        return Stored()
    try:
        async with asyncio.timeout(within_seconds):
            in_thread = asyncio.get_running_loop().run_in_executor
            return Stored(await in_thread(parts.threads, read, query.user_id, limit))
    except TimeoutError:
        return Stored(missing=("trace: the user's events were not read in time",))
    except StoreError as error:
        return Stored(missing=(f"trace: the store does not answer ({error})",))


async def trace_of(
    scored: Scored,
    placed: tuple[Placed, ...],
    release: Release | None,
    user: User,
    query: Query,
    aim: Aim,
    stored: Stored,
    parts: Parts,
) -> Trace:
    """The trace without its stages. `release` is None where no model took part."""
    history = [] if release is None or user.rows is None else history_in(user.rows, release)
    ranked = [item_id for item_id, _ in scored.ranked]
    showable = bounds(user, aim, query, parts)

    def told() -> tuple[tuple[LeftOut, ...], UserEvents]:
        named = query.candidate_item_ids
        scope = list(showable.catalog.entries) if named is None else list(dict.fromkeys(named))
        out = left_out(scope, ranked, {p.item_id for p in placed}, showable, release)
        return out, UserEvents((), ()) if stored.missing else events_behind(stored.events, query, history)

    out, events = await asyncio.get_running_loop().run_in_executor(parts.threads, told)
    used = tuple(event_id for event_id in events.used if event_id)
    return Trace((), _by_source(scored, ranked, placed), out, used, events.unused)


def left_out(
    scope: Collection[str],
    ranked: Sequence[str],
    placed: Collection[str],
    showable: Showable,
    release: Release | None,
) -> tuple[LeftOut, ...]:
    """Every item of a scope that is not in the slate, by its cause: what policy keeps out, what no model can score yet, what
    retrieval did not bring, and what ranked below the slate (the next ones first). Safe in a thread."""
    missing = set(scope).difference(placed)
    by_cause = {"unknown": missing.difference(showable.catalog.entries)}
    by_cause |= showable.causes(missing - by_cause["unknown"])
    rest = by_cause.pop("")
    # What has its place already and is not here has it on another page.
    by_cause["pinned"] = by_cause.pop("placed")
    by_cause["rank"] = rest.intersection(ranked)
    rest -= by_cause["rank"]
    by_cause["not embedded"] = rest.difference(release.index_of) if release is not None else set()
    by_cause["not retrieved"] = rest - by_cause["not embedded"]
    order = {why: ranked if why == "rank" else scope for why in by_cause}
    return tuple(
        LeftOut(why, len(found), tuple(islice(filter(found.__contains__, order[why]), _NAMED)))
        for why, found in sorted(by_cause.items())
        if found
    )


def _by_source(scored: Scored, ranked: list[str], placed: Iterable[Placed]) -> dict[str, int]:
    """How many items each source gave. What promotions and new items have in the slate they gave besides; what is
    related is told by relation."""
    name = recommendation_pb2.Source.Name

    def told(item_id: str) -> str:
        source = scored.source_of(item_id)
        related = source == recommendation_pb2.SOURCE_RELATED
        return f"{name(source)}:{scored.facts[item_id].relation}" if related else name(source)

    counts = dict(Counter(map(told, ranked)))
    counts.setdefault(name(scored.source), 0)
    for one in placed:
        if one.source != scored.source_of(one.item_id):
            counts[name(one.source)] = counts.get(name(one.source), 0) + 1
    return counts

"""The whole request path, one page: catch up, read the user, aim, score, decide."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from recency_server.candidates import Aim, aim_at
from recency_server.chances import with_chances
from recency_server.choose import choose
from recency_server.errors import StaleRefused, TooLate
from recency_server.explain import explain
from recency_server.paging import MAX_PAGES, Page, encode_page
from recency_server.parts import Parts
from recency_server.people import with_profile
from recency_server.query import Deadline, Freshness, Placed, Query, Slate
from recency_server.reading import User, leaves_out_seen, read_user
from recency_server.release import Release
from recency_server.score import Scored
from recency_server.told import Trace
from recency_server.trace import Laps, Stored, stored_events, trace_of
from recency_store.errors import StoreError

# The follower notes that it has everything this often at the least; less is not measured.
_SYNC_MICROS = 1_000_000

# Of what is left of a deadline, kept back as well: on a busy machine a fallback takes longer to reach its caller.
_RESERVE_SHARE = 0.1


async def recommend(query: Query, deadline: Deadline, parts: Parts) -> Slate:
    """The slate for one request. StaleRefused where a strict one cannot be as fresh as it asks for; TooLate where the
    deadline has passed. Parts that are away, overloaded or late make the answer degraded."""
    config = parts.config

    def left() -> float:
        return _left(deadline, parts)

    laps = Laps(query.trace)
    query, behind = await _begin(query, deadline, parts)
    laps.end("catch up")
    recommendation_id = parts.new_id()
    left_to_chance = query.exploration > 0.0 or config.policy.has_a_say
    dice = parts.dice(recommendation_id) if left_to_chance else None
    # One release from here to the answer: the canary for its share of the users, else the active one.
    with parts.releases.hold(query.who) as release, parts.arms.watching(release) as watched:
        leave_out_seen = leaves_out_seen(query, release, config.exclude_seen, config.repeat_share)
        people = config.people
        user = await read_user(parts.users, query, release, leave_out_seen, people.maturity_limit, left())
        laps.end("read the user")
        narrowed = parts.filters.up_to_maturity(parts.filters.narrow(query.filter), user.maturity_limit)
        aim = await aim_at(release, user, query, narrowed, left(), parts.encoder, parts.follower, config.steer)
        aim = await with_profile(aim, release, user, parts.encoder, people, left())
        laps.end("aim")
        scored, placed, stored = await _choose_and_read(release, user, aim, query, dice, left, parts)
        laps.end("score and decide")
        own = aim.steer_D is None and aim.narrowed is None and user.profile.personal
        freshness = _freshness(release if scored.by_model else None, user, parts)
        placed, trace, untold = await _tell(laps, scored, placed, release, user, aim, query, stored, left, parts)
    stale = _too_stale(query, freshness, parts)
    degraded = (*behind, *stale, *user.degraded, *aim.degraded, *scored.degraded, *untold)
    slate = Slate(
        recommendation_id=recommendation_id,
        placed=placed,
        freshness=freshness,
        answered_micros=parts.clock(),
        degraded=degraded,
        missing_item_ids=aim.missing,
        next_page_token=_next_page(query, recommendation_id, len(placed)),
        ruled=config.policy.has_a_say or bool(parts.rules.in_force.rules.rules) or not own,
        trace=trace and replace(trace, stages=tuple(laps.stages)),
    )
    parts.counters.note(degraded)
    watched.answered(slate.recommendation_id, scored.by_model)
    parts.slates.record(query, slate)
    parts.shadow.offer(release, user, query, slate)
    return slate


async def check(query: Query, deadline: Deadline, parts: Parts) -> None:
    """Raises what `recommend` would refuse the request with, and computes nothing."""
    await _begin(query, deadline, parts)
    with parts.releases.hold(query.who) as release:
        _too_stale(query, Freshness(release_micros=release.record.create_micros if release else None), parts)


async def _begin(query: Query, deadline: Deadline, parts: Parts) -> tuple[Query, tuple[str, ...]]:
    """Catches up with the store and looks up what the request names there: attributes, and the pages before this one.
    Answers the request as it is to be read, and what is missing."""
    behind = await _catch_up(query, deadline, parts)
    parts.filters.check(query)
    if query.page is None:
        return query, behind
    shown = await parts.slates.earlier(query.page, query.user_id)
    return replace(query, exclude_item_ids=(*query.exclude_item_ids, *shown), offset=len(shown)), behind


async def _choose_and_read(
    release: Release | None,
    user: User,
    aim: Aim,
    query: Query,
    dice: np.random.Generator | None,
    left: Callable[[], float],
    parts: Parts,
) -> tuple[Scored, tuple[Placed, ...], Stored | None]:
    """What is scored and decided, and for a trace the user's events, read beside the work of the model."""
    if not query.trace:
        return *(await choose(release, user, aim, query, dice, left, parts)), None
    reading = stored_events(query, left(), parts)
    (scored, placed), stored = await asyncio.gather(choose(release, user, aim, query, dice, left, parts), reading)
    return scored, placed, stored


async def _tell(
    laps: Laps,
    scored: Scored,
    placed: tuple[Placed, ...],
    release: Release | None,
    user: User,
    aim: Aim,
    query: Query,
    stored: Stored | None,
    left: Callable[[], float],
    parts: Parts,
) -> tuple[tuple[Placed, ...], Trace | None, tuple[str, ...]]:
    """The places with their chances, and all else that is to be told: for the chances of a steered slate the model is asked
    beside that."""
    by_model = release if scored.by_model else None
    item_ids = [one.item_id for one in placed if one.probability is not None]
    if release is None or aim.steer_D is None or not item_ids:
        return await _reasons_and_trace(laps, scored, placed, by_model, user, aim, query, stored, left, parts)
    asked = parts.scorer.unsteered(release, user, item_ids, parts.clock(), left())
    telling = _reasons_and_trace(laps, scored, placed, by_model, user, aim, query, stored, left, parts)
    (placed, trace, untold), logits = await asyncio.gather(telling, asked)
    laps.end("chances")
    return with_chances(placed, release, logits), trace, untold


async def _reasons_and_trace(
    laps: Laps,
    scored: Scored,
    placed: tuple[Placed, ...],
    release: Release | None,
    user: User,
    aim: Aim,
    query: Query,
    stored: Stored | None,
    left: Callable[[], float],
    parts: Parts,
) -> tuple[tuple[Placed, ...], Trace | None, tuple[str, ...]]:
    """The places with their reasons and items, the trace, and what is missing of these; only what is wanted is made."""
    trace, untold = None, tuple[str, ...]()
    if query.explain:
        placed, untold = await explain(placed, release, user, aim, query, left, parts)
        laps.end("explain")
    if stored is not None:
        trace = await trace_of(scored, placed, release, user, query, aim, stored, parts)
        untold += stored.missing
        laps.end("trace")
    if query.with_items:
        placed, unread = await _with_items(placed, left(), parts)
        untold += unread
    return placed, trace, untold


def _next_page(query: Query, recommendation_id: str, placed: int) -> str:
    """The token of the page after this one; empty where there cannot be one."""
    number = query.page.number + 1 if query.page else 1
    if placed < query.page_size or number >= MAX_PAGES:
        return ""
    return encode_page(Page(number, query.request_digest, recommendation_id))


async def _catch_up(query: Query, deadline: Deadline, parts: Parts) -> tuple[str, ...]:
    """Waits for what other gateways wrote; says what is missing where that takes too long."""
    within = min(_left(deadline, parts), parts.config.catch_up_seconds)
    behind = await parts.follower.catch_up(query.must_reflect, within)
    if not behind:
        return ()
    if query.strict and query.must_reflect > parts.follower.applied:
        raise StaleRefused(f"the answer would not reflect the consistency token: {behind}; retry")
    return (f"behind: {behind}",)


def _left(deadline: Deadline, parts: Parts) -> float:
    """How long a stage may take; a passed deadline stops the work."""
    remaining = deadline.remaining_seconds()
    if remaining <= 0.0:
        raise TooLate("the deadline passed before there was an answer; ask with a longer one")
    reserve = max(parts.config.reserve_seconds, _RESERVE_SHARE * remaining)
    return max(remaining - reserve, remaining / 2)


def _freshness(release: Release | None, user: User, parts: Parts) -> Freshness:
    catalog_micros = parts.follower.catalog.newest_micros
    if release is None:
        return Freshness(behaviour_micros=user.behaviour_micros, catalog_micros=catalog_micros)
    waiting_since = release.oldest_pending_micros()
    if waiting_since is not None and catalog_micros is not None:
        # An item that no model can retrieve yet is not reflected.
        catalog_micros = min(catalog_micros, waiting_since - 1)
    return Freshness(
        release=release.number,
        release_micros=release.record.create_micros,
        trained_through_micros=release.manifest.trained_through_micros or None,
        learned_through_micros=parts.learned.of(release).through_micros or None,
        behaviour_micros=user.behaviour_micros,
        catalog_micros=catalog_micros,
        events_used=user.events_used,
    )


def _too_stale(query: Query, freshness: Freshness, parts: Parts) -> tuple[str, ...]:
    """Whether model or catalogue are older than the request allows. A catalogue that has not changed is not old: its age
    is the time since this gateway knew that it had everything."""
    limit = query.max_staleness_micros
    if limit is None:
        return ()
    now = parts.clock()
    stale = []
    if freshness.release_micros is None:
        stale.append("stale: no model took part")
    elif now - freshness.release_micros > limit:
        stale.append(f"stale: the release is {(now - freshness.release_micros) / 1e6:.0f} s old")
    if now - parts.follower.synced_micros > max(limit, _SYNC_MICROS):
        stale.append(
            f"stale: the catalogue was last known whole {(now - parts.follower.synced_micros) / 1e6:.1f} s ago"
        )
    if stale and query.strict:
        raise StaleRefused(f"{'; '.join(stale)}, and the request allows {limit / 1e6:g} s; allow more, or retry later")
    return tuple(stale)


async def _with_items(
    placed: tuple[Placed, ...], within_seconds: float, parts: Parts
) -> tuple[tuple[Placed, ...], tuple[str, ...]]:
    item_ids = [place.item_id for place in placed]
    in_thread = asyncio.get_running_loop().run_in_executor
    try:
        async with asyncio.timeout(within_seconds):
            items = await in_thread(parts.threads, parts.store.get_items, item_ids)
    except TimeoutError:
        return placed, ("items: not read in time",)
    except StoreError as error:
        return placed, (f"items: the store does not answer ({error})",)
    # What was deleted since it was placed is not shown.
    return tuple(p._replace(item=items[p.item_id].item()) for p in placed if p.item_id in items), ()

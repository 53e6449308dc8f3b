"""From what a request aims at to its slate: scored in a call or two, decided, promotions put in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from recency_server.candidates import Aim, all_narrowed
from recency_server.parts import Parts
from recency_server.policy import decide
from recency_server.promote import promote
from recency_server.query import Placed, Query
from recency_server.reading import User
from recency_server.release import Release
from recency_server.score import Scored

# Gives how long a stage may take now.
Left = Callable[[], float]


async def choose(
    release: Release | None,
    user: User,
    aim: Aim,
    query: Query,
    dice: np.random.Generator | None,
    left: Left,
    parts: Parts,
) -> tuple[Scored, tuple[Placed, ...]]:
    """Scores and decides. Where a filter lets much through and retrieval found too little of it to fill the slate, all
    that it lets through is ranked: a filter never empties a slate that could be filled."""
    now, catalog, policy = parts.clock(), parts.follower.catalog, parts.config.policy
    scored = await parts.scorer.score(release, user, aim, query, now, left())
    placed = decide(scored, user, query, release, catalog, now, aim.narrowed, policy, dice)
    short = len(placed) < query.page_size and aim.narrowed is not None and aim.named is None
    if release is not None and scored.by_model and short:
        scored = await parts.scorer.score(release, user, all_narrowed(aim, release), query, now, left())
        placed = decide(scored, user, query, release, catalog, now, aim.narrowed, policy, dice)
    if not scored.by_model and (query.diversity > 0.0 or query.exploration > 0.0):
        cause = "diversity and exploration: not without a model; the order is what is trending"
        scored = replace(scored, degraded=(*scored.degraded, cause))
    if query.promotions:
        placed = await _with_promotions(placed, release, user, aim, query, now, left, parts)
    return scored, placed


async def _with_promotions(
    placed: tuple[Placed, ...],
    release: Release | None,
    user: User,
    aim: Aim,
    query: Query,
    now_micros: int,
    left: Left,
    parts: Parts,
) -> tuple[Placed, ...]:
    """Ranks what each promotion lets through, within the request's own filter, and gives the best their places."""

    async def best_of(number: int) -> tuple[Placed, ...]:
        promotion = query.promotions[number]
        narrowed = parts.filters.narrow(promotion.filter, f"promotions[{number}].filter")
        both = narrowed if aim.narrowed is None else aim.narrowed.also(narrowed)
        own = replace(query, page_size=query.page_size, diversity=0.0, exploration=0.0)
        its = replace(aim, narrowed=both)
        if release is not None and both is not None:
            its = all_narrowed(its, release)
        scored = await parts.scorer.score(release, user, its, own, now_micros, left())
        return decide(scored, user, own, release, parts.follower.catalog, now_micros, both)

    found = await asyncio.gather(*(best_of(number) for number in range(len(query.promotions))))
    return promote(placed, list(zip(query.promotions, found, strict=True)), query.page_size)

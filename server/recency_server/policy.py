"""What of the scored items is shown, and in which order. Pure, but for the dice of exploration, which are handed in."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np

from recency_features.exploration import explore, pool_size, uncertainty
from recency_server.catalog import Catalog
from recency_server.diversity import determinantal, maximal_marginal_relevance
from recency_server.filters import Narrowed
from recency_server.query import Placed, Query
from recency_server.reading import User
from recency_server.release import Release
from recency_server.score import Scored


@dataclass(frozen=True, slots=True)
class PolicyConfig:
    """diversity_method   how a slate is made to differ: `mmr` (maximal marginal relevance) or `dpp` (determinantal)"""

    diversity_method: Literal["mmr", "dpp"] = "mmr"


def decide(
    scored: Scored,
    user: User,
    query: Query,
    release: Release | None,
    catalog: Catalog,
    now_micros: int,
    narrowed: Narrowed | None = None,
    config: PolicyConfig | None = None,
    dice: np.random.Generator | None = None,
) -> tuple[Placed, ...]:
    """The `page_size` items that are shown: the first ones that may be, or those that diversity and exploration choose.

    Seen, excluded and hidden items were masked inside the graph already; here they are looked at once more, because what
    was hidden while the model worked must not be shown either.
    """
    may = _may_be_shown(scored, user, query, catalog, now_micros, narrowed)
    if not scored.by_model or release is None:
        shown = list(islice(may, query.page_size))
        return tuple([Placed(item_id, score, None, scored.source) for item_id, score in shown])
    chances: list[float] | None = None
    if query.diversity > 0.0 or query.exploration > 0.0:
        shown, chances = _choose(
            list(islice(may, pool_size(query.page_size))), query, release, config or PolicyConfig(), dice
        )
    else:
        shown = list(islice(may, query.page_size))
    chance_of = _probability(scored, release)
    if chances is None:
        return tuple([Placed(i, score, chance_of(i, score), scored.source) for i, score in shown])
    return tuple(
        [
            Placed(i, score, chance_of(i, score), scored.source, chance)
            for (i, score), chance in zip(shown, chances, strict=True)
        ]
    )


def _may_be_shown(
    scored: Scored, user: User, query: Query, catalog: Catalog, now_micros: int, narrowed: Narrowed | None
) -> Iterator[tuple[str, float]]:
    """The ranked items without those that must not be shown, made only as far as somebody reads."""
    excluded = frozenset((*query.exclude_item_ids, *query.seed_item_ids, *query.negative_item_ids))
    seen = user.seen if user.leave_out_seen else ()
    for item_id, score in scored.ranked:
        if item_id in seen or item_id in user.rejected or item_id in excluded or not catalog.shows(item_id, now_micros):
            continue
        if narrowed is None or narrowed.fits(item_id):
            yield item_id, score


def _choose(
    pool: list[tuple[str, float]],
    query: Query,
    release: Release,
    config: PolicyConfig,
    dice: np.random.Generator | None,
) -> tuple[list[tuple[str, float]], list[float] | None]:
    """The slate out of a pool, and the chance of each item at its place where dice were thrown. Diversity orders the pool;
    exploration then draws from that order, so that its chances are exact with both."""
    indices = [release.index_of[item_id] for item_id, _ in pool]
    if query.diversity > 0.0:
        scores_K = np.array([score for _, score in pool], dtype=np.float32)
        rerank = determinantal if config.diversity_method == "dpp" else maximal_marginal_relevance
        order = rerank(scores_K, release.vectors_of(indices), query.diversity, len(pool) if dice else query.page_size)
        pool, indices = [pool[k] for k in order], [indices[k] for k in order]
    if query.exploration <= 0.0 or dice is None:
        return pool[: query.page_size], None
    unsure_K = uncertainty(release.trend_counts(indices))
    order, chances = explore(unsure_K, query.exploration, query.page_size, dice)
    return [pool[k] for k in order], chances


def _probability(scored: Scored, release: Release) -> Callable[[str, float], float | None]:
    """The calibrated chance of an item. A steer moves the order, not the chance: that was fitted without one."""
    scale, shift, unsteered = release.manifest.calibration.scale, release.manifest.calibration.shift, scored.unsteered
    if unsteered is None:
        return lambda item_id, score: _sigmoid(scale * score + shift)

    def of(item_id: str, score: float) -> float | None:
        logit = unsteered.get(item_id)
        return None if logit is None else _sigmoid(scale * logit + shift)

    return of


def _sigmoid(x: float) -> float:
    # Past 700 the exponential of a float overflows, and the answer has long been 0.
    return 1.0 / (1.0 + math.exp(-x)) if x > -700.0 else 0.0

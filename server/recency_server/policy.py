"""What of the scored items is shown, and in which order. Pure, but for the dice and the room, which are handed in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice, zip_longest

import numpy as np

from recency_features.exploration import explore, pool_size, uncertainty
from recency_server.caps import Room
from recency_server.chances import probability
from recency_server.diversity import determinantal, maximal_marginal_relevance
from recency_server.policy_config import PolicyConfig
from recency_server.query import Placed, Query
from recency_server.release import Release
from recency_server.score import Scored
from recency_server.showable import Showable

# With caps so many times as many candidates are looked at, for the best ones may be of one kind.
_CAPPED = 4


@dataclass(frozen=True, slots=True)
class Terms:
    """What else bounds a slate.

    places  how many are to be given; None for all that the request asks for
    room    what caps leave; None without caps
    dice    for exploration
    """

    config: PolicyConfig = field(default_factory=PolicyConfig)
    places: int | None = None
    room: Room | None = None
    dice: np.random.Generator | None = None


def decide(
    scored: Scored, query: Query, release: Release | None, showable: Showable, terms: Terms | None = None
) -> tuple[Placed, ...]:
    """The items that are shown: the first ones that may be, or those that diversity and exploration choose. Their chances
    are those of their scores: where these were steered, they are not the chances yet."""
    terms = terms or Terms()
    places = query.page_size if terms.places is None else terms.places
    may = may_be_shown(scored, showable)
    chances: list[float] | None = None
    if scored.by_model and release is not None and (query.diversity > 0.0 or query.exploration > 0.0):
        shown, chances = _choose(_pool(may, places, terms.room), query, release, places, terms)
        if terms.room is not None and len(shown) < places:
            shown += islice(terms.room.within(may), places - len(shown))
    else:
        shown = list(islice(may if terms.room is None else terms.room.within(may), places))
    if not scored.by_model or release is None:
        return tuple([Placed(item_id, score, None, scored.source_of(item_id)) for item_id, score in shown])
    return tuple(
        [
            Placed(i, score, probability(release, i, score), scored.source_of(i), chance)
            for (i, score), chance in zip_longest(shown, chances or ())
        ]
    )


def may_be_shown(scored: Scored, showable: Showable) -> Iterator[tuple[str, float]]:
    """The ranked items without those that must not be shown, made only as far as somebody reads."""
    return ((item_id, score) for item_id, score in scored.ranked if not showable.cause(item_id))


def _pool(may: Iterator[tuple[str, float]], places: int, room: Room | None) -> list[tuple[str, float]]:
    """The candidates of a choice. With caps more of them, for the best ones may be of one kind."""
    size = pool_size(places)
    if room is None:
        return list(islice(may, size))
    return [(item_id, score) for item_id, score in islice(may, _CAPPED * size) if room.has(item_id)]


def _choose(
    pool: list[tuple[str, float]], query: Query, release: Release, places: int, terms: Terms
) -> tuple[list[tuple[str, float]], list[float] | None]:
    """The slate out of a pool, and the chance of each item at its place where dice were thrown. Diversity orders the pool;
    exploration then draws from that order, so that its chances are exact with both. Caps hold in whichever chooses last."""
    indices = [release.index_of[item_id] for item_id, _ in pool]
    room, dice = terms.room, terms.dice if query.exploration > 0.0 else None
    if query.diversity > 0.0:
        scores_K = np.array([score for _, score in pool], dtype=np.float32)
        rerank = determinantal if terms.config.diversity_method == "dpp" else maximal_marginal_relevance
        closes = room.closes([i for i, _ in pool]) if room is not None and dice is None else None
        count = len(pool) if dice else places
        order = rerank(scores_K, release.vectors_of(indices), query.diversity, count, closes)
        pool, indices = [pool[k] for k in order], [indices[k] for k in order]
    if dice is None:
        return pool[:places], None
    closes = room.closes([i for i, _ in pool]) if room is not None else None
    unsure_K = uncertainty(release.trends.counts(indices))
    order, chances = explore(unsure_K, query.exploration, places, dice, closes)
    return [pool[k] for k in order], chances

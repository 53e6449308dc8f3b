"""What a request aims at: a steer vector from its words, or the items that the caller named."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from recency_server.encode import Encoder
from recency_server.errors import Overloaded, TooLate, Unavailable
from recency_server.filters import Narrowed
from recency_server.follow import Follower
from recency_server.query import Query
from recency_server.reading import User
from recency_server.release import Release
from recency_server.steering import SteerConfig, steer_by_items, steer_by_text, steer_from_dislikes

# A filter that lets at most this share of the catalogue through is answered by ranking all that it lets through.
_FEW = 0.2


@dataclass(frozen=True, slots=True)
class Aim:
    """steer_D     added to the user vector, None for nothing
    own_D       the part of it that the request did not ask for: the user's profile and dislikes
    named       indices in the release of the items to rank: the caller's own candidates, or what a filter that lets few
                through leaves; None to retrieve
    named_ids   their ids, in the same order; with no release all that the catalogue knows
    missing     named ids that the catalogue does not know
    narrowed    what the filter lets through, None without one
    """

    steer_D: npt.NDArray[np.float32] | None = None
    named: npt.NDArray[np.int32] | None = None
    named_ids: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    narrowed: Narrowed | None = None
    degraded: tuple[str, ...] = ()
    own_D: npt.NDArray[np.float32] | None = None


async def aim_at(
    release: Release | None,
    user: User,
    query: Query,
    narrowed: Narrowed | None,
    timeout_seconds: float,
    encoder: Encoder,
    follower: Follower,
    config: SteerConfig,
) -> Aim:
    """Where the request points, and where the user's dislikes point away from. Words that cannot be read now are left
    out, and the answer says so."""
    named, named_ids, missing, degraded = _named(release, query, narrowed, follower)
    steer_D = None
    if query.text and query.text_weight > 0.0:
        if release is None:
            degraded.append("query: no release is live, so the words are not read")
        else:
            try:
                vector = await encoder.encode_query(release, query.text, timeout_seconds)
                steer_D = steer_by_text(release, vector, query.text_weight)
            except (Unavailable, Overloaded, TooLate) as error:
                degraded.append(f"query: the words are not read ({error})")
    if query.seed_item_ids or query.negative_item_ids:
        examples = (*query.seed_item_ids, *query.negative_item_ids)
        missing += tuple(item_id for item_id in examples if item_id not in follower.catalog.entries)
        if release is None:
            degraded.append("seeds: no release is live, so they are not read")
        else:
            more = [release.index_of[i] for i in query.seed_item_ids if i in release.index_of]
            less = [release.index_of[i] for i in query.negative_item_ids if i in release.index_of]
            by_items_D = steer_by_items(release, more, less)
            steer_D = by_items_D if steer_D is None else steer_D + by_items_D
    away_D = None
    if release is not None and user.rows is not None and len(user.rows.disliked) and config.dislike_weight:
        away_D = steer_from_dislikes(release, user.rows.disliked.tolist(), user.rows.length, config)
        steer_D = away_D if steer_D is None else steer_D + away_D
    return Aim(steer_D, named, named_ids, missing, narrowed, tuple(degraded), own_D=away_D)


def all_narrowed(aim: Aim, release: Release) -> Aim:
    """The same aim with everything that its filter lets through named: where retrieval did not find enough of it."""
    assert aim.narrowed is not None
    named_ids = [item_id for item_id in aim.narrowed.item_ids() if item_id in release.index_of]
    return replace(aim, named=_indices(release, named_ids), named_ids=tuple(named_ids))


def naming(aim: Aim, item_ids: Sequence[str], release: Release | None) -> Aim:
    """The same aim with these items named, as far as the release knows them."""
    if release is None:
        return replace(aim, named_ids=tuple(item_ids))
    known = tuple(item_id for item_id in item_ids if item_id in release.index_of)
    return replace(aim, named=_indices(release, known), named_ids=known)


def _named(
    release: Release | None, query: Query, narrowed: Narrowed | None, follower: Follower
) -> tuple[npt.NDArray[np.int32] | None, tuple[str, ...], tuple[str, ...], list[str]]:
    if query.candidate_item_ids is None:
        if narrowed is None or release is None or narrowed.share > _FEW:
            return None, (), (), []
        few = [item_id for item_id in narrowed.item_ids() if item_id in release.index_of]
        return _indices(release, few), tuple(few), (), []
    wanted = tuple(dict.fromkeys(query.candidate_item_ids))
    entries = follower.catalog.entries
    missing = tuple(item_id for item_id in wanted if item_id not in entries)
    known = [i for i in wanted if i in entries and (narrowed is None or narrowed.fits(i))]
    if release is None:
        return None, tuple(known), missing, []
    placed = [item_id for item_id in known if item_id in release.index_of]
    degraded = []
    if len(placed) < len(known):
        degraded.append(f"candidates: {len(known) - len(placed)} are not embedded yet and were not scored")
    return _indices(release, placed), tuple(placed), missing, degraded


def _indices(release: Release, item_ids: Iterable[str]) -> npt.NDArray[np.int32]:
    return np.array([release.index_of[item_id] for item_id in item_ids], dtype=np.int32)

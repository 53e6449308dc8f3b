"""What a request aims at: a steer vector from its words, or the items that the caller named."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recency_server.encode import Encoder
from recency_server.errors import Overloaded, TooLate, Unavailable
from recency_server.follow import Follower
from recency_server.query import Query
from recency_server.release import Release

# Words alone: the query outweighs the history by this much, and float32 still tells the items apart.
_MOST_WEIGHT = 1_000.0


@dataclass(frozen=True, slots=True)
class Aim:
    """steer_D     added to the user vector, None for nothing
    named       indices of the caller's own candidates in the release, None to retrieve
    named_ids   their ids, in the same order; with no release all that the catalogue knows
    missing     named ids that the catalogue does not know
    """

    steer_D: npt.NDArray[np.float32] | None = None
    named: npt.NDArray[np.int32] | None = None
    named_ids: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    degraded: tuple[str, ...] = ()


async def aim_at(
    release: Release | None, query: Query, timeout_seconds: float, encoder: Encoder, follower: Follower
) -> Aim:
    """Where the request points. Words that cannot be read now are left out, and the answer says so."""
    named, named_ids, missing, degraded = _named(release, query, follower)
    steer_D = None
    if query.text and query.text_weight > 0.0:
        if release is None:
            degraded.append("query: no release is live, so the words are not read")
        else:
            try:
                vector = await encoder.encode_query(release, query.text, timeout_seconds)
                steer_D = steer(release, vector, query.text_weight)
            except (Unavailable, Overloaded, TooLate) as error:
                degraded.append(f"query: the words are not read ({error})")
    return Aim(steer_D, named, named_ids, missing, tuple(degraded))


def steer(release: Release, text_vector: npt.NDArray[np.float32], weight: float) -> npt.NDArray[np.float32]:
    """The steer vector [D] of a text vector: in the content dimensions alone, where items lie by what they say."""
    content = text_vector @ release.projection
    if release.manifest.learned_dim < release.manifest.dim:
        content[: release.manifest.learned_dim] = 0.0
    ratio = min(weight / (1.0 - weight), _MOST_WEIGHT) if weight < 1.0 else _MOST_WEIGHT
    steer_D: npt.NDArray[np.float32] = (content * (release.manifest.query_scale * ratio)).astype(np.float32)
    return steer_D


def _named(
    release: Release | None, query: Query, follower: Follower
) -> tuple[npt.NDArray[np.int32] | None, tuple[str, ...], tuple[str, ...], list[str]]:
    if query.candidate_item_ids is None:
        return None, (), (), []
    wanted = tuple(dict.fromkeys(query.candidate_item_ids))
    entries = follower.catalog.entries
    missing = tuple(item_id for item_id in wanted if item_id not in entries)
    known = [item_id for item_id in wanted if item_id in entries]
    if release is None:
        return None, tuple(known), missing, []
    placed = [item_id for item_id in known if item_id in release.index_of]
    degraded = []
    if len(placed) < len(known):
        degraded.append(f"candidates: {len(known) - len(placed)} are not embedded yet and were not scored")
    named = np.array([release.index_of[item_id] for item_id in placed], dtype=np.int32)
    return named, tuple(placed), missing, degraded

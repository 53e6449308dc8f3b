"""Steer vectors: what a request adds to the user vector, in item space. Pure.

A steer is as strong as the user's own history when its scores spread over the items as far as the user's do. For words
the release says how much that takes (`query_scale`, for content dimensions); for items' own vectors it is measured on a
sample of the matrix. Legend: D item vector width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recency_server.release import Release


@dataclass(frozen=True, slots=True)
class SteerConfig:
    """dislike_weight   how strongly a user's newest HIDEs and DISLIKEs push what is like them down, against their history;
    0 for not at all
    """

    dislike_weight: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 <= self.dislike_weight <= 1.0:
            raise ValueError(f"dislike_weight is {self.dislike_weight}; it must be 0..1")


F32 = npt.NDArray[np.float32]
# Words alone: the query outweighs the history by this much, and float32 still tells the items apart.
_MOST_WEIGHT = 1_000.0
# Measured (docs/asking.md): so much moves a plain slate as a whole weight moves one that follows a history.
_WITHOUT_HISTORY = 0.05
_TINY = 1e-6


def steer_by_text(release: Release, text_vector: F32, weight: float) -> F32:
    """The steer [D] of a raw text vector: in the content dimensions alone, where items lie by what they say."""
    content = text_vector @ release.projection
    if release.manifest.learned_dim < release.manifest.dim:
        content[: release.manifest.learned_dim] = 0.0
    ratio = min(weight / (1.0 - weight), _MOST_WEIGHT) if weight < 1.0 else _MOST_WEIGHT
    steer_D: F32 = (content * (release.manifest.query_scale * ratio)).astype(np.float32)
    return steer_D


def steer_by_items(release: Release, more: Sequence[int], less: Sequence[int]) -> F32:
    """The steer [D] towards some items and away from others, given by their indices: by what they say and by who chose
    them, half and half, together as strong as a history."""
    steer_D = np.zeros(release.manifest.dim, dtype=np.float32)
    for indices, sign in ((more, 1.0), (less, -1.0)):
        if len(indices):
            steer_D += np.float32(sign) * _towards(release, release.vectors_of(indices).mean(0))
    return steer_D


def steer_from_dislikes(release: Release, disliked: Sequence[int], history: int, config: SteerConfig) -> F32:
    """The steer [D] away from what a user disliked. Who has no history is shown what most people like, whose scores lie
    close together: there a whisper does what elsewhere takes a word."""
    strength = config.dislike_weight * (1.0 if history else _WITHOUT_HISTORY)
    steer_D: F32 = np.float32(strength) * steer_by_items(release, (), disliked)
    return steer_D


def _towards(release: Release, vector_D: F32) -> F32:
    learned = release.manifest.learned_dim
    content_D, learned_D = vector_D.copy(), vector_D.copy()
    content_D[:learned], learned_D[learned:] = 0.0, 0.0
    content_D *= release.manifest.query_scale
    # As far as the words spread is as far as the history does.
    spread, own = release.spread(content_D), release.spread(learned_D)
    if spread < _TINY:
        return learned_D
    both_D: F32 = 0.5 * content_D + learned_D * np.float32(0.5 * spread / max(own, _TINY))
    return both_D

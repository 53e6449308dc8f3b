"""What trends in the segments of a user: the categories and providers of what they took up lately, or the whole catalogue
for somebody of whom nothing is known. A source of candidates of its own, beside what is retrieved for the user's vector.

`Trending` keeps what it found for a second. Legend of shapes: S items of a segment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from recency_features.events import rule
from recency_features.history import Interaction
from recency_server.attributes import Attributes
from recency_server.release import Release

# (attribute, text): all items that have it. Everybody's is the whole catalogue.
Segment = tuple[str, str]
EVERYBODY: Segment = ("", "")
_KINDS = ("categories", "provider")
# What a user took up last decides their segments, and the most frequent of these count.
_LATELY = 20
_SEGMENTS = 3
# So many of a segment are kept, best first: some of them the user has seen, or may not see.
_KEPT = 200
_MICROS = 1_000_000


@dataclass(slots=True)
class _Found:
    """The items of segments that trend most, as they were at a time."""

    at_micros: int
    best: dict[Segment, tuple[str, ...]] = field(default_factory=dict)


class Trending:
    """What trends by segment, by the decayed counts in the overlay of a release."""

    def __init__(self, attributes: Attributes) -> None:
        self._attributes = attributes
        # Not held by it: a release is let go of when it has drained.
        self._found: WeakKeyDictionary[Release, _Found] = WeakKeyDictionary()

    def of(
        self,
        release: Release,
        interactions: Sequence[Interaction],
        count: int,
        now_micros: int,
        may_be_shown: Callable[[str], bool],
    ) -> tuple[str, ...]:
        """At most `count` items that trend in the segments of a user who did these things, each segment's best in turn."""
        found = self._found.get(release)
        if found is None or abs(now_micros - found.at_micros) >= _MICROS:
            found = self._found[release] = _Found(now_micros)
        segments = segments_of(interactions, self._attributes) or (EVERYBODY,)
        turns = zip_longest(*(self._best(found, release, segment) for segment in segments))
        unique = dict.fromkeys(item_id for turn in turns for item_id in turn if item_id is not None)
        return tuple(islice((item_id for item_id in unique if may_be_shown(item_id)), count))

    def _best(self, found: _Found, release: Release, segment: Segment) -> tuple[str, ...]:
        if segment not in found.best:
            index_S = self._indices(release, segment)
            count_S = release.trends.strength(index_S)
            order = np.argsort(-count_S, kind="stable")[:_KEPT]
            taken_up = order[count_S[order] > 0.0]
            found.best[segment] = tuple(release.item_ids[index] for index in index_S[taken_up].tolist())
        return found.best[segment]

    def _indices(self, release: Release, segment: Segment) -> npt.NDArray[np.intp]:
        if segment == EVERYBODY:
            return np.arange(len(release.item_ids), dtype=np.intp)
        name, text = segment
        column, item_ids = self._attributes.columns[name], self._attributes.item_ids
        rows_of = column.rows_of_element if name == "categories" else column.rows_of_text
        known = (release.index_of.get(item_ids[row], -1) for row in sorted(rows_of.get(text, ())))
        return np.array([index for index in known if index >= 0], dtype=np.intp)


def segments_of(interactions: Sequence[Interaction], attributes: Attributes) -> tuple[Segment, ...]:
    """The segments of a user who did these things (oldest first): the most frequent ones lately, the most frequent first."""
    lately = islice((i for i in reversed(interactions) if rule(i.type).in_history), _LATELY)
    counts = Counter(
        (name, text) for one in lately for name in _KINDS for text in attributes.texts_of(one.item_id, name)
    )
    return tuple(segment for segment, _ in counts.most_common(_SEGMENTS))

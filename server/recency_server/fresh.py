"""New items, and the share of a slate that they get. `FreshItems` keeps what it found for a second; the rest is pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from recency_server.policy_config import PolicyConfig
from recency_server.query import Placed
from recency_server.release import Release

_DAY_MICROS = 86_400 * 1_000_000
# How often it is looked again which items are new.
_MICROS = 1_000_000
# The newest ones are ranked against each other; a flood of uploads must not cost every answer the whole of it.
_MOST = 500


@dataclass(frozen=True, slots=True)
class Fresh:
    """Which items of a release were new at a time; `newest` are those that came last, at most so many as are ranked."""

    # Not the release itself, which is let go of when it has drained.
    index_of: Mapping[str, int]
    at_micros: int
    fresh_N: npt.NDArray[np.bool_]
    newest: tuple[str, ...]

    def has(self, item_id: str) -> bool:
        """Whether an item is new."""
        index = self.index_of.get(item_id, len(self.fresh_N))
        return index < len(self.fresh_N) and bool(self.fresh_N[index])


class FreshItems:
    """Which items are new: not in the release yet, or young and taken up by few."""

    def __init__(self, config: PolicyConfig) -> None:
        self._config = config
        self._found: WeakKeyDictionary[Release, Fresh] = WeakKeyDictionary()

    def of(self, release: Release, now_micros: int) -> Fresh:
        """Those of a release, as they were a second ago or less."""
        found = self._found.get(release)
        current = found is not None and len(found.fresh_N) == len(release.item_ids)
        if found is None or not current or abs(now_micros - found.at_micros) >= _MICROS:
            found = self._found[release] = self._look(release, now_micros)
        return found

    def _look(self, release: Release, now_micros: int) -> Fresh:
        since_N = release.since_micros
        young_N = since_N > now_micros - self._config.fresh_days * _DAY_MICROS
        few_N = release.trends.counts(np.arange(len(since_N))) < self._config.fresh_below
        unknown_N = np.arange(len(since_N)) >= release.item_count
        fresh_N = (since_N > 0) & (unknown_N | (young_N & few_N))
        fresh = np.flatnonzero(fresh_N)
        newest = fresh[np.argsort(-since_N[fresh], kind="stable")[:_MOST]]
        return Fresh(release.index_of, now_micros, fresh_N, tuple(release.item_ids[index] for index in newest.tolist()))


def places_for(share: float, page_size: int, chance: float) -> int:
    """How many places a share is: a part of a place is one with that probability, so that small slates give it too."""
    whole = int(share * page_size + 1e-9)
    return whole + (chance < share * page_size - whole - 1e-9)


def without_last(placed: Iterable[Placed], count: int, keep: Callable[[str], bool]) -> tuple[Placed, ...]:
    """A slate without its last `count` items, but for those to keep."""
    kept = list(placed)
    for place in reversed(range(len(kept))):
        if count == 0:
            break
        if not keep(kept[place].item_id):
            del kept[place]
            count -= 1
    return tuple(kept)

"""Scores a share of the requests through the shadow release too, after their answers have been given, and compares.

Nothing of it reaches an answer: it has lanes of its own to Triton, few requests at once, and what finds no place, or comes
while requests wait for the active release, is dropped and counted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import structlog

from recency_server.candidates import Aim
from recency_server.catalog import Catalog
from recency_server.policy import decide
from recency_server.query import Clock, Query, Slate
from recency_server.reading import User
from recency_server.release import Release
from recency_server.releases import Releases, holding
from recency_server.score import Scorer
from recency_server.showable import Showable
from recency_server.users import make_rows

_log = structlog.get_logger("recency.server")
_COMPARED = 10


@dataclass(frozen=True, slots=True)
class ShadowConfig:
    """share            of requests that a shadow scores as well, 0..1
    at_once          requests that it scores at a time; more are dropped
    waiting          none is begun while so many requests wait for the active release
    timeout_seconds  how long its models may take
    """

    share: float = 0.1
    at_once: int = 4
    waiting: int = 4
    timeout_seconds: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.share <= 1.0:
            raise ValueError(f"share is {self.share}; it must be 0..1")


@dataclass(slots=True)
class ShadowTally:
    """What one shadow came to; overlap, correlation and seconds are sums over `scored`."""

    release: int
    scored: int = 0
    dropped: int = 0
    errors: int = 0
    overlap: float = 0.0
    correlation: float = 0.0
    seconds: float = 0.0


class Shadow:
    """The comparison of the shadow with what was answered."""

    def __init__(
        self,
        releases: Releases,
        scorer: Scorer,
        tasks: asyncio.TaskGroup,
        catalog: Catalog,
        clock: Clock,
        config: ShadowConfig,
    ) -> None:
        self._releases = releases
        self._scorer = scorer
        self._tasks = tasks
        self._catalog = catalog
        self._clock = clock
        self._config = config
        self._running = 0
        self._due = 0.0
        self.tally = ShadowTally(0)

    def offer(self, answered_by: Release | None, user: User, query: Query, slate: Slate) -> None:
        """A request that has its answer. Words, examples, filters, promotions, named candidates and users with dislikes
        (which steer) are left out: they say little of retrieval."""
        shadow = self._releases.shadow
        if shadow is None or answered_by is None or answered_by is not self._releases.live:
            return
        if query.text or query.filter or query.candidate_item_ids is not None or slate.degraded:
            return
        if query.seed_item_ids or query.negative_item_ids or query.promotions:
            return
        if user.rows is not None and len(user.rows.disliked):
            return
        if self.tally.release != shadow.number:
            self.tally, self._due = ShadowTally(shadow.number), 0.0
        # Evenly spread, and the same for the same traffic.
        self._due += self._config.share
        if self._due < 1.0:
            return
        self._due -= 1.0
        config = self._config
        if self._running >= config.at_once or self._scorer.lanes(answered_by).waiting >= config.waiting:
            self.tally.dropped += 1
            return
        self._running += 1
        shown = [placed.item_id for placed in slate.placed]
        self._tasks.create_task(self._score(shadow, user, query, shown, self.tally))

    async def _score(self, shadow: Release, user: User, query: Query, shown: Sequence[str], tally: ShadowTally) -> None:
        try:
            with holding(shadow):
                now, started = self._clock(), time.perf_counter()
                # Not the user's kept rows: those are for the release that answers.
                theirs = replace(user, rows=make_rows(user.behaviour, shadow))
                scored = await self._scorer.score(shadow, theirs, Aim(), query, now, self._config.timeout_seconds)
                if not scored.by_model:
                    tally.errors += 1
                    return
                showable = Showable(theirs, query, self._catalog, now)
                would_show = [p.item_id for p in decide(scored, query, shadow, showable)]
                tally.seconds += time.perf_counter() - started
            tally.scored += 1
            tally.overlap += overlap(shown, would_show)
            tally.correlation += rank_correlation(shown, would_show)
        except Exception as error:
            # A broken shadow must cost nobody anything, least of all the task group that everything runs in.
            if not tally.errors:
                _log.warning("the shadow could not score", release=shadow.number, exc_info=error)
            tally.errors += 1
        finally:
            self._running -= 1


def overlap(shown: Sequence[str], would_show: Sequence[str]) -> float:
    """The share of the first ten that both show; 1 where neither shows anything."""
    ours, theirs = set(shown[:_COMPARED]), set(would_show[:_COMPARED])
    longest = max(len(ours), len(theirs))
    return len(ours & theirs) / longest if longest else 1.0


def rank_correlation(shown: Sequence[str], would_show: Sequence[str]) -> float:
    """Spearman's correlation over the items that either shows; what one does not show stands behind all that it does.
    1 where there is nothing to order."""
    items = list(dict.fromkeys([*shown, *would_show]))
    if len(items) < 2:
        return 1.0
    ours, theirs = ({item_id: place for place, item_id in enumerate(ids)} for ids in (shown, would_show))
    a = np.array([ours.get(item_id, len(shown)) for item_id in items], dtype=np.float64)
    b = np.array([theirs.get(item_id, len(would_show)) for item_id in items], dtype=np.float64)
    if a.std() == 0.0 or b.std() == 0.0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])

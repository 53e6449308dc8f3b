"""The one batched call: what the models make of a user now, or else what is trending."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from recency.v1 import recommendation_pb2
from recency_features.spec import K_BUCKETS, RECOMMENDER, SCORER
from recency_inference.client import Inference
from recency_server.batching import BatchConfig, Lane
from recency_server.candidates import Aim
from recency_server.counters import Counters
from recency_server.errors import Overloaded, TooLate, Unavailable
from recency_server.fallback import TrendOrder
from recency_server.query import Query
from recency_server.reading import User
from recency_server.release import Release
from recency_server.stacking import Row
from recency_server.told import Fact

# Items that one row of a batch names to `scorer`; more make more rows.
_PART = 2_000
# The recommender's places: at least so many, and room for what policy drops.
_LEAST_K = 100
_K_PER_PLACE = 2
_NONE = np.empty(0, dtype=np.int32)


@dataclass(frozen=True, slots=True)
class Scored:
    """(item id, score), best first, where they came from, and whether a model made them.

    others  items that came from elsewhere than `source`, with where from
    facts   what items share with the examples, or with what the user chose last, where the deployment has relations
    """

    ranked: Iterable[tuple[str, float]]
    source: recommendation_pb2.Source
    by_model: bool
    degraded: tuple[str, ...] = ()
    others: Mapping[str, recommendation_pb2.Source] = field(default_factory=dict)
    facts: Mapping[str, Fact] = field(default_factory=dict)

    def source_of(self, item_id: str) -> recommendation_pb2.Source:
        """Where an item came from."""
        return self.others.get(item_id, self.source)

    def blended(self, more: Scored, source: recommendation_pb2.Source) -> Scored:
        """These items with those of another source that are not among them, best first: one model gives an item one score,
        whoever found it."""
        own = list(self.ranked)
        there = {item_id for item_id, _ in own}
        new = [(item_id, score) for item_id, score in more.ranked if item_id not in there]
        ranked = sorted([*own, *new], key=lambda pair: -pair[1])
        others = {**self.others, **{item_id: source for item_id, _ in new}}
        return replace(self, ranked=ranked, others=others)


class Lanes:
    """The two lanes to one release's models."""

    def __init__(self, inference: Inference, tasks: asyncio.TaskGroup, counters: Counters, config: BatchConfig) -> None:
        self.recommender = Lane(RECOMMENDER, inference, tasks, counters, config)
        self.scorer = Lane(SCORER, inference, tasks, counters, config)

    @property
    def waiting(self) -> int:
        """Requests that wait to be sent."""
        return self.recommender.waiting + self.scorer.waiting


class Scorer:
    """The lanes to Triton, and the order of trends for when they do not answer.

    Each release has lanes of its own, which go when it does: a batch is of one release, and a canary whose models are
    slow or silent must cost the others nothing.
    """

    def __init__(
        self,
        inference: Inference,
        tasks: asyncio.TaskGroup,
        counters: Counters,
        config: BatchConfig,
        trend_order: TrendOrder,
    ) -> None:
        self._make_lanes = partial(Lanes, inference, tasks, counters, config)
        self._lanes: WeakKeyDictionary[Release, Lanes] = WeakKeyDictionary()
        self._trend_order = trend_order

    def lanes(self, release: Release) -> Lanes:
        """The lanes of a release."""
        lanes = self._lanes.get(release)
        if lanes is None:
            lanes = self._lanes[release] = self._make_lanes()
        return lanes

    async def score(
        self, release: Release | None, user: User, aim: Aim, query: Query, now_micros: int, within_seconds: float
    ) -> Scored:
        """Scores by the models; where they cannot answer now or not in time, by trend, and says so."""
        scored = await self._score(release, user, aim, query, now_micros, within_seconds)
        # A trace counts all that was scored; else it is made only as far as somebody reads.
        return replace(scored, ranked=tuple(scored.ranked)) if query.trace else scored

    async def unsteered(
        self, release: Release, user: User, item_ids: Sequence[str], now_micros: int, within_seconds: float
    ) -> Mapping[str, float]:
        """Logits of items that the release has by what the user did alone, whatever the request steers by; empty where they
        cannot be had now."""
        if user.rows is None:
            return {}
        ids = np.array([release.index_of[item_id] for item_id in item_ids], dtype=np.int32)
        row = Row(release, user.rows, now_micros, ids, None, 0, with_counts=not user.leave_out_seen)
        try:
            logits = (await self.lanes(release).scorer.ask(row, within_seconds)).logits
        except (Unavailable, Overloaded, TooLate):
            return {}
        return dict(zip(item_ids, logits.tolist(), strict=False))

    async def _score(
        self, release: Release | None, user: User, aim: Aim, query: Query, now_micros: int, within_seconds: float
    ) -> Scored:
        if release is None or user.rows is None:
            return self._trending(query, aim, "model: no release is live")
        try:
            if aim.named is None:
                return await self._retrieve(release, user, aim, query, now_micros, within_seconds)
            return await self._rank(release, user, aim, query, now_micros, within_seconds)
        except (Unavailable, Overloaded, TooLate) as error:
            return self._trending(query, aim, f"model: {error}")

    async def _retrieve(
        self, release: Release, user: User, aim: Aim, query: Query, now_micros: int, within_seconds: float
    ) -> Scored:
        assert user.rows is not None
        exclude = [user.rows.own_ids] if user.leave_out_seen else []
        if len(user.rows.rejected):
            exclude.append(user.rows.rejected)
        if query.exclude_item_ids:
            index_of = release.index_of
            excluded = [index_of[item_id] for item_id in query.exclude_item_ids if item_id in index_of]
            exclude.append(np.array(excluded, dtype=np.int32))
        ids = exclude[0] if len(exclude) == 1 else np.concatenate([_NONE, *exclude])
        wanted = _K_PER_PLACE * query.page_size
        if aim.narrowed is not None:
            wanted = round(wanted / max(aim.narrowed.share, 0.01))
        k = min(len(release.item_ids), max(_LEAST_K, min(wanted, K_BUCKETS[-1])))
        row = Row(release, user.rows, now_micros, ids, aim.steer_D, k, with_counts=not user.leave_out_seen)
        answer = await self.lanes(release).recommender.ask(row, within_seconds)
        assert answer.indices is not None
        # Places that no item fills come last, with index -1 and logit -inf.
        ranked = _named(release.item_ids, answer.indices, answer.logits)
        return Scored(ranked, _source(query, user), True)

    async def _rank(
        self, release: Release, user: User, aim: Aim, query: Query, now_micros: int, within_seconds: float
    ) -> Scored:
        assert user.rows is not None
        assert aim.named is not None
        source = _source(query, user)
        named = aim.named
        if not len(named):
            waiting = query.candidate_item_ids is None and aim.narrowed is not None and aim.narrowed.mask_R.any()
            # What came while the language model is away: the models know none of it yet.
            cause = "filter: nothing that it lets through is embedded yet"
            return self._trending(query, aim, cause) if waiting else Scored((), source, True)
        parts = [named[at : at + _PART] for at in range(0, len(named), _PART)]
        counts = not user.leave_out_seen
        rows = [Row(release, user.rows, now_micros, part, aim.steer_D, 0, with_counts=counts) for part in parts]
        ask = self.lanes(release).scorer.ask
        answers = await asyncio.gather(*(ask(row, within_seconds) for row in rows))
        logits = np.concatenate([answer.logits[: len(part)] for answer, part in zip(answers, parts, strict=True)])
        order = np.argsort(-logits, kind="stable")
        ranked = _named(release.item_ids, named[order], logits[order])
        return Scored(ranked, source, True)

    def _trending(self, query: Query, aim: Aim, cause: str) -> Scored:
        only = None if query.candidate_item_ids is None else aim.named_ids
        return Scored(self._trend_order.ranked(only), recommendation_pb2.SOURCE_TREND, False, degraded=(cause,))


def _source(query: Query, user: User) -> recommendation_pb2.Source:
    """Where what is scored came from: what the request names first."""
    if query.candidate_item_ids is not None:
        return recommendation_pb2.SOURCE_CANDIDATE
    if query.text and query.text_weight > 0.0:
        return recommendation_pb2.SOURCE_QUERY
    if query.seed_item_ids or query.negative_item_ids:
        return recommendation_pb2.SOURCE_SEED
    # Who does not want their events used is shown what everybody is.
    return recommendation_pb2.SOURCE_USER if user.profile.personal else recommendation_pb2.SOURCE_TREND


def _named(
    item_ids: list[str], indices: npt.NDArray[np.int32], logits: npt.NDArray[np.float32]
) -> Iterable[tuple[str, float]]:
    """Pairs of id and logit, made only as far as somebody reads, up to the first place that holds no item."""
    for index, logit in zip(indices.tolist(), logits.tolist(), strict=True):
        if index < 0 or logit == -np.inf:
            return
        yield item_ids[index], logit

"""Users whose slate every release is known to give: asked all through a run, each answer is held to the release it names."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio

from recency.v1 import recommendation_pb2
from recency.v1.recommendation_pb2_grpc import RecommendationServiceStub
from recency_features.golden import TOLERANCE

_PAUSE_SECONDS = 0.05
_PAGE = 10
_TIMEOUT_SECONDS = 5.0
# Enough users without events that a canary of a tenth of them has some.
_PLAIN_USERS = 20
_QUERIES = ("a quiet film about the sea", "robots who fall in love", "a war and its end")

Names = Callable[[int], Mapping[str, str]]


@dataclass(slots=True)
class SwapProbe:
    """Asks, and counts what is wrong. `base` is the release whose slates the others' names are exchanged in: the first."""

    target: str
    names: Names
    base: int
    answers: int = 0
    failed: list[str] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)
    # The release of the newest answer, and of each user's.
    newest: int = 0
    serving: dict[str, int] = field(default_factory=dict)
    # By probe, the base's items with their scores, best first: more than a probe asks for later.
    _scores: dict[tuple[str, str], dict[str, float]] = field(default_factory=dict)

    async def run(self, stop: asyncio.Event) -> None:
        """Learns the base's slates, then asks and checks until told to stop."""
        async with grpc.aio.insecure_channel(self.target) as channel:
            stub: Any = RecommendationServiceStub(channel)  # type: ignore[no-untyped-call]
            for user, query in itertools.cycle(_requests()):
                if stop.is_set():
                    return
                await self._ask(stub, user, query)
                await asyncio.sleep(_PAUSE_SECONDS if self.ready else 0)

    @property
    def ready(self) -> bool:
        """Whether the base's slates are known."""
        return len(self._scores) == len(_requests())

    async def _ask(self, stub: Any, user: str, query: str) -> None:
        weight, size = (1.0 if query else 0.0), (_PAGE if self.ready else 3 * _PAGE)
        request = recommendation_pb2.RecommendRequest(user_id=user, query=query, query_weight=weight, page_size=size)
        try:
            answer = await stub.Recommend(request, timeout=_TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError as error:
            self.failed.append(f"{error.code().name}: {error.details()}")
            return
        self.answers += 1
        release = answer.freshness.release
        if answer.degraded:
            self.failed.append(f"degraded: {answer.degraded_reason}")
            return
        slate = [(found.item_id, found.score) for found in answer.recommendations]
        if not self.ready:
            if release == self.base:
                self._scores[user, query] = dict(slate)
        elif wrong := self._wrong(release, user, query, slate):
            self.mixed.append(f"release {release}, user {user!r}, query {query!r}: {wrong}")
        self.seen.add(release)
        self.newest = self.serving[user] = release

    def _wrong(self, release: int, user: str, query: str, slate: list[tuple[str, float]]) -> str:
        """What in a slate its release does not give. Each place must have the score that the base has there, and each item
        the score of the base's item whose name it has taken: two that are as good as equal may change places."""
        base = self._scores[user, query]
        original = {shown: item_id for item_id, shown in self.names(self.base).items()}
        names = self.names(release)
        scores = {names.get(original.get(shown, shown), shown): score for shown, score in base.items()}
        for (item_id, score), best in zip(slate, base.values(), strict=False):
            if not abs(score - best) <= TOLERANCE or not abs(score - scores.get(item_id, math.inf)) <= TOLERANCE:
                return f"item {item_id} has {score}, expected {scores.get(item_id)}, and {best} in its place"
        return "" if len(slate) == _PAGE else f"{len(slate)} items"


def _requests() -> list[tuple[str, str]]:
    plain = [(f"bench-probe-{number}", "") for number in range(_PLAIN_USERS)]
    return plain + [(f"bench-asks-{number}", query) for number, query in enumerate(_QUERIES)]

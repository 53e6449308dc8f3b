"""RecommendationService: slates and feedback."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from recency.v1 import event_pb2, recommendation_pb2
from recency_server.answer import answer
from recency_server.calls import Method, Terms
from recency_server.conversation import Newest
from recency_server.feedback import take_feedback
from recency_server.logs import RequestLog
from recency_server.parts import Parts
from recency_server.query import Deadline, Query
from recency_server.recommend import check, recommend
from recency_server.session import RecommendSession
from recency_server.validate_recommend import read_recommend


class RecommendationService:
    """Answers what to show, and takes what users did."""

    descriptor = recommendation_pb2.DESCRIPTOR.services_by_name["RecommendationService"]
    later: Mapping[str, str] = {}

    def __init__(self, parts: Parts, log: RequestLog, *, recommends: Terms, writes: Terms, streams: Terms) -> None:
        self._parts = parts
        self._log = log
        self._recommends = recommends
        self._writes = writes
        self._streams = streams

    def implemented(self) -> Mapping[str, tuple[Method | Newest, Terms]]:
        """The methods that this version has."""
        return {
            "Recommend": (self.recommend, self._recommends),
            "Feedback": (self.feedback, self._writes),
            "StreamRecommend": (Newest(self._session), self._streams),
            "StreamFeedback": (self.stream_feedback, self._streams),
        }

    async def recommend(
        self, request: recommendation_pb2.RecommendRequest, deadline: Deadline
    ) -> recommendation_pb2.RecommendResponse:
        """The slate for one user."""
        query = read_recommend(request, self._parts.clock(), self._parts.config.custom_types)
        if request.validate_only:
            await check(query, deadline, self._parts)
            return recommendation_pb2.RecommendResponse()
        return await self._answer("Recommend", query, deadline)

    def _session(self, remaining_seconds: Callable[[], float | None]) -> RecommendSession:
        """Begins an interactive session: each of its slates has the time that a Recommend has."""

        def within() -> Deadline:
            left = remaining_seconds()
            limit = self._recommends.default_seconds
            return Deadline.after(limit if left is None else min(left, limit))

        return RecommendSession(self._parts, partial(self._answer, "StreamRecommend"), within)

    async def _answer(self, method: str, query: Query, deadline: Deadline) -> recommendation_pb2.RecommendResponse:
        slate = await recommend(query, deadline, self._parts)
        if slate.degraded:
            causes = tuple(text.partition(":")[0] for text in slate.degraded)
            self._log.degraded(f"RecommendationService/{method}", causes, slate.recommendation_id)
        return answer(slate)

    async def feedback(self, request: event_pb2.FeedbackRequest, deadline: Deadline) -> event_pb2.FeedbackResponse:
        """Stores events."""
        done = await take_feedback(request.events, self._parts, deadline, bulk=False)
        return event_pb2.FeedbackResponse(
            consistency_token=done.consistency_token,
            accepted=done.accepted,
            duplicates=done.duplicates,
            rejected=done.rejected,
        )

    async def stream_feedback(
        self, chunk: event_pb2.StreamFeedbackRequest, deadline: Deadline
    ) -> event_pb2.StreamFeedbackResponse:
        """Stores one chunk of a bulk load."""
        done = await take_feedback(chunk.events, self._parts, deadline, bulk=True)
        return event_pb2.StreamFeedbackResponse(
            consistency_token=done.consistency_token,
            accepted=done.accepted,
            duplicates=done.duplicates,
            rejected=done.rejected,
        )

"""RecommendationService: slates and feedback."""

from __future__ import annotations

from collections.abc import Mapping

from recency.v1 import event_pb2, recommendation_pb2
from recency_server.answer import answer
from recency_server.calls import Method, Terms
from recency_server.feedback import take_feedback
from recency_server.logs import RequestLog
from recency_server.parts import Parts
from recency_server.query import Deadline
from recency_server.recommend import recommend
from recency_server.validate_recommend import read_recommend


class RecommendationService:
    """Answers what to show, and takes what users did."""

    descriptor = recommendation_pb2.DESCRIPTOR.services_by_name["RecommendationService"]
    later: Mapping[str, str] = {
        "StreamRecommend": "call Feedback, then Recommend with its consistency_token, for each refreshed slate",
    }

    def __init__(self, parts: Parts, log: RequestLog, *, recommends: Terms, writes: Terms, streams: Terms) -> None:
        self._parts = parts
        self._log = log
        self._recommends = recommends
        self._writes = writes
        self._streams = streams

    def implemented(self) -> Mapping[str, tuple[Method, Terms]]:
        """The methods that this version has."""
        return {
            "Recommend": (self.recommend, self._recommends),
            "Feedback": (self.feedback, self._writes),
            "StreamFeedback": (self.stream_feedback, self._streams),
        }

    async def recommend(
        self, request: recommendation_pb2.RecommendRequest, deadline: Deadline
    ) -> recommendation_pb2.RecommendResponse:
        """The slate for one user."""
        query = read_recommend(request, self._parts.clock())
        if request.validate_only:
            self._parts.filters.check(query)
            return recommendation_pb2.RecommendResponse()
        slate = await recommend(query, deadline, self._parts)
        if slate.degraded:
            causes = tuple(text.partition(":")[0] for text in slate.degraded)
            self._log.degraded("RecommendationService/Recommend", causes, slate.recommendation_id)
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

"""An interactive session: the request first, then behaviour and changes of mind, each of which makes a slate out of date."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from google.protobuf import message

from recency.v1 import recommendation_pb2
from recency_server.errors import InvalidRequest, Violation
from recency_server.feedback import take_all
from recency_server.parts import Parts
from recency_server.query import Deadline, Query
from recency_server.recommend import check
from recency_server.validate import Problem, refuse
from recency_server.validate_recommend import read_recommend

# Answers one request, as Recommend does.
Answer = Callable[[Query, Deadline], Awaitable[recommendation_pb2.RecommendResponse]]


class RecommendSession:
    """One stream of StreamRecommend. A message is taken whole or not at all: a wrong one changes nothing."""

    def __init__(self, parts: Parts, answer: Answer, answer_within: Callable[[], Deadline]) -> None:
        self._parts = parts
        self._answer = answer
        self._answer_within = answer_within
        self._query: Query | None = None
        # The newest event of this session.
        self._must_reflect = 0

    async def take(self, said: message.Message) -> None:
        """Reads the request where there is one, and stores the events as Feedback does."""
        assert isinstance(said, recommendation_pb2.StreamRecommendRequest)
        query = await self._read(said.request) if said.HasField("request") else self._query
        if query is None:
            refuse([Problem("request", "is not set; the first message of a session says what is asked for")])
            raise AssertionError("refused")
        if said.events:
            self._name_user(said, query.user_id)
            sequence = await take_all(said.events, self._parts, self._answer_within())
            self._must_reflect = max(self._must_reflect, sequence)
        self._query = query

    async def answer(self, taken: int) -> recommendation_pb2.StreamRecommendResponse:
        """The slate for what the session has come to."""
        assert self._query is not None
        query = replace(self._query, must_reflect=max(self._query.must_reflect, self._must_reflect))
        response = await self._answer(query, self._answer_within())
        return recommendation_pb2.StreamRecommendResponse(response=response, messages_reflected=taken)

    async def _read(self, request: recommendation_pb2.RecommendRequest) -> Query:
        if request.validate_only:
            refuse(
                [
                    Problem(
                        "request.validate_only", "is set; a session computes slates; check the request with Recommend"
                    )
                ]
            )
        try:
            query = read_recommend(request, self._parts.clock(), self._parts.config.custom_types)
            await check(query, self._answer_within(), self._parts)
        except InvalidRequest as error:
            named = [Violation(f"request.{wrong.field}", wrong.description) for wrong in error.violations]
            raise InvalidRequest(*named) from None
        return query

    def _name_user(self, said: recommendation_pb2.StreamRecommendRequest, user_id: str) -> None:
        """Whose events they are: the session's user's."""
        if not user_id:
            reason = "are of nobody: the session's request has no user_id; an anonymous one brings recent_events in it"
            refuse([Problem("events", reason)])
        problems = []
        for index, event in enumerate(said.events):
            if not event.user_id:
                event.user_id = user_id
            elif event.user_id != user_id:
                problems.append(Problem(f"events[{index}].user_id", "is not the session's user_id; leave it out"))
        refuse(problems)

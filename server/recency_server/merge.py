"""A visitor logs in: what they did as one becomes the user's."""

from __future__ import annotations

import asyncio

from recency.v1 import user_pb2
from recency_server.consistency import encode_token
from recency_server.parts import Parts
from recency_server.validate import Problem, identifier, refuse


async def merge_users(request: user_pb2.MergeUsersRequest, parts: Parts) -> user_pb2.MergeUsersResponse:
    """Moves the visitor's events to the user, on every gateway from the next answer on. Done twice it changes nothing."""
    problems = [
        Problem(field, reason)
        for field in ("source_user_id", "target_user_id")
        if (reason := identifier(getattr(request, field))) is not None
    ]
    if not problems and request.source_user_id == request.target_user_id:
        problems.append(
            Problem("target_user_id", "is the source_user_id; name the user that the visitor turned out to be")
        )
    refuse(problems)
    # What was answered a moment ago may still wait to be written.
    await parts.slates.flush()
    sequence, moved = await asyncio.get_running_loop().run_in_executor(
        parts.threads, parts.store.merge_users, request.source_user_id, request.target_user_id, parts.clock()
    )
    parts.follower.nudge()
    return user_pb2.MergeUsersResponse(consistency_token=encode_token(sequence), moved_events=moved)

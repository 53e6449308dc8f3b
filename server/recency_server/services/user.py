"""UserService: what is known about a user."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from recency.v1 import user_pb2
from recency_server import limits
from recency_server.calls import Method, Terms
from recency_server.errors import NotFound
from recency_server.parts import Parts
from recency_server.query import Deadline
from recency_server.validate import Problem, refuse, whole
from recency_server.validate_calls import check_id


class UserService:
    """Shows users; changing and erasing them comes later."""

    descriptor = user_pb2.DESCRIPTOR.services_by_name["UserService"]
    later: Mapping[str, str] = {
        "UpsertUser": "a user exists from their first event on, so nothing has to be created",
        "MergeUsers": "send the visitor's events again under the user's id, with event_ids of their own",
        "ExportUser": "read the newest events with GetUser",
        "DeleteUser": "nothing in this version erases a user; do not store what must be erasable yet",
    }

    def __init__(self, parts: Parts, *, reads: Terms) -> None:
        self._parts = parts
        self._reads = reads

    def implemented(self) -> Mapping[str, tuple[Method, Terms]]:
        """The methods that this version has."""
        return {"GetUser": (self.get_user, self._reads)}

    async def get_user(self, request: user_pb2.GetUserRequest, deadline: Deadline) -> user_pb2.GetUserResponse:
        """Attributes and the newest events."""
        check_id("user_id", request.user_id)
        size = request.history_size if request.HasField("history_size") else limits.DEFAULT_HISTORY_SIZE
        reason = whole(size, 0, limits.MAX_HISTORY_SIZE)
        if reason is not None:
            refuse([Problem("history_size", reason)])
        loop, store = asyncio.get_running_loop(), self._parts.store
        stored = await loop.run_in_executor(self._parts.threads, store.get_user, request.user_id)
        # One event at least: whether there is any says whether the user exists.
        events = await loop.run_in_executor(self._parts.threads, store.read_user, request.user_id, max(1, size))
        if stored is None and not events:
            raise NotFound("user_id: nothing is stored about this user; a user exists from their first event on")
        user = user_pb2.User() if stored is None else user_pb2.User.FromString(stored.payload)
        user.user_id = request.user_id
        if stored is not None:
            user.create_time.FromMicroseconds(stored.create_micros)
            user.update_time.FromMicroseconds(stored.update_micros)
        return user_pb2.GetUserResponse(user=user, history=[e.event() for e in events[-size:]] if size else [])

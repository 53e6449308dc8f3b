"""UserService: what is known about a user, and their rights over it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from itertools import islice
from typing import TypeVar, TypeVarTuple

from recency.v1 import user_pb2
from recency_server import limits
from recency_server.calls import Method, Source, Terms
from recency_server.consistency import encode_token
from recency_server.errors import NotFound
from recency_server.merge import merge_users
from recency_server.parts import Parts
from recency_server.query import Deadline
from recency_server.store_user import store_user
from recency_server.validate import Problem, refuse, whole
from recency_server.validate_calls import check_id
from recency_store.records import SlateRecord, StoredUser

# Events read at once for an export.
_PAGE = 500
_UNKNOWN = "user_id: nothing is stored about this user; a user exists from their first event on"
_T = TypeVar("_T")
_Arguments = TypeVarTuple("_Arguments")


class UserService:
    """Keeps users."""

    descriptor = user_pb2.DESCRIPTOR.services_by_name["UserService"]
    later: Mapping[str, str] = {}

    def __init__(self, parts: Parts, *, reads: Terms, writes: Terms, streams: Terms) -> None:
        self._parts = parts
        self._reads = reads
        self._writes = writes
        self._streams = streams

    def implemented(self) -> Mapping[str, tuple[Method | Source, Terms]]:
        """The methods that this version has."""
        return {
            "UpsertUser": (self.upsert_user, self._writes),
            "GetUser": (self.get_user, self._reads),
            "MergeUsers": (self.merge_users, self._writes),
            "ExportUser": (self.export_user, self._streams),
            "DeleteUser": (self.delete_user, self._writes),
        }

    async def upsert_user(self, request: user_pb2.UpsertUserRequest, deadline: Deadline) -> user_pb2.UpsertUserResponse:
        """Stores attributes, consent and maturity limit."""
        sequence = await store_user(request, self._parts, deadline)
        return user_pb2.UpsertUserResponse(consistency_token=encode_token(sequence))

    async def merge_users(self, request: user_pb2.MergeUsersRequest, deadline: Deadline) -> user_pb2.MergeUsersResponse:
        """Joins a visitor's behaviour to the user they turn out to be."""
        return await merge_users(request, self._parts)

    async def get_user(self, request: user_pb2.GetUserRequest, deadline: Deadline) -> user_pb2.GetUserResponse:
        """Attributes and the newest events."""
        check_id("user_id", request.user_id)
        size = request.history_size if request.HasField("history_size") else limits.DEFAULT_HISTORY_SIZE
        reason = whole(size, 0, limits.MAX_HISTORY_SIZE)
        if reason is not None:
            refuse([Problem("history_size", reason)])
        stored = await self._in_thread(self._parts.store.get_user, request.user_id)
        # One event at least: whether there is any says whether the user exists.
        events = await self._in_thread(self._parts.store.read_user, request.user_id, max(1, size))
        if stored is None and not events:
            raise NotFound(_UNKNOWN)
        return user_pb2.GetUserResponse(
            user=_user(request.user_id, stored), history=[e.event() for e in events[-size:]] if size else []
        )

    async def export_user(self, request: user_pb2.ExportUserRequest) -> AsyncIterator[user_pb2.ExportUserResponse]:
        """Attributes and consent, then every event and the slates that are kept, oldest first."""
        check_id("user_id", request.user_id)
        stored = await self._in_thread(self._parts.store.get_user, request.user_id)
        events = self._parts.store.scan_user(request.user_id)
        page = await self._in_thread(lambda: list(islice(events, _PAGE)))
        # What was answered a moment ago may still wait to be written.
        await self._parts.slates.flush()
        slates = await self._in_thread(self._parts.store.user_slates, request.user_id)
        if stored is None and not page and not slates:
            raise NotFound(_UNKNOWN)
        yield user_pb2.ExportUserResponse(user=_user(request.user_id, stored))
        while page:
            for event in page:
                yield user_pb2.ExportUserResponse(event=event.event())
            page = await self._in_thread(lambda: list(islice(events, _PAGE)))
        for slate in slates:
            yield user_pb2.ExportUserResponse(slate=_served(slate))

    async def delete_user(self, request: user_pb2.DeleteUserRequest, deadline: Deadline) -> user_pb2.DeleteUserResponse:
        """Erases a person. It is done in one transaction, whatever becomes of the call; sent again, it answers the same."""
        check_id("user_id", request.user_id)
        parts = self._parts
        erasure = await self._in_thread(parts.store.erase_user, request.user_id, parts.clock())
        parts.follower.nudge()
        await parts.follower.catch_up(erasure.number, deadline.remaining_seconds())
        return user_pb2.DeleteUserResponse(
            consistency_token=encode_token(erasure.number),
            erased_events=erasure.events,
            audit_id=str(erasure.number),
        )

    async def _in_thread(self, call: Callable[[*_Arguments], _T], *args: *_Arguments) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._parts.threads, call, *args)


def _user(user_id: str, stored: StoredUser | None) -> user_pb2.User:
    return user_pb2.User(user_id=user_id) if stored is None else stored.user()


def _served(slate: SlateRecord) -> user_pb2.ServedSlate:
    served = user_pb2.ServedSlate(
        recommendation_id=slate.recommendation_id,
        release=slate.release,
        item_ids=slate.item_ids,
        labels=slate.labels,
        context_json=slate.context_json,
    )
    served.answer_time.FromMicroseconds(slate.time_micros)
    return served

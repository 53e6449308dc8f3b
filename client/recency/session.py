"""Interactive sessions, blocking and asyncio: what the user does goes in, the newest slate comes out."""

from __future__ import annotations

from collections.abc import Sequence
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Unpack

import grpc
import grpc.aio

from recency.calls import RecommendOptions, refresh_from, session_message
from recency.errors import from_call
from recency.types import Event, Refresh, Slate
from recency.v1 import recommendation_pb2


class Session:
    """`with client.session("user-1", page_size=5) as session:` Iterate over it for refreshed slates, or ask for the
    `newest`. What is wrong with a message ends the session with the error of a Recommend or Feedback."""

    def __init__(self, stream: Any, user_id: str, options: RecommendOptions) -> None:
        self._user_id = user_id
        # Messages sent so far.
        self.sent = 0
        self._outgoing: SimpleQueue[recommendation_pb2.StreamRecommendRequest | None] = SimpleQueue()
        self.ask(**options)
        self._call = stream(iter(self._outgoing.get, None))

    def ask(self, **options: Unpack[RecommendOptions]) -> None:
        """Asks for something else from now on: these options replace the earlier ones."""
        self._say(session_message((), self._user_id, options))

    def send(self, events: Sequence[Event]) -> None:
        """Tells what the user did; it is durable once a slate reflects it. Their `user_id` may be left empty."""
        self._say(session_message(events))

    def newest(self) -> Slate:
        """The slate that reflects all that was said so far."""
        for refresh in self:
            if refresh.messages_reflected >= self.sent:
                return refresh.slate
        raise RuntimeError("the session is over; begin another one")

    def __iter__(self) -> Session:
        return self

    def __next__(self) -> Refresh:
        try:
            return refresh_from(next(self._call))
        except grpc.RpcError as error:
            raise from_call(error, error.trailing_metadata()) from error

    def close(self) -> None:
        """Ends the session."""
        self._outgoing.put(None)
        self._call.cancel()

    def _say(self, message: recommendation_pb2.StreamRecommendRequest) -> None:
        self.sent += 1
        self._outgoing.put(message)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class AsyncSession:
    """`async with client.session("user-1", page_size=5) as session:` The same, awaited."""

    def __init__(self, stream: Any, user_id: str, options: RecommendOptions) -> None:
        self._user_id = user_id
        self._options = options
        # Messages sent so far.
        self.sent = 0
        self._call = stream()

    async def ask(self, **options: Unpack[RecommendOptions]) -> None:
        """Asks for something else from now on: these options replace the earlier ones."""
        await self._say(session_message((), self._user_id, options))

    async def send(self, events: Sequence[Event]) -> None:
        """Tells what the user did; it is durable once a slate reflects it. Their `user_id` may be left empty."""
        await self._say(session_message(events))

    async def newest(self) -> Slate:
        """The slate that reflects all that was said so far."""
        async for refresh in self:
            if refresh.messages_reflected >= self.sent:
                return refresh.slate
        raise RuntimeError("the session is over; begin another one")

    def __aiter__(self) -> AsyncSession:
        return self

    async def __anext__(self) -> Refresh:
        try:
            response = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise from_call(error, error.trailing_metadata()) from error
        if not isinstance(response, recommendation_pb2.StreamRecommendResponse):
            # The end of the stream.
            raise StopAsyncIteration
        return refresh_from(response)

    async def _say(self, message: recommendation_pb2.StreamRecommendRequest) -> None:
        self.sent += 1
        try:
            await self._call.write(message)
        except grpc.aio.AioRpcError as error:
            raise from_call(error, error.trailing_metadata()) from error

    async def __aenter__(self) -> AsyncSession:
        await self.ask(**self._options)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._call.cancel()

"""The asyncio client: the same calls, awaited."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from types import TracebackType
from typing import TypeVar, Unpack

import grpc
import grpc.aio

from recency import calls, user_calls
from recency.calls import Call, RecommendOptions
from recency.channel import DEFAULT_TARGET, DEFAULT_TIMEOUT_SECONDS, OPTIONS, methods
from recency.errors import from_call
from recency.release_types import Activation, Release
from recency.session import AsyncSession
from recency.types import DeleteResult, Event, FeedbackResult, HideResult, Item, MergeResult, Slate, UpsertResult
from recency.user_types import Erased, KnownUser, ServedSlate, User, UserStored

Result = TypeVar("Result")


class AsyncRecency:
    """A connection to a Recency gateway, for one event loop. Use it with `async with`, or close it.

    `timeout_seconds` bounds each call, retries included. With `credentials` the connection is encrypted.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self._timeout_seconds = timeout_seconds
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(target, OPTIONS)
        else:
            self._channel = grpc.aio.secure_channel(target, credentials, OPTIONS)
        self._methods = methods(self._channel)

    async def _run(self, call: Call[Result]) -> Result:
        try:
            response = await self._methods[call.method](
                call.request, timeout=self._timeout_seconds + call.extra_seconds
            )
        except grpc.aio.AioRpcError as error:
            raise from_call(error, error.trailing_metadata()) from error
        return call.read(response)

    async def recommend(self, user_id: str = "", **options: Unpack[RecommendOptions]) -> Slate:
        """What to show a user now. `RecommendOptions` lists the options."""
        return await self._run(calls.recommend(user_id, options))

    async def feedback(self, events: Sequence[Event]) -> FeedbackResult:
        """Stores what users did; durable when it returns. The same `event_id` counts once."""
        return await self._run(calls.feedback(events))

    def session(self, user_id: str = "", **options: Unpack[RecommendOptions]) -> AsyncSession:
        """Begins an interactive session with a first request, whose options are those of `recommend`."""
        return AsyncSession(self._methods["StreamRecommend"], user_id, options)

    async def merge_users(self, source_user_id: str, target_user_id: str) -> MergeResult:
        """A visitor turns out to be a user, who takes over all that the visitor did."""
        return await self._run(calls.merge_users(source_user_id, target_user_id))

    async def upsert_items(self, items: Sequence[Item]) -> UpsertResult:
        """Adds or replaces items; searchable when it returns."""
        return await self._run(calls.upsert_items(items))

    async def delete_items(self, item_ids: Sequence[str]) -> DeleteResult:
        """Removes items."""
        return await self._run(calls.delete_items(item_ids))

    async def hide_items(self, item_ids: Sequence[str], reason: str) -> HideResult:
        """Hides items from every answer, with a reason for the record."""
        return await self._run(calls.hide_items(item_ids, reason))

    async def unhide_items(self, item_ids: Sequence[str], reason: str) -> HideResult:
        """Shows hidden items again, with a reason for the record."""
        return await self._run(calls.unhide_items(item_ids, reason))

    async def get_item(self, item_id: str) -> Item:
        """One item, or NotFound."""
        return await self._run(calls.get_item(item_id))

    async def list_items(self, page_size: int = 100) -> AsyncIterator[Item]:
        """All items in the order of their ids, fetched page by page."""
        token = ""
        while True:
            page = await self._run(calls.list_items(page_size, token))
            for entry in page.entries:
                yield entry
            token = page.next_page_token
            if not token:
                return

    async def get_user(self, user_id: str, history_size: int | None = None) -> KnownUser:
        """What is known of a user and their newest events, or NotFound."""
        return await self._run(user_calls.get_user(user_id, history_size))

    async def upsert_user(self, user: User, update_mask: Sequence[str] = ()) -> UserStored:
        """Stores a user: all of them, or what the mask names (`attributes.age`, `consent.training`, `maturity_limit`, …)."""
        return await self._run(user_calls.upsert_user(user, update_mask))

    async def export_user(self, user_id: str) -> AsyncIterator[User | Event | ServedSlate]:
        """Everything that is stored about a user: who they are, then each event and the
        slates that are kept, oldest first; or NotFound."""
        call = user_calls.export_user(user_id)
        try:
            async for response in self._methods[call.method](call.request):
                yield call.read(response)
        except grpc.aio.AioRpcError as error:
            raise from_call(error, error.trailing_metadata()) from error

    async def delete_user(self, user_id: str) -> Erased:
        """Erases a user from histories, log and every later training set."""
        return await self._run(user_calls.delete_user(user_id))

    async def list_releases(self, page_size: int = 100) -> AsyncIterator[Release]:
        """All releases, newest first, fetched page by page."""
        token = ""
        while True:
            page = await self._run(calls.list_releases(page_size, token))
            for entry in page.entries:
                yield entry
            token = page.next_page_token
            if not token:
                return

    async def get_release(self, release: int = 0) -> Release:
        """One release, the active one by default, or NotFound."""
        return await self._run(calls.get_release(release))

    async def activate_release(self, release: int, *, reason: str = "", wait: timedelta | None = None) -> Activation:
        """Makes a release the one that serves; with `wait` it also waits, up to this long, until the gateway that is
        asked answers with it. FailedPrecondition where it was rejected or its models are not ready."""
        return await self._run(calls.activate_release(release, reason, wait))

    async def set_canary(self, release: int, fraction: float, *, reason: str = "") -> Release:
        """Gives a release a share of the users (0..1); 0 ends it."""
        return await self._run(calls.set_canary(release, fraction, reason))

    async def roll_back_release(self, release: int = 0, *, reason: str = "") -> Release:
        """Goes back to a release, by default to the one that served before, and answers it."""
        return await self._run(calls.roll_back_release(release, reason))

    async def set_shadow(self, release: int, *, end: bool = False, reason: str = "") -> Release:
        """Lets a release score requests beside the active one, without effect; or ends that."""
        return await self._run(calls.set_shadow(release, end, reason))

    async def watch_releases(self, *, include_current: bool = False) -> AsyncIterator[Release]:
        """Each release as it is after a change of its state, as long as it is asked; Unavailable when the gateway goes."""
        call = calls.watch_releases(include_current)
        try:
            async for response in self._methods[call.method](call.request):
                yield call.read(response)
        except grpc.aio.AioRpcError as error:
            raise from_call(error, error.trailing_metadata()) from error

    async def close(self) -> None:
        """Ends the connection and the calls in flight."""
        await self._channel.close(None)

    async def __aenter__(self) -> AsyncRecency:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

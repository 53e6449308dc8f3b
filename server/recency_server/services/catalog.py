"""CatalogService: the items."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import ParamSpec, TypeVar

from recency.v1 import catalog_pb2
from recency_server.calls import Method, Terms
from recency_server.consistency import encode_token
from recency_server.errors import NotFound
from recency_server.pages import encode_page
from recency_server.parts import Parts
from recency_server.query import Deadline
from recency_server.upsert import take_items
from recency_server.validate_calls import check_id, check_ids, check_page

_ITEMS_PAGE = "items"
# Who hides and shows, for the audit log: whoever may call this API.
_ACTOR = "api"
P = ParamSpec("P")
T = TypeVar("T")


class CatalogService:
    """Keeps the items."""

    descriptor = catalog_pb2.DESCRIPTOR.services_by_name["CatalogService"]
    later: Mapping[str, str] = {}

    def __init__(self, parts: Parts, *, reads: Terms, writes: Terms, streams: Terms) -> None:
        self._parts = parts
        self._reads = reads
        self._writes = writes
        self._streams = streams

    def implemented(self) -> Mapping[str, tuple[Method, Terms]]:
        """The methods that this version has: all."""
        return {
            "UpsertItems": (self.upsert_items, self._writes),
            "DeleteItems": (self.delete_items, self._writes),
            "HideItems": (self.hide_items, self._writes),
            "UnhideItems": (self.unhide_items, self._writes),
            "GetItem": (self.get_item, self._reads),
            "ListItems": (self.list_items, self._reads),
            "StreamUpsertItems": (self.stream_upsert_items, self._streams),
        }

    async def upsert_items(
        self, request: catalog_pb2.UpsertItemsRequest, deadline: Deadline
    ) -> catalog_pb2.UpsertItemsResponse:
        """Adds or replaces items."""
        done = await take_items(request.items, self._parts, deadline)
        return catalog_pb2.UpsertItemsResponse(
            consistency_token=done.consistency_token, created=done.created, updated=done.updated
        )

    async def stream_upsert_items(
        self, chunk: catalog_pb2.StreamUpsertItemsRequest, deadline: Deadline
    ) -> catalog_pb2.StreamUpsertItemsResponse:
        """Adds or replaces one chunk of a bulk load."""
        done = await take_items(chunk.items, self._parts, deadline)
        return catalog_pb2.StreamUpsertItemsResponse(
            consistency_token=done.consistency_token, created=done.created, updated=done.updated
        )

    async def delete_items(
        self, request: catalog_pb2.DeleteItemsRequest, deadline: Deadline
    ) -> catalog_pb2.DeleteItemsResponse:
        """Removes items."""
        item_ids = check_ids(request.item_ids)
        sequence, missing = await self._in_store(self._parts.store.delete_items, item_ids, self._parts.clock())
        await self._follow(sequence, deadline)
        return catalog_pb2.DeleteItemsResponse(
            consistency_token=encode_token(sequence), deleted=len(item_ids) - len(missing), missing_item_ids=missing
        )

    async def hide_items(
        self, request: catalog_pb2.HideItemsRequest, deadline: Deadline
    ) -> catalog_pb2.HideItemsResponse:
        """Hides items from every answer."""
        item_ids = check_ids(request.item_ids, request.reason)
        now = self._parts.clock()
        hide = self._parts.store.hide_items
        sequence, missing = await self._in_store(hide, item_ids, request.reason, now, actor=_ACTOR)
        await self._follow(sequence, deadline)
        return catalog_pb2.HideItemsResponse(consistency_token=encode_token(sequence), missing_item_ids=missing)

    async def unhide_items(
        self, request: catalog_pb2.UnhideItemsRequest, deadline: Deadline
    ) -> catalog_pb2.UnhideItemsResponse:
        """Shows hidden items again."""
        item_ids = check_ids(request.item_ids, request.reason)
        now = self._parts.clock()
        hide = self._parts.store.hide_items
        sequence, missing = await self._in_store(hide, item_ids, None, now, actor=_ACTOR, why=request.reason)
        await self._follow(sequence, deadline)
        return catalog_pb2.UnhideItemsResponse(consistency_token=encode_token(sequence), missing_item_ids=missing)

    async def get_item(self, request: catalog_pb2.GetItemRequest, deadline: Deadline) -> catalog_pb2.GetItemResponse:
        """One item."""
        check_id("item_id", request.item_id)
        stored = (await self._in_store(self._parts.store.get_items, [request.item_id])).get(request.item_id)
        if stored is None:
            raise NotFound("item_id: the catalogue has no such item")
        return catalog_pb2.GetItemResponse(item=stored.item())

    async def list_items(
        self, request: catalog_pb2.ListItemsRequest, deadline: Deadline
    ) -> catalog_pb2.ListItemsResponse:
        """A page of the items, by id."""
        limit, after = check_page(_ITEMS_PAGE, request.page_size, request.page_token)
        found = await self._in_store(self._parts.store.list_items, limit + 1, after)
        page = found[:limit]
        return catalog_pb2.ListItemsResponse(
            items=[stored.item() for stored in page],
            next_page_token=encode_page(_ITEMS_PAGE, page[-1].item_id) if len(found) > limit else "",
        )

    async def _follow(self, sequence: int, deadline: Deadline) -> None:
        """The write stands; it is followed here before the answer, so that no answer of this gateway needs to wait."""
        self._parts.follower.nudge()
        await self._parts.follower.catch_up(sequence, deadline.remaining_seconds())

    async def _in_store(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """A blocking call of the store, off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._parts.threads, lambda: call(*args, **kwargs))

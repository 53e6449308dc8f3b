"""Embeds items that wait for a text vector of a serving release's language model: imported ones, ones written while
Triton was away, and all newer ones when the language model changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

import numpy as np
import structlog

from recency_features.spaces import place
from recency_features.text import item_text
from recency_server.encode import Encoded, Encoder
from recency_server.errors import Overloaded, TooLate, Unavailable
from recency_server.follow import Follower
from recency_server.query import Clock
from recency_server.release import Release
from recency_store.errors import StoreError
from recency_store.protocol import Store
from recency_store.records import StoredItem

_log = structlog.get_logger()
_AT_ONCE = 32
_IDLE_SECONDS = 0.1
_AWAY_SECONDS = 1.0
_TIMEOUT_SECONDS = 30.0


class Embedder:
    """The background work of embedding."""

    def __init__(
        self,
        store: Store,
        serving: Callable[[], Sequence[Release]],
        follower: Follower,
        encoder: Encoder,
        threads: Executor,
        clock: Clock,
    ) -> None:
        self._store = store
        self._serving = serving
        self._follower = follower
        self._encoder = encoder
        self._threads = threads
        self._clock = clock

    async def run(self) -> None:
        """Embeds what waits, until cancelled."""
        while True:
            if not await self._embed_next():
                await asyncio.sleep(_IDLE_SECONDS)

    async def _embed_next(self) -> bool:
        """Embeds some of what waits longest, of the active release first; False where nothing waits. A function of its
        own, so that no release is held on to between two turns."""
        release = next((release for release in self._serving() if release.pending), None)
        if release is None:
            return False
        # What the store keeps is for the language model that the active release uses.
        keep = release.manifest.text_encoder_digest == self._encoder.digest
        try:
            await self.embed_some(release, list(release.pending)[:_AT_ONCE], keep=keep)
        except (Unavailable, Overloaded, TooLate, StoreError) as error:
            _log.info("items wait to be embedded", items=len(release.pending), reason=str(error))
            await asyncio.sleep(_AWAY_SECONDS)
        return True

    async def embed_some(self, release: Release, waiting: Sequence[str], *, keep: bool) -> None:
        """Embeds the first of these items that wait; `keep` writes their vectors to the store."""
        in_thread = asyncio.get_running_loop().run_in_executor
        item_ids = waiting[:_AT_ONCE]
        found = await in_thread(self._threads, self._store.get_items, item_ids)
        for item_id in item_ids:
            if item_id not in found:
                release.pending.pop(item_id, None)
        digest = release.manifest.text_encoder_digest
        embedded = [i for i in found.values() if i.text_vector and i.text_encoder == digest]
        for item in embedded:
            self._place(release, item, np.frombuffer(item.text_vector, dtype="<f4"))
        items = [i for i in found.values() if not (i.text_vector and i.text_encoder == digest)]
        if not items:
            return
        encoded: Encoded = await self._encoder.encode_for(
            release, [item_text(item.item()) for item in items], _TIMEOUT_SECONDS
        )
        if keep:
            written = [
                (item.item_id, item.revision, vector.astype("<f4").tobytes())
                for item, vector in zip(items, encoded.vectors, strict=True)
            ]
            await in_thread(self._threads, self._store.set_text_vectors, written, encoded.text_encoder)
        for item, vector in zip(items, encoded.vectors, strict=True):
            self._place(release, item, vector)

    def _place(
        self, release: Release, item: StoredItem, text_vector: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
    ) -> None:
        waiting = release.pending.get(item.item_id)
        if waiting is None or waiting[0] != item.revision:
            # Deleted, or written anew meanwhile: the new text is still to be read.
            return
        entry = self._follower.catalog.entries.get(item.item_id)
        placed_D = place(item, release.projection, release.spaces, text_vector)
        release.put_fresh(item.item_id, placed_D, entry, self._clock())
        del release.pending[item.item_id]

"""Items of one request: checked, encoded by the language model, stored, and followed, so that they are searchable when
the answer goes out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from recency.v1 import item_pb2
from recency_features.text import item_text
from recency_server.consistency import encode_token
from recency_server.errors import NoRelease, TooLate, Unavailable
from recency_server.parts import Parts
from recency_server.query import Deadline
from recency_server.validate import refuse
from recency_server.validate_item import OUTPUT_ONLY, items_problems
from recency_store.records import NewItem, StoredItem

# Fewer items are checked on the event loop: a thread would cost more than the work.
_FEW_ITEMS = 50


@dataclass(frozen=True, slots=True)
class Upserted:
    """What became of the items, as UpsertItemsResponse and StreamUpsertItemsResponse say it."""

    consistency_token: str
    created: int
    updated: int


async def take_items(items: Sequence[item_pb2.Item], parts: Parts, deadline: Deadline) -> Upserted:
    """Stores all items, or none and says why."""
    loop = asyncio.get_running_loop()
    if len(items) <= _FEW_ITEMS:
        refuse(items_problems(items, parts.config.spaces))
    else:
        refuse(await loop.run_in_executor(parts.threads, items_problems, items, parts.config.spaces))
    for item in items:
        for field in OUTPUT_ONLY:
            item.ClearField(field)
    there = await loop.run_in_executor(parts.threads, parts.store.get_items, [item.item_id for item in items])
    new = await _with_vectors(items, there, parts, deadline)
    if not deadline.remaining_seconds():
        raise TooLate("the deadline passed before the items were written; nothing was stored, send fewer at once")
    sequence = await loop.run_in_executor(parts.threads, parts.store.upsert_items, new, parts.clock())
    parts.follower.nudge()
    missing = await parts.follower.catch_up(sequence, deadline.remaining_seconds())
    if missing:
        raise TooLate(f"the items are stored, but not searchable yet ({missing}); sending them again does no harm")
    updated = len(there)
    return Upserted(encode_token(sequence), len(items) - updated, updated)


async def _with_vectors(
    items: Sequence[item_pb2.Item], there: dict[str, StoredItem], parts: Parts, deadline: Deadline
) -> list[NewItem]:
    """The items with the vectors of their texts. A text that has not changed keeps its vector. Before the first release
    there is no language model, and items are stored without: whoever trains the release encodes them."""
    texts = [item_text(item) for item in items]
    known = {i: old for i, item in enumerate(items) if (old := _reusable(there.get(item.item_id), texts[i], parts))}
    asked = [i for i in range(len(items)) if i not in known]
    try:
        encoded = await parts.encoder.encode([texts[i] for i in asked], deadline.remaining_seconds()) if asked else None
    except NoRelease as error:
        await _check_none_active(parts, error)
        return [NewItem(item) for item in items]
    except Unavailable as error:
        raise Unavailable(
            f"the language model does not answer ({error}), so the items could not be made searchable; nothing was "
            "stored; see that Triton runs (`recency doctor`), then send them again"
        ) from error
    vectors = {i: (old.text_vector, old.text_encoder) for i, old in known.items()}
    if encoded is not None:
        for i, vector in zip(asked, encoded.vectors, strict=True):
            vectors[i] = (vector.astype("<f4").tobytes(), encoded.text_encoder)
    return [NewItem(item, *vectors[i]) for i, item in enumerate(items)]


def _reusable(old: StoredItem | None, text: str, parts: Parts) -> StoredItem | None:
    """The stored item, where its vector is of this text by the live language model."""
    if old is None or not old.text_vector or old.text_encoder != parts.encoder.digest:
        return None
    return old if item_text(old.item()) == text else None


async def _check_none_active(parts: Parts, error: NoRelease) -> None:
    """Storing without vectors is right before the first release only; with one that is not ready here, it would break
    what the answer promises."""
    active = await asyncio.get_running_loop().run_in_executor(parts.threads, parts.store.active_release)
    if active is not None:
        raise Unavailable(
            f"release {active.release} is active but not ready here, so the items could not be made searchable; nothing "
            "was stored; see that Triton runs (`recency doctor`), then send them again"
        ) from error

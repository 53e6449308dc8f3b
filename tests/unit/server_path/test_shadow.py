"""A shadow scores a share of the requests after their answers, and nothing of it reaches one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from recency_inference.errors import ModelFailed
from recency_server.parts import Parts
from recency_server.query import Deadline, Query
from recency_server.recommend import recommend
from recency_server.release_use import release_use
from recency_server.shadow import ShadowConfig, overlap, rank_correlation
from recency_store.memory import MemoryStore
from recency_store.records import ReleaseState

from .conftest import ITEMS, Open, ScriptedInference, place, until

ALL = ShadowConfig(share=1.0)


async def ask(parts: Parts, count: int) -> None:
    for number in range(count):
        slate = await recommend(Query(user_id=f"user-{number}"), Deadline.after(5.0), parts)
        assert (slate.freshness.release, slate.degraded) == (1, ())


async def with_shadow(parts: Parts) -> None:
    await until(lambda: parts.releases.shadow is not None)


async def test_a_shadow_is_compared_with_what_was_answered(
    opened: Open, store: MemoryStore, tmp_path: Path, inference: ScriptedInference
) -> None:
    place(store, tmp_path, 1, ReleaseState.ACTIVE)
    # The same order but for the first two.
    place(store, tmp_path, 2, ReleaseState.SHADOW, item_ids=[ITEMS[1], ITEMS[0], *ITEMS[2:]])
    async with opened(shadow=ALL) as parts:
        await with_shadow(parts)
        await ask(parts, 12)
        await until(lambda: parts.shadow.tally.scored == 12)
        use = release_use(parts, 2)
        assert (use.role, use.shadow.errors, use.shadow.dropped) == ("shadow", 0, 0)
        assert use.shadow.overlap_at_10 == 1.0
        assert 0.95 < use.shadow.rank_correlation < 1.0
        assert use.shadow.latency_mean.ToNanoseconds() > 0
        # Words and named candidates are not for it.
        query = Query(user_id="user-1", candidate_item_ids=(ITEMS[3],))
        await recommend(query, Deadline.after(5.0), parts)
        assert parts.shadow.tally.scored == 12


async def test_a_share_is_a_share(opened: Open, store: MemoryStore, tmp_path: Path) -> None:
    place(store, tmp_path, 1, ReleaseState.ACTIVE)
    place(store, tmp_path, 2, ReleaseState.SHADOW)
    async with opened(shadow=ShadowConfig(share=0.25)) as parts:
        await with_shadow(parts)
        await ask(parts, 40)
        await until(lambda: parts.shadow.tally.scored == 10)


async def test_a_broken_or_slow_shadow_is_noticed_by_no_caller_and_dropped_when_it_lags(
    opened: Open, store: MemoryStore, tmp_path: Path, inference: ScriptedInference
) -> None:
    place(store, tmp_path, 1, ReleaseState.ACTIVE)
    place(store, tmp_path, 2, ReleaseState.SHADOW)
    async with opened(shadow=ALL) as parts:
        await with_shadow(parts)
        inference.errors[2] = ModelFailed("index out of range")
        await ask(parts, 3)
        await until(lambda: parts.shadow.tally.errors == 3)
        del inference.errors[2]
        inference.delays_seconds[2] = 0.3
        await ask(parts, 30)
        assert parts.shadow.tally.dropped == 30 - ALL.at_once
        assert parts.shadow.tally.scored == 0
        await until(lambda: parts.shadow.tally.scored + parts.shadow.tally.errors == 3 + ALL.at_once)
        # One that ends while it scores is let go of afterwards.
        await ask(parts, 1)
        store.set_release_state(2, ReleaseState.CANDIDATE)
        await until(lambda: parts.releases.shadow is None)
        await until(lambda: not parts.releases.draining)
        await asyncio.sleep(0)
        await ask(parts, 1)


@pytest.mark.parametrize(
    ("shown", "would_show", "share", "correlation"),
    [
        ("abc", "abc", 1.0, 1.0),
        ("abc", "cba", 1.0, -1.0),
        ("", "", 1.0, 1.0),
        ("a", "", 0.0, 1.0),
        ("abcd", "abef", 0.5, None),
    ],
)
def test_two_orders_are_compared(shown: str, would_show: str, share: float, correlation: float | None) -> None:
    assert overlap(shown, would_show) == share
    if correlation is not None:
        assert rank_correlation(shown, would_show) == pytest.approx(correlation)
    assert -1.0 <= rank_correlation(shown, would_show) <= 1.0

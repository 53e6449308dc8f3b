"""Adoption: only what agrees with the exporter serves, and the old release serves until then."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest

from recency_features.spec import RECOMMENDER
from recency_server.query import Deadline, Query
from recency_server.recommend import recommend
from recency_store.memory import MemoryStore

from .conftest import ITEMS, NOW, Open, ScriptedInference, activate, new_event, new_item, until, write_release


def soon() -> Deadline:
    return Deadline.after(2.0)


async def test_a_release_that_becomes_active_is_adopted_and_the_old_one_is_let_go(
    opened: Open, store: MemoryStore, tmp_path: Path
) -> None:
    activate(store, tmp_path / "1", write_release(tmp_path / "1", 1))
    async with opened() as parts:
        assert [lease.name for lease in store.list_leases("serving/", NOW)] == ["serving/1/gateway-1"]
        activate(store, tmp_path / "2", write_release(tmp_path / "2", 2, [*reversed(ITEMS)]))
        with parts.releases.hold() as held:
            await until(lambda: parts.releases.live is not held)
            await asyncio.sleep(0.2)
            assert held is not None
            assert {"serving/1/gateway-1", "serving/2/gateway-1"} == {
                x.name for x in store.list_leases("serving/", NOW)
            }
        await until(lambda: [x.name for x in store.list_leases("serving/", NOW)] == ["serving/2/gateway-1"])
        slate = await recommend(Query(), soon(), parts)
    assert slate.freshness.release == 2
    assert slate.placed[0].item_id == ITEMS[-1]
    assert store.list_leases("serving/", NOW) == []


async def test_requests_during_a_swap_use_one_release_each_and_none_fails(
    opened: Open, store: MemoryStore, tmp_path: Path, inference: ScriptedInference
) -> None:
    activate(store, tmp_path / "1", write_release(tmp_path / "1", 1))
    write_release(tmp_path / "2", 2, [*reversed(ITEMS)])
    async with opened() as parts:
        inference.delay_seconds = 0.002
        answered: list[tuple[int, str]] = []

        async def ask_until_the_second() -> None:
            while not answered or answered[-1][0] != 2:
                slate = await recommend(Query(), soon(), parts)
                assert slate.degraded == ()
                answered.append((slate.freshness.release, slate.placed[0].item_id))

        async with asyncio.TaskGroup() as tasks:
            for _ in range(8):
                tasks.create_task(ask_until_the_second())
            await asyncio.sleep(0.05)
            activate(store, tmp_path / "2", write_release(tmp_path / "2b", 2, [*reversed(ITEMS)]))
    assert set(answered) == {(1, ITEMS[0]), (2, ITEMS[-1])}
    assert {version for model, version, _ in inference.calls if model == RECOMMENDER} == {1, 2}


async def test_a_release_whose_golden_cases_differ_is_refused_with_a_reason(
    opened: Open, store: MemoryStore, tmp_path: Path, inference: ScriptedInference
) -> None:
    activate(store, tmp_path / "1", write_release(tmp_path / "1", 1))
    async with opened() as parts:
        inference.lie = 0.01
        activate(store, tmp_path / "2", write_release(tmp_path / "2", 2))
        await until(lambda: parts.counters.refusals == 1)
        assert "golden case 0" in parts.releases.reason
        slate = await recommend(Query(), soon(), parts)
        assert (slate.freshness.release, slate.degraded) == (1, ())
        await until(lambda: [x.name for x in store.list_leases("serving/", NOW)] == ["serving/1/gateway-1"])
        inference.lie = 0.0
        await until(lambda: parts.releases.live is not None and parts.releases.live.number == 2)
        assert parts.releases.reason == ""


@pytest.mark.parametrize("name", ["item_ids.json", "items.bin", "trends.npz", "golden.json", "manifest.json"])
async def test_a_release_with_a_damaged_file_is_refused_and_the_reason_names_it(
    opened: Open, store: MemoryStore, tmp_path: Path, name: str
) -> None:
    activate(store, tmp_path / "1", write_release(tmp_path / "1", 1))
    path = tmp_path / "1" / name
    path.write_bytes(path.read_bytes()[:-9])
    async with opened() as parts:
        assert parts.releases.live is None
        assert name in parts.releases.reason
        slate = await recommend(Query(), soon(), parts)
    assert len(slate.placed) == 10
    assert slate.degraded == ("model: no release is live",)


async def test_a_release_is_adopted_as_soon_as_triton_has_it_ready(
    opened: Open, store: MemoryStore, tmp_path: Path, inference: ScriptedInference
) -> None:
    activate(store, tmp_path / "1", write_release(tmp_path / "1", 1))
    inference.not_ready = True
    async with opened() as parts:
        assert "not ready" in parts.releases.reason
        inference.not_ready = False
        await until(lambda: parts.releases.live is not None)
        assert parts.counters.refusals == 0


async def test_trends_start_from_the_release_and_count_every_event_of_the_log_once(
    opened: Open, store: MemoryStore, tmp_path: Path
) -> None:
    numbers = itertools.count(1)
    store.append([new_event("a", ITEMS[0], next(numbers)) for _ in range(3)])
    trained = store.last_sequence()
    store.append([new_event("a", ITEMS[1], next(numbers)) for _ in range(4)])
    # The release's own fold has two events of an item that the log does not.
    from recency_features.history import Interaction
    from recency_features.trends import Trends

    fold = Trends()
    fold.fold([Interaction(ITEMS[2], 3, NOW)] * 2)
    manifest = write_release(
        tmp_path / "1", trained_through_sequence=trained, trained_through_micros=NOW, trends=fold.to_bytes()
    )
    activate(store, tmp_path / "1", manifest)
    async with opened() as parts:
        await parts.commit.append([new_event("b", ITEMS[1], next(numbers))])
        assert await parts.follower.catch_up(0, 1.0) == ""
        trends = parts.follower.trends
        live = parts.releases.live
        assert live is not None
        await until(lambda: live.overlay().item_trend[1, 0] == 5.0)
        overlay = live.overlay()
    assert [round(float(x), 3) for x in overlay.item_trend[:4, 0]] == [0.0, 5.0, 2.0, 0.0]
    assert overlay.item_bias[0] == overlay.item_bias[2] == 0.0
    assert overlay.item_bias[1] > 0.0
    assert ITEMS[0] not in trends.row_of


async def test_items_hidden_while_a_release_is_adopted_stay_hidden(
    opened: Open, store: MemoryStore, tmp_path: Path, inference: ScriptedInference
) -> None:
    activate(store, tmp_path / "1", write_release(tmp_path / "1", 1))
    async with opened() as parts:
        inference.delay_seconds = 0.1
        activate(store, tmp_path / "2", write_release(tmp_path / "2", 2))
        await until(lambda: any(version == 2 for _, version, _ in inference.calls))
        store.hide_items([ITEMS[0]], "moderated", NOW)
        store.upsert_items([new_item("meanwhile")], NOW)
        await until(lambda: parts.releases.live is not None and parts.releases.live.number == 2)
        inference.delay_seconds = 0.0
        slate = await recommend(Query(), soon(), parts)
        live = parts.releases.live
        assert live is not None
        await until(lambda: "meanwhile" in live.index_of)
        sent = inference.of(RECOMMENDER)[-1]
    assert slate.placed[0].item_id == ITEMS[1]
    assert sent["item_bias"][0] == float("-inf")

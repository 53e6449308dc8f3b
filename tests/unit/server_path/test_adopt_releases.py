"""Adoption: only what agrees with the exporter serves, and the old release serves until then."""

from __future__ import annotations

import asyncio
import itertools
import weakref
from pathlib import Path

import numpy as np
import pytest

from recency_features.spec import RECOMMENDER
from recency_server.query import Deadline, Query
from recency_server.recommend import recommend
from recency_store.memory import MemoryStore
from recency_store.records import LearnedRow, ReleaseState

from .conftest import ITEMS, NOW, Open, ScriptedInference, activate, new_event, new_item, place, until, write_release


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


async def test_a_release_that_was_let_go_leaves_nothing_in_memory(
    opened: Open, store: MemoryStore, tmp_path: Path
) -> None:
    place(store, tmp_path, 1, ReleaseState.ACTIVE)
    async with opened() as parts:
        assert parts.releases.live is not None
        gone = weakref.ref(parts.releases.live)
        for number in range(40):
            await recommend(Query(user_id=f"user-{number}"), soon(), parts)
        place(store, tmp_path, 2, ReleaseState.ACTIVE)
        await until(lambda: parts.releases.role_of(1) == "")
        # By reference counts alone: the collector is calm while a gateway serves.
        await until(lambda: gone() is None)
        assert len(list(parts.scorer._lanes)) == 0
        await recommend(Query(), soon(), parts)
        assert len(list(parts.scorer._lanes)) == 1


async def test_a_release_that_is_wanted_again_while_it_drains_is_there_at_once(
    opened: Open, store: MemoryStore, tmp_path: Path
) -> None:
    place(store, tmp_path, 1, ReleaseState.ACTIVE)
    async with opened() as parts:
        with parts.releases.hold() as first:
            place(store, tmp_path, 2, ReleaseState.ACTIVE)
            await until(lambda: parts.releases.role_of(2) == "active")
            assert parts.releases.draining == [first]
            store.upsert_items([new_item("meanwhile")], NOW)
            store.roll_back(0, "worse")
            await until(lambda: parts.releases.live is first)
            assert parts.counters.adoptions == 2
        assert first is not None
        await until(lambda: "meanwhile" in first.index_of)
        assert [x.name for x in store.list_leases("serving/1/", NOW)] == ["serving/1/gateway-1"]


async def test_a_refusal_is_on_record_by_gateway_until_it_is_over(
    opened: Open, store: MemoryStore, tmp_path: Path, inference: ScriptedInference
) -> None:
    place(store, tmp_path, 1, ReleaseState.ACTIVE)
    async with opened() as parts:
        inference.lie = 0.01
        place(store, tmp_path, 2, ReleaseState.CANARY, 0.5)
        await until(lambda: bool(store.list_leases("refused/", NOW)))
        [refused] = store.list_leases("refused/", NOW)
        assert refused.name == "refused/2/gateway-1"
        assert "golden case 0" in refused.holder
        assert parts.releases.refusals.reasons == {2: refused.holder}
        assert parts.releases.reason == ""
        inference.lie = 0.0
        await until(lambda: parts.releases.canary is not None and not store.list_leases("refused/", NOW))
        inference.lie = 0.01
        place(store, tmp_path, 3, ReleaseState.SHADOW)
        await until(lambda: 3 in parts.releases.refusals.reasons)
        store.set_release_state(3, ReleaseState.REJECTED, "broken")
        await until(lambda: not parts.releases.refusals.reasons)


async def test_a_gateway_that_starts_with_a_broken_active_release_answers_with_the_one_before(
    opened: Open, store: MemoryStore, tmp_path: Path
) -> None:
    place(store, tmp_path, 1, ReleaseState.ACTIVE)
    place(store, tmp_path, 2, ReleaseState.ACTIVE)
    whole = (tmp_path / "2" / "items.bin").read_bytes()
    (tmp_path / "2" / "items.bin").write_bytes(whole[:-4])
    async with opened() as parts:
        slate = await recommend(Query(), soon(), parts)
        assert (slate.freshness.release, slate.degraded) == (1, ())
        assert "items.bin" in parts.releases.reason
        (tmp_path / "2" / "items.bin").write_bytes(whole)
        await until(lambda: parts.releases.reason == "")
        assert (await recommend(Query(), soon(), parts)).freshness.release == 2


async def test_a_gateway_that_starts_after_the_active_release_was_rejected_answers_with_the_one_before(
    opened: Open, store: MemoryStore, tmp_path: Path
) -> None:
    place(store, tmp_path, 1, ReleaseState.ACTIVE)
    place(store, tmp_path, 2, ReleaseState.ACTIVE)
    store.set_release_state(2, ReleaseState.REJECTED, "its files are broken")
    async with opened() as parts:
        assert (await recommend(Query(), soon(), parts)).freshness.release == 1
        assert parts.releases.reason == "no release is active"
        store.roll_back(0, "made so")
        await until(lambda: parts.releases.reason == "")


async def test_a_swap_to_another_language_model_keeps_newer_items_in_answers(
    opened: Open, store: MemoryStore, tmp_path: Path, inference: ScriptedInference
) -> None:
    place(store, tmp_path, 1, ReleaseState.ACTIVE)
    async with opened() as parts:
        store.upsert_items([new_item("newer")], NOW)
        await until(lambda: parts.releases.live is not None and "newer" in parts.releases.live.index_of)
        inference.delay_seconds = 0.02
        place(store, tmp_path, 2, ReleaseState.ACTIVE, text_encoder_digest="encoder-2")
        await until(lambda: parts.releases.role_of(2) == "active")
        assert parts.releases.live is not None
        assert "newer" in parts.releases.live.index_of
        assert store.get_items(["newer"])["newer"].text_encoder == "encoder-2"


async def test_a_release_that_comes_back_by_a_rollback_has_what_was_learned_too(
    opened: Open, store: MemoryStore, tmp_path: Path
) -> None:
    place(store, tmp_path, 1, ReleaseState.ACTIVE)
    lease = store.acquire_lease("learner", "test", 10**9, NOW)
    assert lease is not None
    row = LearnedRow("newer", np.array([5.0, -5.0], dtype="<f4").tobytes())
    store.put_learned(1, 0, 1, NOW, [row], lease)
    async with opened() as parts:
        store.upsert_items([new_item("newer")], NOW)

        def vector(number: int) -> list[float]:
            release = parts.releases.live
            if release is None or release.number != number or "newer" not in release.index_of:
                return []
            return release.overlay().fresh_vectors[0].tolist()

        await until(lambda: bool(vector(1)))
        await until(lambda: parts.learned.of(parts.releases.live).version > 0)  # type: ignore[arg-type]
        learned = vector(1)
        place(store, tmp_path, 2, ReleaseState.ACTIVE)
        await until(lambda: bool(vector(2)) and parts.releases.role_of(1) == "")
        assert vector(2) != learned
        store.roll_back(0, "worse")
        await until(lambda: vector(1) == learned)

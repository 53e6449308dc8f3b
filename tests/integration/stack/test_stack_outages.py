"""A stack that loses a part, gets a broken release, more work than it can do, or the signal to end."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from served_stack import ServedStack, eventually, wait_until_undegraded

from recency import AsyncRecency, DeadlineExceeded, Overloaded, Recency, RecencyError, ReleaseState, Slate, Source
from recency.v1 import event_pb2, recommendation_pb2, recommendation_pb2_grpc
from recency_store.manifest import MANIFEST, Manifest
from recency_store.records import ReleaseRecord
from recency_store.records import ReleaseState as StoredState

FLOOD = 1_500


@pytest.mark.promise(4)
def test_with_triton_killed_answers_are_marked_and_it_comes_back_by_itself(stack: ServedStack) -> None:
    with Recency(stack.here.address, timeout_seconds=1.0) as here, Recency(stack.there.address) as there:
        whole = here.recommend("1", page_size=20)
        assert not whole.degraded
        try:
            for process in stack.triton.children():
                process.suspend()
            # One that hangs is worse than one that is gone: answers must come within their deadline all the same.
            hanging = [here.recommend("1", page_size=20) for _ in range(5)]
        finally:
            stack.kill_triton()
        killed = [client.recommend("1", page_size=20) for client in (here, there) for _ in range(5)]
        for slate in (*hanging, *killed[:1]):
            assert slate.degraded
            assert slate.degraded_reason.startswith("model: ")
            assert len(set(slate.item_ids)) == 20
            assert {place.source for place in slate.recommendations} == {Source.TREND}
            assert {place.probability for place in slate.recommendations} == {None}
            assert slate.freshness.release == 0
        for client in (here, there):
            back = wait_until_undegraded(client, "1", page_size=20)
            assert back.freshness.release == whole.freshness.release
            assert set(back.item_ids) == set(whole.item_ids)
    assert "triton_down" in stack.triton.log


@pytest.mark.promise(4)
def test_a_release_with_a_corrupt_file_is_rejected_with_its_checksum_and_the_old_one_serves(
    stack: ServedStack, here: Recency
) -> None:
    old = here.get_release()
    folder, record = _broken_copy(stack, old.release)
    with stack.folder.opened() as store:
        store.put_release(record)
    eventually(
        lambda: here.get_release(record.release).state is not ReleaseState.CANDIDATE, lambda: "the release is judged"
    )
    broken = here.get_release(record.release)
    assert broken.state is ReleaseState.REJECTED
    assert "scorer/model.onnx: checksum" in broken.reason
    assert [release.release for release in here.list_releases() if release.state is ReleaseState.ACTIVE] == [
        old.release
    ]
    slate = here.recommend("1")
    assert not slate.degraded
    assert slate.freshness.release == old.release
    shutil.rmtree(folder)


def _broken_copy(stack: ServedStack, release: int) -> tuple[Path, ReleaseRecord]:
    """The release once more under the next number, with one byte of a model changed after its manifest was written."""
    source = stack.folder.path / "releases" / str(release)
    with stack.folder.opened() as store:
        number = store.next_release()
        parent = store.get_release(release)
    folder = source.with_name(str(number))
    shutil.copytree(parent.url, folder, ignore=shutil.ignore_patterns("text_encoder"))
    manifest = Manifest.from_json(parent.manifest_json, parent.url)
    versions = {**manifest.model_versions, "recommender": number, "scorer": number}
    files = {name: entry for name, entry in manifest.files.items() if not name.startswith("text_encoder/")}
    manifest = replace(manifest, release=number, parent=release, model_versions=versions, files=files)
    (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    model = folder / "scorer" / "model.onnx"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 0xFF
    model.unlink()
    model.write_bytes(content)
    state = StoredState.CANDIDATE
    return folder, ReleaseRecord(
        number, state, "", str(folder), release, time.time_ns() // 1_000, manifest_json=manifest.to_json()
    )


@pytest.mark.promise(6)
async def test_a_millisecond_is_answered_or_over_and_never_hangs(stack: ServedStack) -> None:
    async with AsyncRecency(stack.here.address, timeout_seconds=0.001) as hasty, asyncio.timeout(30):
        answers = await asyncio.gather(
            *(hasty.recommend(str(number), query=f"wish {number}") for number in range(60)), return_exceptions=True
        )
    assert {type(answer) for answer in answers} <= {Slate, DeadlineExceeded}
    with Recency(stack.here.address) as patient:
        assert not patient.recommend("1").degraded


@pytest.mark.promise(6)
async def test_a_flood_is_refused_or_answered_at_once_and_fills_no_memory(stack: ServedStack) -> None:
    variables = {
        "RECENCY_GATEWAY_RECOMMEND_CALLS": "24",
        "RECENCY_GATEWAY_RPCS": "256",
        "RECENCY_GATEWAY_RECOMMEND_BATCH_QUEUE": "16",
    }
    with stack.gateway("flooded", **variables) as gateway:
        async with AsyncRecency(gateway.address, timeout_seconds=60) as client:
            await _flood(client)
            before = gateway.resident_bytes()
            answers = Counter[str]()
            for _ in range(3):
                answers += await _flood(client)
            assert set(answers) <= {"whole", "degraded", "refused"}
            assert answers["refused"], "there was room for everybody"
            assert answers["whole"] + answers["degraded"], "nobody was answered"
            assert gateway.resident_bytes() - before < 64 << 20
            assert not (await client.recommend("1")).degraded


async def _flood(client: AsyncRecency) -> Counter[str]:
    async def ask(number: int) -> str:
        try:
            slate = await client.recommend(str(number % 60), page_size=100)
        except Overloaded:
            return "refused"
        except RecencyError as error:
            return f"{error.code}: {error}"
        return "degraded" if slate.degraded else "whole"

    return Counter(await asyncio.gather(*(ask(number) for number in range(FLOOD))))


async def test_a_gateway_told_to_end_finishes_what_runs_and_turns_the_rest_away(stack: ServedStack) -> None:
    with stack.gateway("drained") as gateway:
        told, busy = asyncio.Event(), asyncio.Event()
        codes: Counter[tuple[bool, grpc.StatusCode]] = Counter()
        answered = Counter[str]()

        async def call(stub: Any, name: str) -> None:
            for number in range(100_000):
                event = event_pb2.Event(event_id=f"{name}/{number}", user_id=name, item_id="1", type=3)
                begun_after = told.is_set()
                try:
                    if number % 2:
                        await stub.Feedback(event_pb2.FeedbackRequest(events=[event]))
                        answered["feedback"] += 1
                    else:
                        await stub.Recommend(recommendation_pb2.RecommendRequest(user_id=name, page_size=50))
                        answered["recommend"] += 1
                    if min(answered["feedback"], answered["recommend"]) >= 100:
                        busy.set()
                except grpc.aio.AioRpcError as error:
                    codes[told.is_set(), error.code()] += 1
                    if begun_after:
                        return

        # No retries here: what the gateway answers is what is looked at.
        options = [("grpc.enable_retries", 0)]
        async with grpc.aio.insecure_channel(gateway.address, options=options) as channel, asyncio.timeout(60):
            stub: Any = recommendation_pb2_grpc.RecommendationServiceStub(channel)
            async with asyncio.TaskGroup() as tasks:
                for caller in range(24):
                    tasks.create_task(call(stub, f"outages-drain-{caller}"))
                await busy.wait()
                told.set()
                gateway.terminate()
        assert set(codes) == {(True, grpc.StatusCode.UNAVAILABLE)}
        assert gateway.wait() == 0
        assert '"everything_ended": true' in gateway.log or "everything_ended=True" in gateway.log

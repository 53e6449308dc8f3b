"""A gateway process that is killed, or told to end, under load."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import pytest

from recency.v1 import event_pb2, recommendation_pb2, recommendation_pb2_grpc
from recency_store.sqlite import open_sqlite

SCRIPT = Path(__file__).with_name("serve_process.py")
CALLERS = 16
STUBS: Any = recommendation_pb2_grpc
CLICK = event_pb2.EVENT_TYPE_CLICK


class Process:
    """One gateway process."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.port = port

    @staticmethod
    async def start(store: Path) -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(SCRIPT), str(store), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        return Process(process, int(await process.stdout.readline()))


class Load:
    """Callers that send one event after the other, and what was acknowledged to them."""

    def __init__(self) -> None:
        self.acknowledged: list[str] = []
        self.codes: Counter[grpc.StatusCode] = Counter()

    async def run(self, port: int, round_number: int) -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub: Any = STUBS.RecommendationServiceStub(channel)
            async with asyncio.TaskGroup() as tasks:
                for caller in range(CALLERS):
                    tasks.create_task(self._caller(stub, f"{round_number}-{caller}"))

    async def _caller(self, stub: Any, name: str) -> None:
        for number in range(100_000):
            event = event_pb2.Event(event_id=f"{name}-{number}", user_id=name, item_id="i", type=CLICK)
            try:
                answer = await stub.Feedback(event_pb2.FeedbackRequest(events=[event]))
            except grpc.aio.AioRpcError as error:
                self.codes[error.code()] += 1
                return
            assert answer.accepted == 1
            self.acknowledged.append(event.event_id)


@pytest.mark.promise(1)
async def test_every_acknowledged_event_survives_kill_nine_once(tmp_path: Path) -> None:
    path, load = tmp_path / "recency.sqlite", Load()
    for round_number in range(3):
        gateway = await Process.start(path)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(load.run(gateway.port, round_number))
            await asyncio.sleep(0.5)
            gateway.process.kill()
        assert await gateway.process.wait() == -signal.SIGKILL
    assert load.acknowledged
    store = open_sqlite(path)
    stored = Counter(event.event_id for event in store.scan_log())
    store.close()
    assert all(stored[event_id] == 1 for event_id in load.acknowledged)
    assert max(stored.values()) == 1


async def test_sigterm_ends_what_runs_and_loses_nothing(tmp_path: Path) -> None:
    path, load = tmp_path / "recency.sqlite", Load()
    gateway = await Process.start(path)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(load.run(gateway.port, 0))
        await asyncio.sleep(0.5)
        gateway.process.terminate()
    assert await gateway.process.wait() == 0
    # Callers saw their calls end well, then a gateway that takes no more.
    assert set(load.codes) <= {grpc.StatusCode.UNAVAILABLE}
    store = open_sqlite(path)
    stored = Counter(event.event_id for event in store.scan_log())
    store.close()
    assert all(stored[event_id] == 1 for event_id in load.acknowledged)


@pytest.mark.promise(2)
async def test_a_token_holds_on_another_gateway_over_the_same_store(tmp_path: Path) -> None:
    path = tmp_path / "recency.sqlite"
    one, other = await Process.start(path), await Process.start(path)
    try:
        async with (
            grpc.aio.insecure_channel(f"127.0.0.1:{one.port}") as here,
            grpc.aio.insecure_channel(f"127.0.0.1:{other.port}") as there,
        ):
            writer: Any = STUBS.RecommendationServiceStub(here)
            reader: Any = STUBS.RecommendationServiceStub(there)
            for number in range(20):
                event = event_pb2.Event(event_id=f"e-{number}", user_id="u", item_id="i", type=CLICK)
                event.event_time.seconds = 1_000 + number
                token = (await writer.Feedback(event_pb2.FeedbackRequest(events=[event]))).consistency_token
                answer = await reader.Recommend(
                    recommendation_pb2.RecommendRequest(user_id="u", consistency_token=[token], strict_consistency=True)
                )
                assert answer.freshness.behaviour_time.seconds == 1_000 + number
    finally:
        for gateway in (one, other):
            gateway.process.terminate()
            await gateway.process.wait()

"""kill -9 of a gateway in the middle of an adoption: nothing of it stays behind, and the next one serves."""

from __future__ import annotations

import asyncio
import time

from served_stack import CommandProcess, DataFolder
from served_tiny import slate
from triton_stack import clock

from recency import AsyncRecency
from recency_store.records import ReleaseState

from .conftest import USERS, Stage

USER, ITEM = next(iter(USERS.items()))
ADDRESSES = ("--address", "127.0.0.1:0", "--http-address", "127.0.0.1:0", "--triton")


async def test_a_gateway_killed_while_it_adopts_leaves_nothing_that_the_next_one_stumbles_over(stage: Stage) -> None:
    folder = DataFolder.make(stage.data)
    gateway = await asyncio.to_thread(serving, folder, stage)
    try:
        for pause in (0.0, 0.4):
            before, after = stage.active(), stage.publish()
            assert await answered(gateway) == before
            stage.store.set_release_state(after, ReleaseState.ACTIVE)
            # Between the first look at it (a lease is taken) and the flip.
            await asyncio.to_thread(wait_for_lease, stage, after)
            await asyncio.sleep(pause)
            gateway.kill()
            gateway = await asyncio.to_thread(serving, folder, stage)
            assert await answered(gateway) == after
    finally:
        await asyncio.to_thread(gateway.close)


def wait_for_lease(stage: Stage, release: int) -> None:
    while not stage.store.list_leases(f"serving/{release}/", clock()):
        time.sleep(0.001)


def serving(folder: DataFolder, stage: Stage) -> CommandProcess:
    return CommandProcess(folder, "killed", "serve", *ADDRESSES, stage.triton.target)


async def answered(gateway: CommandProcess) -> int:
    """Which release gave a whole answer that is all its own."""
    async with AsyncRecency(gateway.address) as client:
        answer = await client.recommend(USER, page_size=5)
    assert answer.degraded_reason == ""
    assert list(answer.item_ids) == slate(answer.freshness.release, [ITEM], 5)
    return answer.freshness.release

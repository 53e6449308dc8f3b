"""A stack of a bench's own over a store: Triton with its agent in a thread, and a gateway in the bench's loop, whose clock
shows the moment that is replayed."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from recency_inference.local import TritonConfig
from recency_inference.run import Running, run_triton
from recency_server.config import Bound, GatewayConfig
from recency_server.gateway import serve
from recency_store.protocol import Store

_READY_SECONDS = 120.0
_T = TypeVar("_T")


class ReplayClock:
    """The gateway's clock, set to the moment that is replayed."""

    def __init__(self, now_micros: int = 0) -> None:
        self.now_micros = now_micros

    def __call__(self) -> int:
        """Microseconds since 1970."""
        return self.now_micros


@dataclasses.dataclass(frozen=True, slots=True)
class Served:
    """Where a stack listens."""

    gateway: str
    triton: str


@asynccontextmanager
async def served_stack(
    triton: TritonConfig, gateway: GatewayConfig, store: Store, folder: Path, releases: Path, clock: ReplayClock
) -> AsyncIterator[Served]:
    """A Triton that works in `folder` with its agent, and a gateway, on free ports; ready when it is entered."""
    mine = dataclasses.replace(triton, data=folder, grpc_port=0, http_port=0, metrics_port=0)
    async with _triton(mine, store, releases) as target, served_gateway(gateway, store, target, clock) as address:
        yield Served(address, target)


@asynccontextmanager
async def _triton(config: TritonConfig, store: Store, releases: Path) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    end = threading.Event()
    up: asyncio.Future[Running] = loop.create_future()

    def tell(running: Running) -> None:
        loop.call_soon_threadsafe(up.set_result, running)

    # The agent's leases are about real processes: its clock is the wall's, whatever time is replayed.
    run = loop.create_task(asyncio.to_thread(run_triton, config, store, releases, end, tell, _wall_micros))
    try:
        yield (await _first(up, run)).target
    finally:
        end.set()
        await run


@asynccontextmanager
async def served_gateway(
    gateway: GatewayConfig, store: Store, triton_target: str, clock: ReplayClock
) -> AsyncIterator[str]:
    """A gateway on a free port over a Triton that runs; yields its address."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    bound: asyncio.Future[Bound] = loop.create_future()
    mine = dataclasses.replace(
        gateway, grpc_address="127.0.0.1:0", http_address="127.0.0.1:0", triton_address=triton_target
    )
    served = loop.create_task(serve(mine, store, clock, stop=stop, ready=bound.set_result))
    try:
        yield f"127.0.0.1:{(await _first(bound, served)).grpc_port}"
    finally:
        stop.set()
        await served


async def _first(up: asyncio.Future[_T], run: asyncio.Task[None]) -> _T:
    """What `up` will hold, unless `run` ends before: then its error is raised."""
    either: set[asyncio.Future[Any]] = {up, run}
    await asyncio.wait(either, timeout=_READY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    if run.done():
        await run
    if not up.done():
        raise TimeoutError(f"the stack of the bench was not ready in {_READY_SECONDS:.0f} s")
    return up.result()


def _wall_micros() -> int:
    return time.time_ns() // 1_000

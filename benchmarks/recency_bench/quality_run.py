"""One run of `recency bench quality`: for each seed its own store, release, Triton and gateway, then the replay."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from recency_bench.quality import QualityResult, ReplayClock, as_of_start, fill, register, replay, row
from recency_bench.references import reference_rows
from recency_bench.split import Split
from recency_export.evaluate import ranks_in_slates
from recency_export.pipeline import bootstrap
from recency_export.progress import Progress
from recency_export.settings import BootstrapConfig
from recency_inference.local import TritonConfig
from recency_inference.run import Running, run_triton
from recency_server.config import Bound, GatewayConfig
from recency_server.gateway import serve
from recency_server.parts import RecommendConfig
from recency_store.manifest import read_manifest
from recency_store.protocol import Store
from recency_store.sqlite import open_sqlite

_READY_SECONDS = 120.0
_T = TypeVar("_T")


async def quality(
    split: Split,
    work: Path,
    *,
    seeds: int,
    export: BootstrapConfig,
    triton: TritonConfig,
    gateway: GatewayConfig,
    report: Progress,
    advance: Callable[[int, int], None],
) -> QualityResult:
    """The served pipeline's row (mean over seeds) and the references'. `work` is an empty folder; `advance` is told
    (seed, cases done). The configs are the deployment's own: what is measured is what would be served."""
    ranks: list[np.ndarray] = []
    seconds: list[float] = []
    degraded = 0
    leave_seen_out = True
    for seed in range(seeds):
        folder = work / f"seed-{seed}"
        started = time.perf_counter()
        release = await asyncio.to_thread(_train, split, folder, dataclasses.replace(export, seed=seed), report)
        seconds.append(time.perf_counter() - started)
        leave_seen_out = _leaves_seen_out(gateway.recommend, read_manifest(release).repeat_share)
        clock = ReplayClock()
        with closing(open_sqlite(folder / "live.db")) as store:
            clock.now_micros = split.test[0].time_micros
            manifest = as_of_start(release, folder / "live" / str(read_manifest(release).release))
            fill(store, split, clock.now_micros, events=False)
            register(store, folder / "live" / str(manifest.release), manifest, clock.now_micros)
            mine = dataclasses.replace(triton, data=folder, grpc_port=0, http_port=0, metrics_port=0)
            async with _stack(mine, gateway, store, folder / "live", clock) as target:
                slates, bad = await replay(target, store, split, clock, partial(advance, seed))
        degraded += bad
        ranks.append(ranks_in_slates(slates, [case.item_id for case in split.test]))
    served = row("Recency, served", ranks, float(np.mean(seconds)))
    return QualityResult(rows=[served, *reference_rows(split, leave_seen_out=leave_seen_out)], degraded=degraded)


def _leaves_seen_out(recommend: RecommendConfig, repeat_share: float) -> bool:
    if recommend.exclude_seen == "auto":
        return repeat_share <= recommend.repeat_share
    return recommend.exclude_seen == "always"


def _train(split: Split, folder: Path, export: BootstrapConfig, report: Progress) -> Path:
    """A release of what may be known, in `folder`; answers the release's folder."""
    folder.mkdir(parents=True)
    with closing(open_sqlite(folder / "known.db")) as store:
        fill(store, split, split.test[-1].time_micros, events=True)
        config = dataclasses.replace(export, workspace=folder / "export")
        return Path(bootstrap(store, folder / "releases", config, report).url)


@asynccontextmanager
async def _stack(
    triton: TritonConfig,
    gateway: GatewayConfig,
    store: Store,
    releases: Path,
    clock: ReplayClock,
) -> AsyncIterator[str]:
    """A Triton with its agent in a thread, and a gateway in this loop; yields the gateway's address."""
    loop = asyncio.get_running_loop()
    end_triton = threading.Event()
    up: asyncio.Future[Running] = loop.create_future()

    def tell(running: Running) -> None:
        loop.call_soon_threadsafe(up.set_result, running)

    run = loop.create_task(asyncio.to_thread(run_triton, triton, store, releases, end_triton, tell, _wall_micros))
    try:
        target = (await _first(up, run)).target
        stop = asyncio.Event()
        bound: asyncio.Future[Bound] = loop.create_future()
        mine = dataclasses.replace(
            gateway, grpc_address="127.0.0.1:0", http_address="127.0.0.1:0", triton_address=target
        )
        served = loop.create_task(serve(mine, store, clock, stop=stop, ready=bound.set_result))
        try:
            yield f"127.0.0.1:{(await _first(bound, served)).grpc_port}"
        finally:
            stop.set()
            await served
    finally:
        end_triton.set()
        await run


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

"""One run of `recency bench quality`: for each seed its own store, release, Triton and gateway, then the replay."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path

import numpy as np

from recency_bench.quality import QualityResult, fill, register, replay, row
from recency_bench.references import reference_rows
from recency_bench.relabel import as_of_start
from recency_bench.served import ReplayClock, served_stack
from recency_bench.split import Split
from recency_bench.ways import WayRow, ask_in_ways
from recency_export.evaluate import ranks_in_slates
from recency_export.pipeline import bootstrap
from recency_export.progress import Progress
from recency_export.settings import BootstrapConfig
from recency_inference.local import TritonConfig
from recency_server.config import GatewayConfig
from recency_server.parts import RecommendConfig
from recency_store.manifest import Manifest, read_manifest
from recency_store.protocol import Store
from recency_store.sqlite import open_sqlite


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
        async with _one_seed(split, work / f"seed-{seed}", seed, export, triton, gateway, report) as one:
            slates, bad = await replay(one.target, one.store, split, one.clock, partial(advance, seed))
        seconds.append(one.seconds_to_train)
        leave_seen_out = _leaves_seen_out(gateway.recommend, one.manifest.repeat_share)
        degraded += bad
        ranks.append(ranks_in_slates(slates, [case.item_id for case in split.test]))
    ours = row("Recency, served", ranks, float(np.mean(seconds)))
    return QualityResult(rows=[ours, *reference_rows(split, leave_seen_out=leave_seen_out)], degraded=degraded)


async def quality_by_way(
    split: Split,
    work: Path,
    *,
    export: BootstrapConfig,
    triton: TritonConfig,
    gateway: GatewayConfig,
    report: Progress,
    advance: Callable[[int], None],
) -> list[WayRow]:
    """The served pipeline of one seed, asked in every way of `ways.py`."""
    async with _one_seed(split, work, export.seed, export, triton, gateway, report) as one:
        return await ask_in_ways(one.target, one.store, split, one.clock, one.release, advance)


@dataclasses.dataclass(frozen=True, slots=True)
class _Seed:
    """A seed's stack, up and at the time of the first test."""

    target: str
    store: Store
    clock: ReplayClock
    release: Path
    manifest: Manifest
    seconds_to_train: float


@asynccontextmanager
async def _one_seed(
    split: Split,
    folder: Path,
    seed: int,
    export: BootstrapConfig,
    triton: TritonConfig,
    gateway: GatewayConfig,
    report: Progress,
) -> AsyncIterator[_Seed]:
    """Trains on what may be known, and serves it over a log that starts empty."""
    started = time.perf_counter()
    release = await asyncio.to_thread(_train, split, folder, dataclasses.replace(export, seed=seed), report)
    seconds = time.perf_counter() - started
    clock = ReplayClock(split.test[0].time_micros)
    with closing(open_sqlite(folder / "live.db")) as store:
        trained = read_manifest(release)
        live = folder / "live" / str(trained.release)
        manifest = as_of_start(release, live)
        fill(store, split, clock.now_micros, events=False)
        register(store, live, manifest, clock.now_micros)
        async with served_stack(triton, gateway, store, folder, folder / "live", clock) as served:
            yield _Seed(served.gateway, store, clock, live, trained, seconds)


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

"""One run of `recency bench quality`: for each seed its own store, release, Triton and gateway, then the replay."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np

from recency_bench.quality import QualityResult, fill, register, replay, row
from recency_bench.references import reference_rows
from recency_bench.relabel import as_of_start
from recency_bench.served import ReplayClock, served_stack
from recency_bench.split import Split
from recency_export.evaluate import ranks_in_slates
from recency_export.pipeline import bootstrap
from recency_export.progress import Progress
from recency_export.settings import BootstrapConfig
from recency_inference.local import TritonConfig
from recency_server.config import GatewayConfig
from recency_server.parts import RecommendConfig
from recency_store.manifest import read_manifest
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
            async with served_stack(triton, gateway, store, folder, folder / "live", clock) as served:
                slates, bad = await replay(served.gateway, store, split, clock, partial(advance, seed))
        degraded += bad
        ranks.append(ranks_in_slates(slates, [case.item_id for case in split.test]))
    ours = row("Recency, served", ranks, float(np.mean(seconds)))
    return QualityResult(rows=[ours, *reference_rows(split, leave_seen_out=leave_seen_out)], degraded=degraded)


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

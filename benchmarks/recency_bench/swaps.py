"""`recency bench freshness --swaps N`: what callers notice of N releases that take over from each other under steady load.

Each swap publishes a release that was never there, as the exporter does: folder, CANDIDATE, ready in Triton, ACTIVE, and
ends when the gateway answers from it. Some are canaries first, and after some the release before is gone back to. Load
comes from a process of its own by an open loop; probes whose slates are known hold every answer to the release it names.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from recency_bench.generator import Job, Load
from recency_bench.load import generate, port_of
from recency_bench.processes import cpu_seconds, resident_bytes, stack_processes
from recency_bench.swap_probe import SwapProbe
from recency_bench.swap_steps import Swapper, until
from recency_bench.variants import Variants
from recency_store.protocol import Store

LOAD_SHARE = 0.4
_CALLERS = 64
# After so many swaps memory is where it stays, if it does.
_SETTLED_SWAPS = 20


@dataclass(frozen=True, slots=True)
class SwapResult:
    """One run. `failed` counts errors and degraded answers, of load and probes; `mixed` the probes' answers that are not
    what their release gives. Memory by part: resident bytes after `settled` swaps, and after the last."""

    swaps: int
    rollbacks: int
    canaries: int
    capacity: float
    rate: float
    failed: int
    mixed: int
    before: Load
    during: Load
    p99_ratio: float
    p99_by_step_ms: dict[str, float]
    probes: int
    seconds_by_step: dict[str, float]
    seconds_per_swap: float
    settled: int
    resident_settled: dict[str, int]
    resident_last: dict[str, int]
    resident_ratio: float
    cpu_share: dict[str, float]
    trouble: list[str]

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


async def swaps(
    store: Store,
    variants: Variants,
    releases: Path,
    target: str,
    triton_target: str,
    user_ids: list[str],
    *,
    count: int,
    rate: float | None = None,
    seconds: float = 10.0,
    now_micros: Callable[[], int],
    advance: Callable[[str, int], None] = lambda what, done: None,
) -> SwapResult:
    """Runs `count` swaps against the stack behind `target`, whose store this is and whose releases lie in `releases`.
    `seconds` is how long the load is measured before; without `rate` it is LOAD_SHARE of the capacity measured first."""
    swapper = Swapper(store, variants, releases, triton_target, now_micros)
    advance("the first release", 0)
    swapper.probe = probe = SwapProbe(target, variants.names, await swapper.first())
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(probe.run(stop))
        try:
            await until(lambda: probe.ready, "the probes know what the first release gives")
            parts = stack_processes(port_of(target), port_of(triton_target))
            advance("capacity", 0)
            capacity = rate / LOAD_SHARE if rate else await asyncio.to_thread(_capacity, target, user_ids, seconds)
            job = Job(target, user_ids, seconds, rate=rate or LOAD_SHARE * capacity)
            advance(f"before: {job.rate:.0f}/s", 0)
            before = await asyncio.to_thread(generate, job)
            seen = await _under_load(swapper, job, count, parts, advance)
        finally:
            stop.set()
    times, during = swapper.times, seen.load
    return SwapResult(
        swaps=count,
        rollbacks=len(times.rollback),
        canaries=len(times.canary),
        capacity=capacity,
        rate=job.rate,
        failed=sum(during.errors.values()) + during.degraded + len(probe.failed),
        mixed=len(probe.mixed),
        before=before,
        during=during,
        p99_ratio=during.latencies.p99_ms / before.latencies.p99_ms,
        p99_by_step_ms=seen.p99_by_step_ms,
        probes=probe.answers,
        seconds_by_step={name: median(taken) for name, taken in asdict(times).items() if taken},
        seconds_per_swap=seen.seconds / count,
        settled=seen.settled,
        resident_settled=seen.resident_settled,
        resident_last=seen.resident_last,
        resident_ratio=sum(seen.resident_last.values()) / sum(seen.resident_settled.values()),
        cpu_share=seen.cpu_share,
        trouble=[*probe.failed, *probe.mixed][:10],
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the swaps left to be seen."""

    load: Load
    seconds: float
    p99_by_step_ms: dict[str, float]
    settled: int
    resident_settled: dict[str, int]
    resident_last: dict[str, int]
    cpu_share: dict[str, float]


async def _under_load(
    swapper: Swapper, job: Job, count: int, parts: dict[str, Any], advance: Callable[[str, int], None]
) -> _Seen:
    """All the swaps, with the job's load from before the first to after the last."""
    # Stubs come and go with the versions.
    lasting = {name: parts[name] for name in ("gateway", "triton")}
    half = count // 2
    # After a rollback, as the last is: then as many versions are loaded.
    settled, resident = min(_SETTLED_SWAPS, half - half % 10 or max(1, half)), dict[str, int]()
    with tempfile.TemporaryDirectory() as scratch:
        samples = Path(scratch) / "latencies"
        with _load(replace(job, seconds=0.0, seed=1, samples=str(samples))) as ended:
            cpu, begun = cpu_seconds(lasting), time.monotonic()
            for number in range(1, count + 1):
                await swapper.swap(canary=number % 10 == 5, back=number % 10 == 0)
                advance("swaps", number)
                if number == settled:
                    await swapper.at_rest()
                    resident = resident_bytes(_now(parts))
            seconds, used = time.monotonic() - begun, cpu_seconds(lasting)
            await swapper.at_rest()
            last = resident_bytes(_now(parts))
            load = await asyncio.to_thread(ended)
        return _Seen(
            load=load,
            seconds=seconds,
            p99_by_step_ms=_p99_by_step(samples, swapper.spans),
            settled=settled,
            resident_settled=resident,
            resident_last=last,
            cpu_share={name: (used[name] - cpu[name]) / seconds for name in lasting},
        )


def _capacity(target: str, user_ids: list[str], seconds: float) -> float:
    generate(Job(target, user_ids, min(2.0, seconds), callers=32))
    return generate(Job(target, user_ids, min(5.0, seconds), callers=_CALLERS)).answers_per_second


@contextmanager
def _load(job: Job) -> Iterator[Callable[[], Load]]:
    """Load by a process of its own until what is yielded is called, which gives what it saw."""
    process = subprocess.Popen(
        [sys.executable, "-m", "recency_bench.generator"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(asdict(job)) + "\n")
    process.stdin.flush()

    def ended() -> Load:
        printed, _ = process.communicate(timeout=60)
        return Load.from_dict(json.loads(printed))

    try:
        yield ended
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def _p99_by_step(samples: Path, spans: Sequence[tuple[str, float, float]]) -> dict[str, float]:
    """The 99th percentile of the answers that were due while each step ran."""
    pairs = array("d")
    pairs.frombytes(samples.read_bytes())
    due, latency = np.array(pairs).reshape(-1, 2).T
    found = {}
    for name in dict.fromkeys(name for name, _, _ in spans):
        during = np.zeros(len(due), dtype=bool)
        for step, begun, ended in spans:
            if step == name:
                during |= (due >= begun) & (due < ended)
        if during.any():
            found[name] = float(1e3 * np.percentile(latency[during], 99))
    return found


def _now(parts: dict[str, Any]) -> dict[str, Any]:
    """The parts with the stubs that there are now."""
    return {**parts, "stubs": parts["triton"][0].children(recursive=True)}

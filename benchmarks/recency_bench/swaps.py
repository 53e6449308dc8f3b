"""`recency bench freshness --swaps N`: what callers notice of N releases that take over from each other under steady load.

Each swap publishes a release that was never there, as the exporter does: folder, CANDIDATE, ready in Triton, ACTIVE, and
ends when the gateway answers from it. Some are canaries first, and after some the release before is gone back to. Load
comes from a process of its own by an open loop; probes whose slates are known hold every answer to the release it names.

What the swaps cost is told against rests in the same run: after every tenth swap nothing happens for as long as the load was
measured before, so that a machine that is slower for a while is so for both.
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
import numpy.typing as npt

from recency_bench.generator import Job, Load
from recency_bench.load import generate, port_of
from recency_bench.processes import cpu_seconds, resident_bytes, stack_processes
from recency_bench.swap_probe import SwapProbe
from recency_bench.swap_steps import REST, Swapper, until
from recency_bench.variants import Variants
from recency_store.protocol import Store

LOAD_SHARE = 0.4
SWAPPING = "swapping"
_CALLERS = 64
# After so many swaps memory is where it stays, if it does.
_SETTLED_SWAPS = 20
# So often a rest; memory is read in rests too.
_REST_EVERY = 10


@dataclass(frozen=True, slots=True)
class SwapResult:
    """One run. `failed` counts errors and degraded answers, of load and probes; `mixed` the probes' answers that are not
    what their release gives. `p99_ratio` is that of the answers due in any step of a swap to that of those due in a rest.
    Memory by part: resident bytes after `settled` swaps, and after the last."""

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
    p99_swapping_ms: float
    p99_resting_ms: float
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
        p99_ratio=seen.p99_ms[SWAPPING] / seen.p99_ms[REST],
        p99_swapping_ms=seen.p99_ms[SWAPPING],
        p99_resting_ms=seen.p99_ms[REST],
        p99_by_step_ms={step: p99 for step, p99 in seen.p99_ms.items() if step not in (SWAPPING, REST)},
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
    p99_ms: dict[str, float]
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
                if number % _REST_EVERY == 0 or number == count:
                    await swapper.rest(job.seconds)
                if number == settled:
                    resident = resident_bytes(_now(parts))
            seconds, used = time.monotonic() - begun, cpu_seconds(lasting)
            last = resident_bytes(_now(parts))
            load = await asyncio.to_thread(ended)
        return _Seen(
            load=load,
            seconds=seconds,
            p99_ms=_p99_by_step(samples, swapper.spans),
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
    """The 99th percentile of the answers that were due while each step ran, in rests (REST), and in any step but those
    (SWAPPING)."""
    pairs = array("d")
    pairs.frombytes(samples.read_bytes())
    due, latency = np.array(pairs).reshape(-1, 2).T
    during: dict[str, npt.NDArray[np.bool_]] = {}
    for step, begun, ended in spans:
        within = (due >= begun) & (due < ended)
        for name in (step,) if step == REST else (step, SWAPPING):
            during[name] = during.get(name, within) | within
    return {name: float(1e3 * np.percentile(latency[those], 99)) for name, those in during.items() if those.any()}


def _now(parts: dict[str, Any]) -> dict[str, Any]:
    """The parts with the stubs that there are now."""
    return {**parts, "stubs": parts["triton"][0].children(recursive=True)}

"""`recency bench freshness --swaps N`: what callers notice of N releases that take over from each other under steady load.

Each swap publishes a release that was never there, as the exporter does: folder, CANDIDATE, ready in Triton, ACTIVE, and
ends when the gateway answers from it. Some are canaries first, and after some the release before is gone back to. Load
comes from a process of its own by an open loop; probes whose slates are known hold every answer to the release it names.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from recency_bench.generator import Job, Load
from recency_bench.load import generate, port_of
from recency_bench.processes import cpu_seconds, resident_bytes, stack_processes
from recency_bench.swap_probe import SwapProbe
from recency_bench.variants import Variants
from recency_inference.wanted import SERVING, leased_releases, ready_lease
from recency_store.protocol import Store
from recency_store.records import ReleaseRecord, ReleaseState, last_good

LOAD_SHARE = 0.4
_CALLERS = 64
_ASK_SECONDS = 0.05
_GIVE_UP_SECONDS = 120.0
_CANARY_FRACTION = 0.3
# After so many swaps memory is where it stays, if it does.
_SETTLED_SWAPS = 20


@dataclass(slots=True)
class SwapTimes:
    """Seconds of each swap by step, in order, and how many of each kind there were."""

    publish: list[float] = field(default_factory=list)
    load: list[float] = field(default_factory=list)
    flip: list[float] = field(default_factory=list)
    rollback: list[float] = field(default_factory=list)
    canary: list[float] = field(default_factory=list)


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
    parts = stack_processes(port_of(target), port_of(triton_target))
    # Stubs come and go with the versions.
    lasting = {name: parts[name] for name in ("gateway", "triton")}
    advance("capacity", 0)
    capacity = rate / LOAD_SHARE if rate else await asyncio.to_thread(_capacity, target, user_ids, seconds)
    rate = rate or LOAD_SHARE * capacity
    advance(f"before: {rate:.0f}/s", 0)
    before = await asyncio.to_thread(generate, Job(target, user_ids, seconds, rate=rate))
    probe, stop = SwapProbe(target, variants.names), asyncio.Event()
    run = _Run(store, variants, releases, triton_target, probe, now_micros)
    with tempfile.TemporaryDirectory() as scratch:
        samples = Path(scratch) / "latencies"
        with _load(Job(target, user_ids, 0.0, rate=rate, seed=1, samples=str(samples))) as ended:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(probe.run(stop))
                try:
                    await _until(lambda: probe.base, "probes know the first release")
                    cpu, begun = cpu_seconds(lasting), time.monotonic()
                    settled, resident = max(1, min(_SETTLED_SWAPS, count // 2)), dict[str, int]()
                    for number in range(1, count + 1):
                        await run.swap(canary=number % 10 == 5, back=number % 10 == 0)
                        advance("swaps", number)
                        if number == settled:
                            resident = resident_bytes(_now(parts))
                    lasted, used = time.monotonic() - begun, cpu_seconds(lasting)
                    last = resident_bytes(_now(parts))
                finally:
                    stop.set()
            during = await asyncio.to_thread(ended)
        p99s = _p99_by_step(samples, run.spans)
    times = run.times
    return SwapResult(
        swaps=count,
        rollbacks=len(times.rollback),
        canaries=len(times.canary),
        capacity=capacity,
        rate=rate,
        failed=sum(during.errors.values()) + during.degraded + len(probe.failed),
        mixed=len(probe.mixed),
        before=before,
        during=during,
        p99_ratio=during.latencies.p99_ms / before.latencies.p99_ms,
        p99_by_step_ms=p99s,
        probes=probe.answers,
        seconds_by_step={name: median(taken) for name, taken in asdict(times).items() if taken},
        seconds_per_swap=lasted / count,
        settled=settled,
        resident_settled=resident,
        resident_last=last,
        resident_ratio=sum(last.values()) / sum(resident.values()),
        cpu_share={name: (used[name] - cpu[name]) / lasted for name in lasting},
        trouble=[*probe.failed, *probe.mixed][:10],
    )


@dataclass(slots=True)
class _Run:
    """The swaps, one after the other."""

    store: Store
    variants: Variants
    releases: Path
    triton_target: str
    probe: SwapProbe
    now_micros: Callable[[], int]
    times: SwapTimes = field(default_factory=SwapTimes)
    # (step, from, to) by the wall clock, to find the answers of that time.
    spans: list[tuple[str, float, float]] = field(default_factory=list)

    async def swap(self, *, canary: bool, back: bool) -> None:
        """One new release takes over: after it was a canary, or before the last one comes back."""
        number = self.store.next_release()
        with self._timed("publish", self.times.publish):
            await asyncio.to_thread(self._publish, number)
        with self._timed("load", self.times.load):
            ready = ready_lease(number, self.triton_target)
            await _until(lambda: self._ready(number, ready), f"release {number} is ready in Triton")
        if canary:
            with self._timed("canary", self.times.canary):
                self.store.set_release_state(number, ReleaseState.CANARY, canary_fraction=_CANARY_FRACTION)
                await _until(lambda: number in self.probe.first_seen, f"release {number} is a canary")
        with self._timed("flip", self.times.flip):
            self.store.set_release_state(number, ReleaseState.ACTIVE)
            await self._served(number)
        if back and last_good(self.store.list_releases()) is not None:
            with self._timed("rollback", self.times.rollback):
                goal = self.store.roll_back(0, "bench freshness --swaps")
                await self._served(goal.release)
        await asyncio.to_thread(self._prune)

    async def _served(self, number: int) -> None:
        await _until(
            lambda: self.probe.serving and set(self.probe.serving.values()) == {number},
            f"everybody is answered from release {number}",
        )

    def _ready(self, number: int, lease: str) -> bool:
        record = self.store.get_release(number)
        if record.state is ReleaseState.REJECTED:
            raise RuntimeError(f"release {number} was rejected: {record.reason}")
        return bool(self.store.list_leases(lease, self.now_micros()))

    def _publish(self, number: int) -> None:
        active = self.store.active_release()
        manifest = self.variants.make(number, active.release if active else 0)
        self.store.put_release(
            ReleaseRecord(
                release=number,
                state=ReleaseState.CANDIDATE,
                reason="",
                url=str((self.releases / str(number)).resolve()),
                parent=manifest.parent,
                create_micros=self.now_micros(),
                manifest_json=manifest.to_json(),
            )
        )

    def _prune(self) -> None:
        """Removes the folders of what no Triton holds any more."""
        records = self.store.list_releases()
        good = last_good(records)
        kept = leased_releases(self.store.list_leases(f"{SERVING}/", self.now_micros())) | {good.release if good else 0}
        for record in records:
            folder = self.releases / str(record.release)
            if record.state is ReleaseState.RETIRED and record.release not in kept and folder.is_dir():
                shutil.rmtree(folder)

    @contextmanager
    def _timed(self, name: str, taken: list[float]) -> Iterator[None]:
        begun, started = time.time(), time.monotonic()
        yield
        taken.append(time.monotonic() - started)
        self.spans.append((name, begun, time.time()))


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


async def _until(happened: Callable[[], Any], what: str) -> None:
    limit = time.monotonic() + _GIVE_UP_SECONDS
    while not happened():
        if time.monotonic() > limit:
            raise TimeoutError(f"not within {_GIVE_UP_SECONDS:.0f} s: {what}")
        await asyncio.sleep(_ASK_SECONDS)

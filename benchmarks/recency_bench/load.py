"""`recency bench load`: what the running stack can take, what an answer costs, and how near that is to the limit.

In one run, in turn: onnxruntime directly on the same graph, batches and cores (the limit), a closed loop (capacity), and
open loops at growing rates until p99 passes 50 ms. The generator is a process of its own and its CPU time is shown apart.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from recency_bench.direct import Direct, direct
from recency_bench.generator import Job, Load
from recency_bench.processes import cpu_seconds, resident_bytes, stack_processes
from recency_store.protocol import Store

P99_LIMIT_MS = 50.0
_DIRECT_BATCH = 32
_CLOSED_CALLERS = (1, 16, 64, 96)
# Open-loop rates as shares of the closed loop's best.
_OPEN_SHARES = (0.4, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)
_MAX_USERS = 2_000


@dataclass(frozen=True, slots=True)
class Step:
    """One loop: what was offered, what came, and CPU milliseconds an answer by process."""

    kind: str
    offered: float
    load: Load
    cpu_ms_per_answer: dict[str, float]

    @property
    def holds(self) -> bool:
        """Whether it answered everything, nothing degraded, with p99 inside the limit."""
        return not self.load.errors and not self.load.degraded and self.load.latencies.p99_ms < P99_LIMIT_MS


@dataclass(frozen=True, slots=True)
class LoadResult:
    """One run. `ratio` is the best rate that holds ÷ what onnxruntime does directly (median of its turns)."""

    steps: list[Step]
    direct: list[Direct]
    best_rate: float
    ratio: float
    cores: int
    resident_bytes: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def load(
    target: str,
    triton_target: str,
    release_folder: Path,
    user_ids: list[str],
    *,
    seconds: float = 5.0,
    cores: int,
    advance: Callable[[str], None] = lambda what: None,
) -> LoadResult:
    """Measures the stack behind `target`, which must run on this machine."""
    parts = stack_processes(port_of(target), port_of(triton_target))
    steps: list[Step] = []
    reference: list[Direct] = []

    def turn_direct() -> None:
        advance("onnxruntime, directly")
        reference.append(direct(release_folder, processes=cores, batch=_DIRECT_BATCH, seconds=seconds))

    def turn_loop(**how: Any) -> Step:
        kind = "closed" if how.get("callers") else "open"
        offered = float(how.get("callers") or how["rate"])
        advance(f"{kind} loop at {offered:.0f}{' callers' if kind == 'closed' else '/s'}")
        before = cpu_seconds(parts)
        seen = generate(Job(target, user_ids, seconds, seed=len(steps), **how))
        after = cpu_seconds(parts)
        answers = max(1, seen.answers)
        cpu = {name: 1e3 * (after[name] - before[name]) / answers for name in parts}
        cpu["generator"] = 1e3 * seen.cpu_seconds / answers
        steps.append(Step(kind, offered, seen, cpu))
        return steps[-1]

    generate(Job(target, user_ids, min(2.0, seconds), callers=32))
    turn_direct()
    capacity = max(turn_loop(callers=callers).load.answers_per_second for callers in _CLOSED_CALLERS)
    turn_direct()
    for share in _OPEN_SHARES:
        if not turn_loop(rate=capacity * share).holds:
            break
    turn_direct()
    best = max((s.load.answers_per_second for s in steps if s.holds), default=0.0)
    limit = median(d.answers_per_second for d in reference)
    return LoadResult(steps, reference, best, best / limit, cores, resident_bytes(parts))


def sample_users(store: Store, seed: int = 0) -> list[str]:
    """Users to ask for, drawn from the newest events of the log."""
    last = store.last_sequence()
    newest = store.read_log(max(0, last - 200_000), 200_000)
    user_ids = sorted({event.user_id for event in newest if not event.user_id.startswith("bench-")})
    if not user_ids:
        return [f"user-{number}" for number in range(100)]
    return random.Random(seed).sample(user_ids, min(_MAX_USERS, len(user_ids)))


def generate(job: Job) -> Load:
    """Runs the generator to its end."""
    finished = subprocess.run(
        [sys.executable, "-m", "recency_bench.generator"],
        input=json.dumps(asdict(job)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Load.from_dict(json.loads(finished.stdout))


def port_of(target: str) -> int:
    """The port of an address host:port."""
    return int(target.rsplit(":", 1)[1])

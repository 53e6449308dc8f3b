"""The load generator, a process of its own: `python -m recency_bench.generator` with a JSON job as one line of standard
input.

Closed loop: so many callers, each sends its next request when its last is answered; it finds the capacity. Open loop:
Poisson arrivals at a rate, whatever the answers do, and a latency counts from the moment the request was due, so that a
stall of the server is not hidden by a generator that waits with it (coordinated omission).
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from array import array
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass, field
from pathlib import Path

import grpc
import grpc.aio
import uvloop

from recency.v1 import recommendation_pb2
from recency_bench.summary import Latencies, Summary

_METHOD = "/recency.v1.RecommendationService/Recommend"
_TIMEOUT_SECONDS = 5.0
# Past this many unanswered requests the open loop has shown what it can show; memory is for other things.
_MAX_OUTSTANDING = 20_000

_One = Callable[[float], Coroutine[None, None, None]]


@dataclass(frozen=True, slots=True)
class Job:
    """One run: `callers` > 0 is a closed loop, else an open one at `rate` a second. 0 seconds: until standard input closes.

    `samples` is a file for every latency: float64 pairs of (the time that a request was due, seconds since 1970; seconds).
    """

    target: str
    user_ids: list[str]
    seconds: float
    callers: int = 0
    rate: float = 0.0
    page_size: int = 10
    channels: int = 4
    seed: int = 0
    samples: str = ""


@dataclass(frozen=True, slots=True)
class Load:
    """What one run saw. `cpu_seconds` is the generator's own."""

    answers: int
    seconds: float
    errors: dict[str, int]
    degraded: int
    latencies: Summary
    cpu_seconds: float

    @property
    def answers_per_second(self) -> float:
        """Good answers a second."""
        return self.answers / self.seconds

    @staticmethod
    def from_dict(raw: dict[str, object]) -> Load:
        """Reads what the process printed."""
        fields = dict(raw)
        fields["latencies"] = Summary(**fields["latencies"])  # type: ignore[arg-type]
        return Load(**fields)  # type: ignore[arg-type]


@dataclass(slots=True)
class _Tally:
    latencies: Latencies = field(default_factory=Latencies)
    answers: int = 0
    degraded: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    samples: array[float] = field(default_factory=lambda: array("d"))


async def run(job: Job) -> Load:
    """Runs the job in this process."""
    ended = asyncio.Event()
    if job.seconds:
        asyncio.get_running_loop().call_later(job.seconds, ended.set)
    else:
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(job.target, options=options) for _ in range(job.channels)]
    calls = [channel.unary_unary(_METHOD, request_serializer=None, response_deserializer=None) for channel in channels]
    # Requests are made and answers kept as bytes: the generator shares the cores with what it measures.
    payloads = [
        recommendation_pb2.RecommendRequest(user_id=user_id, page_size=job.page_size).SerializeToString()
        for user_id in job.user_ids
    ]
    rng = random.Random(job.seed)
    tally = _Tally()

    async def one(due: float) -> None:
        try:
            answer = await calls[rng.randrange(len(calls))](rng.choice(payloads), timeout=_TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError as error:
            name = error.code().name
            tally.errors[name] = tally.errors.get(name, 0) + 1
            return
        latency = time.perf_counter() - due
        tally.latencies.record(latency)
        if job.samples:
            tally.samples.extend((epoch + due, latency))
        tally.answers += 1
        # Every fiftieth answer is read: a degraded one must not pass for a good one.
        if tally.answers % 50 == 0 and recommendation_pb2.RecommendResponse.FromString(answer).degraded:
            tally.degraded += 1

    cpu = time.process_time()
    started = time.perf_counter()
    epoch = time.time() - started
    if job.callers:
        await _closed(job, one, ended)
    else:
        await _open(job, one, started, rng, ended)
    seconds = time.perf_counter() - started
    cpu_seconds = time.process_time() - cpu
    for channel in channels:
        await channel.close(None)
    if job.samples:
        await asyncio.to_thread(Path(job.samples).write_bytes, tally.samples.tobytes())
    return Load(tally.answers, seconds, tally.errors, tally.degraded, tally.latencies.summary(), cpu_seconds)


async def _closed(job: Job, one: _One, ended: asyncio.Event) -> None:
    async def caller() -> None:
        while not ended.is_set():
            await one(time.perf_counter())

    async with asyncio.TaskGroup() as group:
        for _ in range(job.callers):
            group.create_task(caller())


async def _open(job: Job, one: _One, started: float, rng: random.Random, ended: asyncio.Event) -> None:
    due = started
    outstanding: set[asyncio.Task[None]] = set()
    async with asyncio.TaskGroup() as group:
        while not ended.is_set() and len(outstanding) < _MAX_OUTSTANDING:
            due += rng.expovariate(job.rate)
            wait = due - time.perf_counter()
            # Sleeps shorter than the loop's own grain cost more than they keep: late by less than that is on time.
            if wait > 0.0005:
                await asyncio.sleep(wait)
            task = group.create_task(one(due))
            outstanding.add(task)
            task.add_done_callback(outstanding.discard)


def main() -> None:
    """Reads a job, runs it, prints what it saw."""
    job = Job(**json.loads(sys.stdin.readline()))
    load = uvloop.run(run(job))
    json.dump(asdict(load), sys.stdout)


if __name__ == "__main__":
    main()

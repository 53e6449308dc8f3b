"""Gathers requests into batches and sends them: one lane a model of a release, each with a bounded queue and few calls in
flight.

A batch is sent when the line is free, or enough requests wait, or the oldest has waited long enough. Requests that were
cancelled or whose deadline passed while they waited are left out.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recency_features.spec import RECOMMENDER
from recency_inference import errors as inference_errors
from recency_inference.client import Inference
from recency_server.counters import Counters
from recency_server.errors import Overloaded, TooLate, Unavailable
from recency_server.stacking import Row, fill

# A model that let this many calls in a row pass, each with a fair time, is asked again only now and then: a Triton that
# hangs must not cost every request its whole deadline.
_SILENT_CALLS = 3
_FAIR_SECONDS = 0.2
_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class BatchConfig:
    """send_at       a batch goes out when this many wait
    max_rows      the most in one batch (a bucket of the models)
    wait_seconds  or when the oldest has waited this long
    in_flight     calls of one model at a time
    queue         requests that may wait; more are refused
    own_counts    the most own-count entries of one user that are sent
    call_seconds  the longest that one call may take
    """

    send_at: int = 32
    max_rows: int = 64
    wait_seconds: float = 0.02
    in_flight: int = 2
    queue: int = 1_024
    own_counts: int = 1_024
    call_seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One request's part of a batch's answer: indices best first with their logits, or the logits of the named ids."""

    indices: npt.NDArray[np.int32] | None
    logits: npt.NDArray[np.float32]


@dataclass(slots=True, eq=False)
class Waiting:
    """A row that waits for its answer, and when it came and gives up (monotonic seconds)."""

    row: Row
    done: asyncio.Future[Answer]
    entered_seconds: float
    deadline_seconds: float


class Lane:
    """The queue of one model of one release."""

    def __init__(
        self, model: str, inference: Inference, tasks: asyncio.TaskGroup, counters: Counters, config: BatchConfig
    ) -> None:
        self._model = model
        self._inference = inference
        self._tasks = tasks
        self._counters = counters
        self._config = config
        self._waiting: deque[Waiting] = deque()
        self._in_flight = 0
        self._scheduled = False
        # Calls in a row that had their time and did not answer, and when one may be tried again.
        self._silent = 0
        self._retry_seconds = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """Requests that wait to be sent."""
        return len(self._waiting)

    async def ask(self, row: Row, within_seconds: float) -> Answer:
        """The model's answer for one request. Overloaded at once where the queue is full; TooLate when the time is over;
        Unavailable where the model cannot answer now."""
        if len(self._waiting) >= self._config.queue:
            self._counters.refused_rows += 1
            raise Overloaded(f"{self._config.queue} requests wait for the {self._model}; retry later, or add a gateway")
        loop = asyncio.get_running_loop()
        now = time.monotonic()
        if self._silent >= _SILENT_CALLS:
            if now < self._retry_seconds:
                raise Unavailable(f"the {self._model} did not answer the last {self._silent} calls")
            self._retry_seconds = now + _RETRY_SECONDS
        done: asyncio.Future[Answer] = loop.create_future()
        expiry = loop.call_later(within_seconds, _expire, done, self._model)
        self._waiting.append(Waiting(row, done, now, now + within_seconds))
        self._schedule()
        try:
            return await done
        finally:
            expiry.cancel()

    async def ask_as_trained(self, row: Row, within_seconds: float) -> Answer:
        """The same with trends as they were when the release was trained: a call of its own beside the queue, because a
        batch reads one overlay. For the few who want to be told why."""
        try:
            answer = await self._inference.infer(
                self._model,
                row.release.manifest.model_versions[self._model],
                {**fill(self._model, [row], self._config.own_counts), **row.release.as_trained()},
                ("logits",),
                min(within_seconds, self._config.call_seconds),
            )
        except inference_errors.InferenceError as error:
            raise _as_ours(error) from error
        return Answer(None, answer["logits"][0])

    def _schedule(self) -> None:
        # At the end of this turn of the loop, so that requests that arrived together go together.
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        self._scheduled = False
        config = self._config
        while self._waiting and self._in_flight < config.in_flight:
            waited = time.monotonic() - self._waiting[0].entered_seconds
            if self._in_flight and len(self._waiting) < config.send_at and waited < config.wait_seconds:
                self._wake_in(config.wait_seconds - waited)
                return
            batch = self._take()
            if batch:
                self._in_flight += 1
                self._tasks.create_task(self._send(batch))

    def _wake_in(self, seconds: float) -> None:
        if self._timer is None or self._timer.cancelled():
            self._timer = asyncio.get_running_loop().call_later(seconds, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._pump()

    def _take(self) -> list[Waiting]:
        """The next batch: those that still wait, in order of arrival.

        While another call may go beside this one, it is left its share: two batches keep two instances of the model busy.
        """
        config = self._config
        most = config.max_rows if self._in_flight + 1 >= config.in_flight else min(config.send_at, config.max_rows)
        batch: list[Waiting] = []
        while self._waiting and len(batch) < most:
            waiting = self._waiting.popleft()
            if waiting.done.done():
                self._counters.dropped_rows += 1
            else:
                batch.append(waiting)
        return batch

    async def _send(self, batch: list[Waiting]) -> None:
        rows = [waiting.row for waiting in batch]
        left = max(waiting.deadline_seconds for waiting in batch) - time.monotonic()
        try:
            answer = await self._inference.infer(
                self._model,
                rows[0].release.manifest.model_versions[self._model],
                fill(self._model, rows, self._config.own_counts),
                ("item_ids", "logits") if self._model == RECOMMENDER else ("logits",),
                min(max(left, 0.001), self._config.call_seconds),
            )
            self._silent = 0
            self._counters.batches += 1
            self._counters.rows += len(rows)
            _hand_out(batch, answer)
        except asyncio.CancelledError:
            _fail(batch, Unavailable("the gateway is stopping; ask another one"))
            raise
        except Exception as error:
            if isinstance(error, inference_errors.TooLate) and left >= _FAIR_SECONDS:
                self._silent += 1
            # Whatever it is, the requests that wait must learn of it: a bug raises there.
            _fail(batch, error)
        self._in_flight -= 1
        self._pump()


def _hand_out(batch: list[Waiting], answer: Mapping[str, npt.NDArray[Any]]) -> None:
    indices, logits = answer.get("item_ids"), answer["logits"]
    for b, waiting in enumerate(batch):
        if not waiting.done.done():
            waiting.done.set_result(Answer(None if indices is None else indices[b], logits[b]))


def _fail(batch: list[Waiting], error: Exception) -> None:
    for waiting in batch:
        if not waiting.done.done():
            waiting.done.set_exception(_as_ours(error))


def _as_ours(error: Exception) -> Exception:
    """What an error of the inference client means here. Tensors that the model refuses are a bug and stay one."""
    match error:
        case inference_errors.BadRequest():
            return error
        case inference_errors.TooLate():
            return TooLate(str(error))
        case inference_errors.Overloaded():
            return Overloaded(str(error))
        case inference_errors.InferenceError():
            return Unavailable(str(error))
        case _:
            return error


def _expire(done: asyncio.Future[Answer], model: str) -> None:
    if not done.done():
        done.set_exception(TooLate(f"the {model} did not answer in time"))

"""From a service's methods to gRPC handlers: deadline, admission, status, measurement and drain, once for every method.

A method here takes a request and a Deadline and answers a response or raises. It is wrapped once, when the server is
made, which costs a call less than an interceptor does (docs/decisions/0050). A method of the proto that a service does
not have answers UNIMPLEMENTED with what to do instead, so that the list is complete by construction.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import grpc
from google.protobuf import descriptor, message, message_factory

from recency_server.admission import Admission
from recency_server.conversation import Exchange, Newest
from recency_server.errors import NotBuilt, Unavailable
from recency_server.logs import RequestLog
from recency_server.messages import all_readable, readable, reader
from recency_server.metrics import MethodStats
from recency_server.query import Deadline
from recency_server.status import Refusal, refusal_of

Method = Callable[[Any, Deadline], Awaitable[message.Message]]
Source = Callable[[Any], AsyncIterator[message.Message]]
_CLOSING = "this gateway is closing and did nothing; send it again, to another one or a moment later"

Handler = Callable[[Any, "grpc.aio.ServicerContext[Any, Any]"], Any]


@dataclass(frozen=True, slots=True)
class Terms:
    """How calls of a method run: which places they take, and how long they may when the caller gives no deadline."""

    admission: Admission
    default_seconds: float


class Service(Protocol):
    """One service: `implemented` by the proto's method names, and what to do instead of the others."""

    descriptor: descriptor.ServiceDescriptor
    later: Mapping[str, str]

    def implemented(self) -> Mapping[str, tuple[Method | Source | Newest, Terms]]:
        """The methods that this version has."""
        ...


class Calls:
    """Wraps methods, and knows how many calls are running."""

    def __init__(self, log: RequestLog, new_id: Callable[[], str]) -> None:
        self._log = log
        self._new_id = new_id
        self._busy = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.draining = False
        # Of the streams that go on until somebody has enough.
        self._limits: set[asyncio.Timeout] = set()
        # Of those that answer as long as the caller speaks.
        self._exchanges: set[Exchange] = set()
        self.stats: list[MethodStats] = []

    def close(self) -> None:
        """From now on every new call, and every further chunk of a stream, is UNAVAILABLE: callers go elsewhere.
        Streams that only give end now."""
        self.draining = True
        for limit in self._limits:
            limit.reschedule(0.0)
        for exchange in self._exchanges:
            exchange.end(Unavailable(_CLOSING))

    async def idle(self, seconds: float) -> bool:
        """Waits until nothing runs; whether that was in time."""
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def handlers(self, services: Iterable[Service]) -> list[grpc.GenericRpcHandler[Any, Any]]:
        """The generic handlers of services, one each."""
        return [
            grpc.method_handlers_generic_handler(
                service.descriptor.full_name,
                {method.name: self._handler(service, method) for method in service.descriptor.methods},
            )
            for service in services
        ]

    def _handler(self, service: Service, method: descriptor.MethodDescriptor) -> grpc.RpcMethodHandler[Any, Any]:
        implemented = service.implemented().get(method.name)
        # By the proto a unary method or one that reads chunks is a Method, one that only gives a stream a Source.
        target: Any = implemented[0] if implemented is not None else None
        stats = MethodStats(f"{service.descriptor.name}/{method.name}")
        self.stats.append(stats)
        takes_stream, gives_stream = method.client_streaming, method.server_streaming
        handler: Handler
        if implemented is None:
            handler = self._missing(method.name, service.later[method.name], stats, gives_stream)
        elif isinstance(target, Newest):
            handler = self._exchange(target, implemented[1], stats)
        elif takes_stream:
            handler = self._chunks(target, implemented[1], stats)
        elif gives_stream:
            handler = self._source(target, implemented[1], stats)
        else:
            handler = self._unary(target, implemented[1], stats)
        make = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[takes_stream, gives_stream]
        # A request type is known by the pool that its descriptor came from, never imported here.
        request_type = message_factory.GetMessageClass(method.input_type)
        response_type = message_factory.GetMessageClass(method.output_type)
        return make(
            handler,
            request_deserializer=reader(request_type),
            response_serializer=response_type.SerializeToString,
        )

    def _unary(self, method: Method, terms: Terms, stats: MethodStats) -> Handler:
        """A request in, an answer out."""
        admission, default_seconds = terms.admission, terms.default_seconds

        async def handle(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> message.Message:
            started = time.perf_counter()
            remaining = context.time_remaining()
            deadline = Deadline.after(default_seconds if remaining is None else remaining)
            self._begin()
            try:
                if self.draining:
                    raise Unavailable(_CLOSING)
                with admission:
                    response = await method(readable(request), deadline)
            except BaseException as error:
                refusal = self._failed(error, stats, started)
                if isinstance(error, asyncio.CancelledError):
                    raise
                await _abort(context, refusal)
            finally:
                self._end()
            self._done(stats, started)
            return response

        return handle

    def _chunks(self, method: Method, terms: Terms, stats: MethodStats) -> Handler:
        """A stream of chunks in, one acknowledgement for each out, in their order. The next chunk is read when the last
        one is acknowledged, so that a stream never holds more than one: HTTP/2 slows the sender down."""

        async def handle(
            requests: AsyncIterator[Any], context: grpc.aio.ServicerContext[Any, Any]
        ) -> AsyncIterator[message.Message]:
            started = time.perf_counter()
            try:
                with terms.admission:
                    async for request in requests:
                        started = time.perf_counter()
                        self._begin()
                        try:
                            if self.draining:
                                raise Unavailable(_CLOSING)
                            yield await method(readable(request), Deadline.after(terms.default_seconds))
                        finally:
                            self._end()
                        self._done(stats, started)
            except GeneratorExit:
                raise
            except BaseException as error:
                refusal = self._failed(error, stats, started)
                if isinstance(error, asyncio.CancelledError):
                    raise
                await _abort(context, refusal)

        return handle

    def _source(self, source: Source, terms: Terms, stats: MethodStats) -> Handler:
        """A request in, messages out until the caller has enough. An open stream is idle: it does not hold a drain up."""

        async def handle(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[message.Message]:
            started = time.perf_counter()
            try:
                if self.draining:
                    raise Unavailable(_CLOSING)
                with terms.admission:
                    async with asyncio.timeout(None) as limit:
                        self._limits.add(limit)
                        try:
                            async for response in source(readable(request)):
                                yield response
                        finally:
                            self._limits.discard(limit)
            except GeneratorExit:
                raise
            except TimeoutError:
                await _abort(context, self._failed(Unavailable(_CLOSING), stats, started))
            except BaseException as error:
                if isinstance(error, asyncio.CancelledError):
                    # How every watch ends; its length is the caller's choice, and no latency.
                    stats.note(grpc.StatusCode.CANCELLED, 0.0)
                    raise
                await _abort(context, self._failed(error, stats, started))

        return handle

    def _exchange(self, method: Newest, terms: Terms, stats: MethodStats) -> Handler:
        """A stream both ways, answered as newest wins. An open one that has nothing to do does not hold a drain up."""

        async def handle(requests: AsyncIterator[Any], context: grpc.aio.ServicerContext[Any, Any]) -> None:
            async def write(response: message.Message, started: float) -> None:
                await context.write(response)
                self._done(stats, started)

            try:
                if self.draining:
                    raise Unavailable(_CLOSING)
                with terms.admission:
                    exchange = Exchange(method.begin(context.time_remaining), self._working)
                    self._exchanges.add(exchange)
                    try:
                        await exchange.run(all_readable(requests), write)
                    finally:
                        self._exchanges.discard(exchange)
            except BaseException as error:
                refusal = self._failed(error, stats, time.perf_counter())
                if isinstance(error, asyncio.CancelledError):
                    raise
                await _abort(context, refusal)

        return handle

    def _missing(self, name: str, instead: str, stats: MethodStats, gives_stream: bool) -> Handler:
        """A method of a later version."""

        async def handle(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> NoReturn:
            refusal = self._failed(NotBuilt(f"{name} is not implemented yet; {instead}"), stats, time.perf_counter())
            await _abort(context, refusal)

        async def handle_stream(
            request: Any, context: grpc.aio.ServicerContext[Any, Any]
        ) -> AsyncIterator[message.Message]:
            await handle(request, context)
            yield  # never reached; it makes this an asynchronous generator

        return handle_stream if gives_stream else handle

    @contextmanager
    def _working(self) -> Iterator[None]:
        self._begin()
        try:
            yield
        finally:
            self._end()

    def _begin(self) -> None:
        self._busy += 1
        self._idle.clear()

    def _end(self) -> None:
        self._busy -= 1
        if not self._busy:
            self._idle.set()

    def _done(self, stats: MethodStats, started: float) -> None:
        seconds = time.perf_counter() - started
        stats.note(grpc.StatusCode.OK, seconds)
        self._log.finished(stats.method, seconds)

    def _failed(self, error: BaseException, stats: MethodStats, started: float) -> Refusal:
        seconds = time.perf_counter() - started
        refusal = refusal_of(error, stats.method, self._new_id)
        stats.note(refusal.code, seconds)
        self._log.failed(stats.method, refusal.code.name, seconds)
        return refusal


async def _abort(context: grpc.aio.ServicerContext[Any, Any], refusal: Refusal) -> NoReturn:
    await context.abort(refusal.code, refusal.message, refusal.trailing)
    raise AssertionError("abort returned")

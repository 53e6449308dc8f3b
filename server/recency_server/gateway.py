"""A gateway: assembled, started, drained.

async with inference, parts:             what answers need
    http side, gRPC server               what callers reach
    until `stop` is set
    drain: NOT_SERVING, new calls refused, running calls to their end, then closed
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import structlog
from grpc_channelz.v1 import channelz
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from recency_inference.client import Inference
from recency_server.admission import Admission
from recency_server.calls import Calls, Service, Terms
from recency_server.config import Bound, GatewayConfig
from recency_server.errors import AddressTaken
from recency_server.http import http_side
from recency_server.logs import RequestLog
from recency_server.metrics import GatewayCollector
from recency_server.parts import Parts, open_parts
from recency_server.query import Clock
from recency_server.services.catalog import CatalogService
from recency_server.services.recommendation import RecommendationService
from recency_server.services.release import ReleaseService
from recency_server.services.user import UserService
from recency_store.errors import StoreError
from recency_store.protocol import Store

# How long new calls are answered UNAVAILABLE before the server stops, so that no caller is cut off unanswered.
_REFUSING_SECONDS = 0.1
# How long a finished answer may take to leave once everything else is closed.
_LAST_BYTES_SECONDS = 0.25
_LARGEST_ANSWER_BYTES = 64 * 1024 * 1024

_log = structlog.get_logger("recency.server")


async def serve(
    config: GatewayConfig,
    store: Store,
    clock: Clock,
    *,
    stop: asyncio.Event,
    ready: Callable[[Bound], None] | None = None,
) -> None:
    """Serves until `stop` is set, then drains. `ready` is called once, with the ports, when calls are taken: that needs
    neither a release nor Triton. The caller owns the store. AddressTaken where it cannot listen."""
    async with (
        Inference(config.triton_address) as inference,
        open_parts(config.recommend, store, inference, clock) as parts,
    ):
        await _serve_parts(config, parts, stop, ready)


async def _serve_parts(
    config: GatewayConfig, parts: Parts, stop: asyncio.Event, ready: Callable[[Bound], None] | None
) -> None:
    request_log = RequestLog(config.log_one_in, config.slow_seconds)
    calls = Calls(request_log, parts.new_id)
    admissions = [
        Admission("recommend", config.recommend_calls),
        Admission("write", config.write_calls),
        Admission("read", config.read_calls),
        Admission("stream", config.stream_calls),
    ]
    services = _services(config, parts, request_log, admissions)
    handlers = calls.handlers(services)

    def unready() -> str:
        return "draining" if calls.draining else _store_trouble(parts.store)

    def facts() -> dict[str, object]:
        live, refused = parts.releases.live, parts.releases.refusals.reasons
        return {
            "release": live.number if live is not None else 0,
            "reason": parts.releases.reason,
            "refused_releases": {str(number): reason for number, reason in refused.items()},
        }

    collector = GatewayCollector(parts, calls.stats, admissions)
    async with (
        http_side(config.http_address, collector, unready, facts, parts.rules.facts) as http_port,
        _grpc_side(config, calls, services, handlers) as grpc_port,
    ):
        _log.info("serving", grpc_port=grpc_port, http_port=http_port, gateway=parts.config.gateway_id)
        if ready is not None:
            ready(Bound(grpc_port, http_port))
        await stop.wait()


def _services(
    config: GatewayConfig, parts: Parts, request_log: RequestLog, admissions: Sequence[Admission]
) -> list[Service]:
    """The services of the API, each with the terms of its methods."""
    recommends, writes, reads, streams = (
        Terms(admission, config.recommend_seconds if admission.kind == "recommend" else config.bulk_seconds)
        for admission in admissions
    )
    return [
        RecommendationService(parts, request_log, recommends=recommends, writes=writes, streams=streams),
        CatalogService(parts, reads=reads, writes=writes, streams=streams),
        UserService(parts, reads=reads, writes=writes, streams=streams),
        ReleaseService(parts, reads=reads, writes=writes, streams=streams),
    ]


@asynccontextmanager
async def _grpc_side(
    config: GatewayConfig,
    calls: Calls,
    services: Sequence[Service],
    handlers: Sequence[grpc.GenericRpcHandler[Any, Any]],
) -> AsyncIterator[int]:
    """The gRPC server with health, reflection and channelz; leaving drains it. Gives the port."""
    server = grpc.aio.server(
        options=[
            # Two gateways on one port would each get some of the calls, and nobody would be told.
            ("grpc.so_reuseport", 0),
            ("grpc.enable_channelz", 1),
            ("grpc.max_receive_message_length", config.request_bytes),
            ("grpc.max_send_message_length", _LARGEST_ANSWER_BYTES),
        ],
        maximum_concurrent_rpcs=config.rpcs,
    )
    server.add_generic_rpc_handlers(tuple(handlers))
    names = [service.descriptor.full_name for service in services]
    servicer = health.aio.HealthServicer()  # type: ignore[attr-defined]
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    for name in names:
        await servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    channelz.add_channelz_servicer(server)  # type: ignore[arg-type]
    reflection.enable_server_reflection(
        (*names, health.SERVICE_NAME, reflection.SERVICE_NAME, "grpc.channelz.v1.Channelz"), server
    )
    try:
        port = server.add_insecure_port(config.grpc_address)
    except RuntimeError as error:
        raise AddressTaken(
            f"cannot listen on {config.grpc_address} for gRPC; stop what listens there, or set another grpc_address"
        ) from error
    await server.start()
    try:
        yield port
    finally:
        await _drain(config, server, servicer, calls)


async def _drain(config: GatewayConfig, server: grpc.aio.Server, servicer: Any, calls: Calls) -> None:
    """NOT_SERVING first, so that load balancers turn away; then new calls are refused; then what runs gets its time."""
    _log.info("draining", seconds=config.drain_seconds)
    await servicer.enter_graceful_shutdown()
    await asyncio.sleep(config.drain_notice_seconds)
    calls.close()
    # A call that waits to be read when the server stops would be CANCELLED, which no client retries by itself.
    await asyncio.sleep(_REFUSING_SECONDS)
    async with asyncio.TaskGroup() as tasks:
        # Takes no more connections and calls. It would also wait for streams that are open and idle (health watchers,
        # bulk loads between two chunks), so the second stop ends those as soon as no work is running.
        tasks.create_task(server.stop(config.drain_seconds))
        ended = await calls.idle(config.drain_seconds)
        await server.stop(_LAST_BYTES_SECONDS)
    _log.info("drained", everything_ended=ended)


def _store_trouble(store: Store) -> str:
    try:
        store.last_sequence()
    except StoreError as error:
        return f"the store does not answer: {error}"
    return ""

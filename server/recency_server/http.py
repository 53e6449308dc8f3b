"""The gateway's HTTP side: metrics for Prometheus, whether it lives and takes calls, which business rules are in force."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from recency_server.errors import AddressTaken
from recency_server.metrics import metrics_text

# What keeps a gateway from taking calls; empty where it takes them.
Readiness = Callable[[], str]
# What it answers with, for whoever reads: it takes calls with any release, and with none.
Facts = Callable[[], Mapping[str, Any]]


@asynccontextmanager
async def http_side(
    address: str, collector: Collector, unready: Readiness, facts: Facts, policy: Facts
) -> AsyncIterator[int]:
    """Serves while entered; gives the port."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=metrics_text(collector), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def readyz(_: web.Request) -> web.Response:
        reason = unready()
        if reason:
            return web.json_response({"status": "not ready", "reason": reason}, status=503)
        return web.json_response({"status": "ready", **facts()})

    async def rules(_: web.Request) -> web.Response:
        return web.json_response(policy())

    app = web.Application(client_max_size=1024)
    app.add_routes([web.get("/metrics", metrics), web.get("/healthz", healthz), web.get("/readyz", readyz)])
    app.add_routes([web.get("/policy", rules)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        host, _, port = address.rpartition(":")
        try:
            await web.TCPSite(runner, host.strip("[]"), int(port)).start()
        except OSError as error:
            raise AddressTaken(
                f"cannot listen on {address} for HTTP ({error.strerror or error}); stop what listens there, or set "
                "another http_address"
            ) from error
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()

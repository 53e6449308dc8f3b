"""`recency serve` (the gateway) and `recency triton` (the local Triton with its agent): one process each, until a signal."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recency_cli.context import Json, now_micros, opened_store, settings_of

if TYPE_CHECKING:
    from recency_inference.run import Running
    from recency_server.config import Bound

# Given by `recency up`: the process ends when whoever holds the other end of its standard input is gone.
UntilStdinCloses = Annotated[bool, typer.Option("--until-stdin-closes", hidden=True)]


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("serve", epilog="Example: recency serve --address 0.0.0.0:50051 --triton 127.0.0.1:8001")(serve)
    app.command("triton", epilog="Example: recency triton --grpc-port 9001")(triton)


def serve(
    context: typer.Context,
    address: Annotated[str | None, typer.Option(help="Where the API listens (gateway.grpc_address).")] = None,
    http_address: Annotated[str | None, typer.Option(help="Where /metrics listens (gateway.http_address).")] = None,
    triton: Annotated[str | None, typer.Option(help="Triton's gRPC port (gateway.triton_address).")] = None,
    json: Json = False,
    until_stdin_closes: UntilStdinCloses = False,
) -> None:
    """Run the gateway until Ctrl-C or SIGTERM; then it answers what it has begun and ends. It serves from the first
    moment, degraded until Triton and a release are there."""
    import uvloop

    from recency_server.gateway import serve as run
    from recency_server.logs import configure_logging

    settings = settings_of(
        context,
        {"gateway.grpc_address": address, "gateway.http_address": http_address, "gateway.triton_address": triton},
    )
    config = settings.gateway()
    configure_logging(config.log_level)

    def ready(bound: Bound) -> None:
        host = config.grpc_address.rpartition(":")[0]
        http_host = config.http_address.rpartition(":")[0]
        _calm_the_collector()
        _announce(json, {"address": f"{host}:{bound.grpc_port}", "http": f"{http_host}:{bound.http_port}"}, "gateway")

    async def until_stopped() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        if until_stdin_closes:
            end_when_stdin_closes(lambda: loop.call_soon_threadsafe(stop.set))
        with opened_store(settings) as store:
            await run(config, store, now_micros, stop=stop, ready=ready)

    uvloop.run(until_stopped())


def _calm_the_collector() -> None:
    """What is there when serving begins stays, and an answer leaves few cycles behind: looking for cycles every 700 objects,
    through everything that was ever imported, took a tenth of the gateway's time (docs/decisions/0004)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def triton(
    context: typer.Context,
    grpc_port: Annotated[int | None, typer.Option(help="Its gRPC port, 0 for a free one (triton.grpc_port).")] = None,
    http_port: Annotated[int | None, typer.Option(help="Its HTTP port (triton.http_port).")] = None,
    metrics_port: Annotated[int | None, typer.Option(help="Its metrics port (triton.metrics_port).")] = None,
    attach: Annotated[
        str | None,
        typer.Option(help="Run the agent alone, for a Triton at this gRPC address that someone else started."),
    ] = None,
    repository: Annotated[
        Path | None,
        typer.Option(help="With --attach: the model repository that Triton reads (default: <data>/triton/repository)."),
    ] = None,
    json: Json = False,
    until_stdin_closes: UntilStdinCloses = False,
) -> None:
    """Run a local Triton with its agent, which loads what the releases ask for, until Ctrl-C or SIGTERM."""
    from recency_cli.errors import UsageError
    from recency_inference.attach import attach_triton
    from recency_inference.run import run_triton
    from recency_server.logs import configure_logging

    settings = settings_of(
        context, {"triton.grpc_port": grpc_port, "triton.http_port": http_port, "triton.metrics_port": metrics_port}
    )
    configure_logging()
    config = settings.triton()
    if repository is not None and attach is None:
        raise UsageError("--repository is what an attached Triton reads: name that Triton with --attach HOST:PORT")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if until_stdin_closes:
        end_when_stdin_closes(stop.set)

    def ready(running: Running) -> None:
        ports = {"http_port": running.http_port, "metrics_port": running.metrics_port, "pid": running.pid}
        known = {name: number for name, number in ports.items() if number}
        _announce(json, {"address": running.target, **known, "agent_port": running.agent_port}, "Triton")

    with opened_store(settings) as store:
        if attach is None:
            run_triton(config, store, settings.releases, stop, ready, now_micros)
        else:
            place = repository or config.repository
            attach_triton(attach, config, place, store, settings.releases, stop, ready, now_micros)


def _announce(as_json: bool, facts: dict[str, Any], name: str) -> None:
    from recency_cli.screen import print_json

    if as_json:
        print_json({"ready": True, **facts})
    else:
        rest = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in facts.items() if key != "address")
        print(f"{name} ready on {facts['address']} ({rest}); Ctrl-C ends it", flush=True)


def end_when_stdin_closes(then: Callable[[], object]) -> None:
    """Calls `then` when whoever holds the other end of our standard input is gone."""

    def wait() -> None:
        # Unbuffered: an interpreter that ends while a thread is inside the buffer's lock aborts.
        while os.read(sys.stdin.fileno(), 4_096):
            pass
        then()

    threading.Thread(target=wait, daemon=True).start()

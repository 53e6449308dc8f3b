"""`recency export online`: the item learner, a process beside the gateway that steps back for it."""

from __future__ import annotations

import os
import signal
import socket
import threading
from typing import Annotated

import typer

from recency_cli.context import Json, now_micros, opened_store, settings_of
from recency_cli.serving import UntilStdinCloses, end_when_stdin_closes


def add_to(app: typer.Typer) -> None:
    """Adds the command to the group `export`."""
    app.command("online", epilog="Example: recency export online     (`recency up` runs one by itself)")(online)


def online(
    context: typer.Context,
    triton: Annotated[str | None, typer.Option(help="Triton's gRPC port (gateway.triton_address).")] = None,
    json: Json = False,
    until_stdin_closes: UntilStdinCloses = False,
) -> None:
    """Run the item learner until Ctrl-C or SIGTERM: it follows the log and moves items' vectors, without a release. One
    works at a time, on however many machines; others stand by. Killed, the next one goes on from where it was."""
    from recency_cli.screen import print_json
    from recency_export.online import Learner
    from recency_inference.artifacts import ReleaseCache
    from recency_inference.client import BlockingInference
    from recency_server.logs import configure_logging

    settings = settings_of(context, {"gateway.triton_address": triton})
    gateway, config = settings.gateway(), settings.learner()
    configure_logging(gateway.log_level)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if until_stdin_closes:
        end_when_stdin_closes(stop.set)
    if config.nice:
        os.nice(config.nice)
    with opened_store(settings) as store, BlockingInference(gateway.triton_address) as inference:
        holder = f"{socket.gethostname()}-{os.getpid()}-{now_micros()}"
        cache = ReleaseCache(gateway.recommend.releases.cache)
        learner = Learner(store, inference, cache, config, now_micros, holder)
        if json:
            print_json({"ready": True, "address": gateway.triton_address, "pid": os.getpid()})
        else:
            print(f"learning with the models of {gateway.triton_address}; Ctrl-C ends it", flush=True)
        learner.run(stop)

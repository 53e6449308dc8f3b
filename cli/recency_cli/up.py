"""`recency up`: Triton and gateway in one terminal, with MovieLens to begin with where there is nothing yet."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from recency_cli.context import Json, opened_store, settings_of

if TYPE_CHECKING:
    from recency_cli.config import Settings
    from recency_cli.stack import Addresses


# How the ids of MovieLens' events begin.
MOVIELENS_EVENT = "ml100k-"


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("up", epilog="Example: recency up     (then: recency recommend 1)")(up)


def up(
    context: typer.Context,
    movielens: Annotated[
        bool, typer.Option(help="Where the store is empty, import MovieLens 100K and train the first release.")
    ] = True,
    free_ports: Annotated[
        bool, typer.Option("--free-ports", help="Any free ports instead of the configured ones.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Make releases as feedback comes in, too: `recency export watch` beside it.")
    ] = False,
    json: Json = False,
) -> None:
    """Run Triton, the gateway and the item learner until Ctrl-C or SIGTERM ends them. One that dies is started again."""
    settings = settings_of(context)
    _first_release(settings, movielens, json)
    asyncio.run(_until_stopped(settings, options_of(settings), free_ports, watch, json))


def _first_release(settings: Settings, movielens: bool, as_json: bool) -> None:
    """Makes the first release where nothing is there yet, or goes on with one that was interrupted."""
    from recency_cli.exporting import bootstrap_with_bars
    from recency_cli.screen import console

    with opened_store(settings) as store:
        if store.active_release() is not None:
            return
        first = store.read_log(0, 1)
        ours = any(event.event_id.startswith(MOVIELENS_EVENT) for event in first)
        empty = not first and store.count_items() == 0
    if movielens and (empty or ours):
        bootstrap_with_bars(settings, movielens=True, shown=not as_json)
    else:
        console(stderr=True).print("no release yet: make one with recency export bootstrap; it is served at once")


def options_of(settings: Settings) -> list[str]:
    """The options before a command that give a child process these settings; the environment it inherits."""
    options = ["--data", str(settings.data.resolve())]
    return options if settings.file is None else ["--config", str(settings.file), *options]


async def _until_stopped(settings: Settings, options: list[str], free_ports: bool, watch: bool, as_json: bool) -> None:
    from recency_cli.screen import console
    from recency_cli.stack import running_stack

    screen = console(stderr=True)
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    screen.print("starting Triton and the gateway …")
    async with running_stack(settings, options, screen.print, free_ports=free_ports, watch=watch) as addresses:
        _tell(addresses, settings, as_json)
        await stop.wait()
        screen.print("ending …")


def _tell(addresses: Addresses, settings: Settings, as_json: bool) -> None:
    from recency_cli.screen import console, print_json

    if as_json:
        print_json({"ready": True, "address": addresses.gateway, "http": addresses.http, "triton": addresses.triton})
        return
    elsewhere = "" if addresses.gateway == settings.gateway().grpc_address else f" --address {addresses.gateway}"
    console().print(
        f"[bold green]ready[/]  gRPC {addresses.gateway} · metrics http://{addresses.http}/metrics · "
        f"Triton {addresses.triton}\n"
        f"       data {settings.data} · logs {settings.logs} · Ctrl-C ends both\n"
        f"       try: recency recommend 1{elsewhere}"
    )

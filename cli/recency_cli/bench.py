"""`recency bench freshness|load|options`: the project's figures, over real processes."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated

import typer

from recency_cli import bench_export, bench_ope, bench_quality
from recency_cli.context import Json, opened_store, settings_of

app = typer.Typer(no_args_is_help=True, help="Measure: how fresh, how fast, how good.")
bench_quality.add_to(app)
bench_export.add_to(app)
bench_ope.add_to(app)

Address = Annotated[str | None, typer.Option(help="The gateway (default: gateway.grpc_address).")]
TritonTarget = Annotated[str | None, typer.Option("--triton", help="Its Triton (default: gateway.triton_address).")]


@app.command("freshness", epilog="Example: recency bench freshness --rounds 200     (with `recency up` running)")
def freshness(
    context: typer.Context,
    rounds: Annotated[int, typer.Option(min=1, max=100_000, help="How often each figure is taken.")] = 100,
    address: Address = None,
    swaps: Annotated[
        int,
        typer.Option(min=0, max=10_000, help="Instead: so many releases that take over under load, in a copied stack."),
    ] = 0,
    rate: Annotated[
        float | None, typer.Option(min=1, help="With --swaps: requests a second (default: 40 % of the capacity).")
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=1, max=600, help="With --swaps: how long the load is measured before.")
    ] = 10.0,
    json: Json = False,
) -> None:
    """How long until a click, a new item, a hide and a delete show in answers of the running stack; or, with --swaps, what
    callers notice of new releases."""
    if swaps:
        from recency_cli.bench_swaps import run_swaps

        run_swaps(settings_of(context), swaps, rate, seconds, json)
        return
    from recency_bench.freshness import freshness as run
    from recency_cli.bench_tables import freshness_tables
    from recency_cli.screen import bars, console, print_json

    settings = settings_of(context)
    target = address or settings.gateway().grpc_address
    with bars(shown=not json) as progress:
        progress.started("rounds")
        result = asyncio.run(run(target, rounds=rounds, advance=lambda done: progress.advanced("rounds", done, rounds)))
    if json:
        print_json(result.to_dict())
        return
    for table in freshness_tables(result):
        console().print(table)


@app.command("load", epilog="Example: recency bench load --seconds 5     (with `recency up` running on this machine)")
def load(
    context: typer.Context,
    seconds: Annotated[float, typer.Option(min=0.5, max=600, help="How long each step lasts.")] = 5.0,
    address: Address = None,
    triton: TritonTarget = None,
    json: Json = False,
) -> None:
    """What the running stack can take and what an answer costs, beside onnxruntime run directly on the same graph."""
    from recency_bench.load import load as run
    from recency_bench.load import sample_users
    from recency_cli.bench_tables import load_tables
    from recency_cli.errors import NotReady
    from recency_cli.screen import console, print_json
    from recency_inference.artifacts import ReleaseCache

    settings = settings_of(context)
    gateway = settings.gateway()
    with opened_store(settings) as store:
        active = store.active_release()
        users = sample_users(store)
    if active is None:
        raise NotReady("no release is active; make the first one with: recency export bootstrap")
    said = console(stderr=True)
    with ReleaseCache(settings.fetched).hold(active.url) as folder:
        result = run(
            address or gateway.grpc_address,
            triton or gateway.triton_address,
            folder,
            users,
            seconds=seconds,
            cores=os.cpu_count() or 1,
            advance=lambda what: said.print(f"  {what} …"),
        )
    if json:
        print_json(result.to_dict())
        return
    for table in load_tables(result):
        console().print(table)


@app.command("options", epilog="Example: recency bench options --rounds 200     (with `recency up` running)")
def options(
    context: typer.Context,
    rounds: Annotated[int, typer.Option(min=1, max=100_000, help="How often each kind of request is asked.")] = 200,
    address: Address = None,
    json: Json = False,
) -> None:
    """What a request's options cost on the running stack: every option but `explain` and `query` at once, and those two
    alone, beside the plain request, in turn and by the same users."""
    from recency_bench.load import sample_users
    from recency_bench.options import options as run
    from recency_cli.bench_tables import options_tables
    from recency_cli.screen import bars, console, print_json

    settings = settings_of(context)
    with opened_store(settings) as store:
        users = sample_users(store)
    target = address or settings.gateway().grpc_address
    with bars(shown=not json) as progress:
        progress.started("rounds")
        result = asyncio.run(
            run(target, users, rounds=rounds, advance=lambda done: progress.advanced("rounds", done, rounds))
        )
    if json:
        print_json(result.to_dict())
        return
    for table in options_tables(result):
        console().print(table)

"""`recency bench freshness|load|quality`: the project's figures, over real processes."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recency_cli.context import Json, now_micros, opened_store, settings_of

if TYPE_CHECKING:
    from recency_bench.split import Split
    from recency_cli.config import Settings

app = typer.Typer(no_args_is_help=True, help="Measure: how fresh, how fast, how good.")

Address = Annotated[str | None, typer.Option(help="The gateway (default: gateway.grpc_address).")]
TritonTarget = Annotated[str | None, typer.Option("--triton", help="Its Triton (default: gateway.triton_address).")]


@app.command("freshness", epilog="Example: recency bench freshness --rounds 200     (with `recency up` running)")
def freshness(
    context: typer.Context,
    rounds: Annotated[int, typer.Option(min=1, max=100_000, help="How often each figure is taken.")] = 100,
    address: Address = None,
    json: Json = False,
) -> None:
    """How long until a click, a new item, a hide and a delete show in answers of the running stack."""
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

    settings = settings_of(context)
    gateway = settings.gateway()
    with opened_store(settings) as store:
        active = store.active_release()
        users = sample_users(store)
    if active is None:
        raise NotReady("no release is active; make the first one with: recency export bootstrap")
    said = console(stderr=True)
    result = run(
        address or gateway.grpc_address,
        triton or gateway.triton_address,
        Path(active.url.removeprefix("file://")),
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


@app.command("quality", epilog="Example: recency bench quality --movielens --seeds 2")
def quality(
    context: typer.Context,
    movielens: Annotated[
        bool, typer.Option("--movielens", help="On MovieLens 100K, instead of what the store holds.")
    ] = False,
    path: Annotated[Path | None, typer.Option(help="MovieLens' folder (default: .cache/ml-100k).")] = None,
    seeds: Annotated[int, typer.Option(min=1, max=20, help="Trainings, each with a seed of its own.")] = 2,
    max_cases: Annotated[int, typer.Option(min=1, help="Users that are tested at most.")] = 5_000,
    json: Json = False,
) -> None:
    """Leave-one-out through a served pipeline of its own, beside session-EASE, EASE and popularity on the same split."""
    from recency_bench.quality_run import quality as run
    from recency_cli.bench_tables import quality_tables
    from recency_cli.errors import NotReady
    from recency_cli.screen import bars, console, print_json
    from recency_server.logs import configure_logging

    configure_logging("error")
    settings = settings_of(context)
    split = _split(settings, movielens, path, max_cases)
    if not split.test:
        raise NotReady("no user has two events to learn from and be tested on; import events, or use --movielens")
    with tempfile.TemporaryDirectory(prefix="recency-quality-") as work, bars(shown=not json) as progress:
        result = asyncio.run(
            run(
                split,
                Path(work),
                seeds=seeds,
                export=settings.export(),
                triton=settings.triton(),
                gateway=settings.gateway(),
                report=progress,
                advance=lambda seed, done: progress.advanced(f"replay, seed {seed}", done, len(split.test)),
            )
        )
    if json:
        print_json(result.to_dict())
        return
    for table in quality_tables(result):
        console().print(table)


def _split(settings: Settings, movielens: bool, path: Path | None, max_cases: int) -> Split:
    """The split of MovieLens, or of what the store holds."""
    from recency_bench.split import leave_one_out

    if not movielens:
        with opened_store(settings) as store:
            return leave_one_out(store, max_cases=max_cases)
    from recency_cli.exporting import movielens_folder
    from recency_export.movielens import import_movielens
    from recency_store.memory import MemoryStore

    source = MemoryStore()
    import_movielens(source, path or movielens_folder(), now_micros(), shift_to=None)
    return leave_one_out(source, max_cases=max_cases)

"""`recency bench quality`: leave-one-out, and what time does to it: prequential, staleness."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from recency_cli.context import Json, now_micros, opened_store, settings_of

if TYPE_CHECKING:
    from recency_bench.prequential import Plan
    from recency_bench.split import Split
    from recency_bench.stretch import Stretch
    from recency_bench.teaching import Stack
    from recency_cli.config import Settings
    from recency_store.protocol import Store

_LEARNED_SECONDS = 0.02
_EXAMPLES = ("recency bench quality --movielens --seeds 2", "recency bench quality --movielens --ways --max-cases 300")
_T = TypeVar("_T")


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("quality", epilog="\n\n".join(f"Example: {one}" for one in _EXAMPLES))(quality)


def quality(
    context: typer.Context,
    movielens: Annotated[
        bool, typer.Option("--movielens", help="On MovieLens 100K, instead of what the store holds.")
    ] = False,
    path: Annotated[Path | None, typer.Option(help="MovieLens' folder (default: .cache/ml-100k).")] = None,
    prequential: Annotated[
        bool,
        typer.Option("--prequential", help="Test, then train, in time order: what each speed of learning is worth."),
    ] = False,
    staleness: Annotated[
        bool, typer.Option("--staleness", help="What being late costs, channel by channel: a table, and a plot.")
    ] = False,
    ways: Annotated[
        bool,
        typer.Option(
            "--ways",
            help="Leave-one-out asked in other ways: as a new user, for cold items, filtered, diverse, exploring.",
        ),
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(help="Staleness: where the plot goes; its figures go beside it as JSON.")
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, max=20, help="Trainings, each with a seed of its own (default: 2; prequential: 3)."),
    ] = None,
    max_cases: Annotated[int, typer.Option(min=1, help="Leave-one-out: users that are tested at most.")] = 5_000,
    every: Annotated[
        int, typer.Option(min=1, help="In time order: ask for each so many-th event only (all are appended).")
    ] = 1,
    at_once: Annotated[int, typer.Option(min=1, max=8, help="In time order: arms that run side by side.")] = 2,
    work: Annotated[
        Path | None, typer.Option(help="In time order: a folder to work in; a run that was killed goes on from it.")
    ] = None,
    json: Json = False,
) -> None:
    """How good the answers are, through a served pipeline of its own: leave-one-out beside session-EASE, EASE and popularity
    on the same split; or the last 30 % of time replayed event by event, to see what each speed of learning is worth
    (--prequential), and what being late costs (--staleness)."""
    from recency_bench.prequential import Plan
    from recency_cli.errors import UsageError
    from recency_server.logs import configure_logging

    configure_logging("error")
    settings = settings_of(context)
    if prequential + staleness + ways > 1:
        raise UsageError("--prequential, --staleness and --ways are benches of their own; run one after the other")
    if prequential or staleness:
        plan = Plan(seeds=seeds or (3 if prequential else 1), every=every, at_once=at_once)
        _in_time(_staleness if staleness else _prequential, settings, movielens, path, work, plan, plot, json)
    elif ways:
        _ways(settings, movielens, path, max_cases, json)
    else:
        _leave_one_out(settings, movielens, path, seeds or 2, max_cases, json)


def _in_time(
    bench: Callable[[Settings, Stretch, Path, Plan, Path | None, bool], None],
    settings: Settings,
    movielens: bool,
    path: Path | None,
    work: Path | None,
    plan: Plan,
    plot: Path | None,
    json: bool,
) -> None:
    from recency_bench.stretch import cut_by_time
    from recency_cli.errors import NotReady

    with _source(settings, movielens, path) as source:
        stretch = cut_by_time(source)
    if not stretch.known or not stretch.stream:
        raise NotReady("there is nothing to replay; import events, or use --movielens")
    with _folder(work) as folder:
        bench(settings, stretch, folder, plan, plot, json)


def _leave_one_out(
    settings: Settings, movielens: bool, path: Path | None, seeds: int, max_cases: int, json: bool
) -> None:
    from recency_bench.quality_run import quality as run
    from recency_cli.bench_tables import quality_tables
    from recency_cli.screen import bars, print_json

    split = _split(settings, movielens, path, max_cases)
    with _folder(None) as folder, bars(shown=not json) as progress:
        result = asyncio.run(
            run(
                split,
                folder,
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
    else:
        _print(quality_tables(result))


def _ways(settings: Settings, movielens: bool, path: Path | None, max_cases: int, json: bool) -> None:
    from recency_bench.quality_run import quality_by_way
    from recency_cli.bench_tables import way_tables
    from recency_cli.screen import bars, print_json

    split = _split(settings, movielens, path, max_cases)
    with _folder(None) as folder, bars(shown=not json) as progress:
        rows = asyncio.run(
            quality_by_way(
                split,
                folder / "seed",
                export=settings.export(),
                triton=settings.triton(),
                gateway=settings.gateway(),
                report=progress,
                advance=lambda done: progress.advanced("every way", done, len(split.test)),
            )
        )
    if json:
        print_json({"ways": [dataclasses.asdict(row) for row in rows]})
    else:
        _print(way_tables(rows))


def _split(settings: Settings, movielens: bool, path: Path | None, max_cases: int) -> Split:
    from recency_bench.split import leave_one_out
    from recency_cli.errors import NotReady

    with _source(settings, movielens, path) as source:
        split = leave_one_out(source, max_cases=max_cases)
    if not split.test:
        raise NotReady("no user has two events to learn from and be tested on; import events, or use --movielens")
    return split


def _prequential(settings: Settings, stretch: Stretch, folder: Path, plan: Plan, plot: Path | None, json: bool) -> None:
    from recency_bench.prequential import prequential as run
    from recency_cli.bench_tables import prequential_tables
    from recency_cli.screen import bars, print_json

    with bars(shown=not json) as progress:
        result = _run(run(stretch, folder, plan, stack=_stack(settings), report=progress))
    if json:
        print_json(result.to_dict())
    else:
        _print(prequential_tables(result))


def _staleness(settings: Settings, stretch: Stretch, folder: Path, plan: Plan, plot: Path | None, json: bool) -> None:
    from recency_bench.staleness import staleness as run
    from recency_bench.staleness_plot import plot_staleness, write_result
    from recency_cli.bench_tables import staleness_tables
    from recency_cli.screen import bars, print_json

    with bars(shown=not json) as progress:
        result = _run(run(stretch, folder, plan, stack=_stack(settings), report=progress))
    if plot is not None:
        write_result(result, plot.with_suffix(".json"))
        plot_staleness(result, plot)
    if json:
        print_json(result.to_dict())
    else:
        _print(staleness_tables(result))


def _stack(settings: Settings) -> Stack:
    from recency_bench.teaching import Stack

    gateway = settings.gateway()
    # A replay is faster than life: what was learned is looked at as often, by the time that is replayed.
    recommend = dataclasses.replace(gateway.recommend, learned_seconds=_LEARNED_SECONDS)
    gateway = dataclasses.replace(gateway, recommend=recommend)
    return Stack(settings.triton(), gateway, settings.learner(), settings.export())


def _run(work: Coroutine[Any, Any, _T]) -> _T:
    """Runs it as the gateway runs: on its loop, and with its garbage collector."""
    import uvloop

    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    return uvloop.run(work)


@contextmanager
def _folder(work: Path | None) -> Iterator[Path]:
    if work is not None:
        work.mkdir(parents=True, exist_ok=True)
        yield work.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="recency-quality-") as made:
        yield Path(made)


@contextmanager
def _source(settings: Settings, movielens: bool, path: Path | None) -> Iterator[Store]:
    """MovieLens, or what the store holds."""
    if not movielens:
        with opened_store(settings) as store:
            yield store
        return
    from recency_cli.exporting import movielens_folder
    from recency_export.movielens import import_movielens
    from recency_store.memory import MemoryStore

    source = MemoryStore()
    import_movielens(source, path or movielens_folder(), now_micros(), shift_to=None)
    yield source


def _print(tables: list[Any]) -> None:
    from recency_cli.screen import console

    for table in tables:
        console().print(table)

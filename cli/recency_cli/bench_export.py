"""`recency bench export`: what a release costs, and how soon feedback is a better model."""

from __future__ import annotations

import asyncio
import dataclasses
import json as encoding
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recency_cli.context import Json, settings_of

if TYPE_CHECKING:
    from recency_bench.export_growth import Growth
    from recency_bench.export_rounds import Round
    from recency_cli.config import Settings
    from recency_export.progress import Progress


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("export", epilog="Example: recency bench export --rounds 3")(export)


def export(
    context: typer.Context,
    rounds: Annotated[
        int, typer.Option(min=0, max=50, help="Days to replay, each with an item release and one with a full release.")
    ] = 3,
    lengths: Annotated[
        str, typer.Option(help="Lengths of the log to make a first release from, by commas; 0 is all but those days.")
    ] = "10000,30000,0",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the data of each first release.")] = 28,
    path: Annotated[Path | None, typer.Option(help="MovieLens' folder (default: .cache/ml-100k).")] = None,
    json: Json = False,
) -> None:
    """From events to a published release, by stage, by length of the log, beside training alone; and from the last event of
    a day of MovieLens to an answer that has learned it, on a stack of its own: item releases and full ones."""
    from recency_bench.export_growth import GrowthJob, grow
    from recency_bench.export_rounds import last_days
    from recency_cli.bench_tables import export_tables
    from recency_cli.exporting import movielens_folder
    from recency_cli.screen import bars, console, print_json

    settings = settings_of(context)
    movielens = (path or movielens_folder()).resolve()
    before, days = last_days(movielens, 2 * rounds)
    with tempfile.TemporaryDirectory(prefix="recency-export-") as work, bars(shown=not json) as progress:
        grown: list[Growth] = []
        data = Path(work) / "data"
        for length in sorted({min(before, int(one) or before) for one in lengths.split(",")}):
            name = f"first release from {length:,} events"
            progress.started(name)
            data = Path(work) / str(length)
            grown.append(grow(GrowthJob(str(movielens), length, str(data), epochs, settings.export().seed)))
            progress.done(name, grown[-1].seconds, False)
        served = settings.changed({"data.path": data, "data.store": None, "data.releases": None}, "option")
        done = asyncio.run(_rounds(served, days, grown[-1].shift_micros, progress)) if days else []
    if json:
        print_json({"growth": [dataclasses.asdict(g) for g in grown], "rounds": [dataclasses.asdict(r) for r in done]})
        return
    for table in export_tables(grown, done):
        console().print(table)


async def _rounds(
    settings: Settings, days: Sequence[Sequence[Any]], shift_micros: int, progress: Progress
) -> list[Round]:
    from recency_bench.export_rounds import rounds as run
    from recency_cli.screen import console
    from recency_cli.stack import running_stack, wait_until_serving
    from recency_cli.up import options_of

    async def make(depth: str) -> dict[str, Any]:
        """As a user makes it: a process beside the stack."""
        progress.started(f"{depth} release")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "recency_cli", *options_of(settings)),
            *("export", "run", "--depth", depth, "--json"),
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await process.communicate()
        made: dict[str, Any] = encoding.loads(printed.splitlines()[-1])
        progress.done(f"{depth} release", sum(made.get("stages", {}).values()), False)
        return made if "state" in made else {"release": 0, "state": "FAILED", "reason": str(made.get("error"))}

    screen = console(stderr=True)
    async with running_stack(settings, options_of(settings), screen.print, free_ports=True) as addresses:
        await wait_until_serving(addresses.gateway)
        return await run(addresses.gateway, days, shift_micros, make)

"""`recency export compact`: the event log as Parquet files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recency_cli.context import Json, opened_store, settings_of


def add_to(app: typer.Typer) -> None:
    """Adds the command to the group `export`."""
    app.command("compact", epilog="Example: recency export compact     (again: only what came since)")(compact)


def compact(
    context: typer.Context,
    folder: Annotated[Path | None, typer.Option(help="Where to (default: parquet in the data folder).")] = None,
    json: Json = False,
) -> None:
    """Write the event log into Parquet files by ranges of the log, for training on several machines and for other tools.
    It reads what came since the last time; killed anywhere, what was there stays whole."""
    from recency_cli.screen import bars, console, print_json
    from recency_export.parquet import compact as run

    settings = settings_of(context)
    target = folder or settings.data / "parquet"
    with opened_store(settings) as store, bars(shown=not json) as progress:
        progress.started("compact")
        made = run(store, target, advance=lambda done, total: progress.advanced("compact", done, total, ""))
        progress.done("compact", 0.0, False)
    if json:
        print_json({"folder": str(target), "events": made.rows, "files": len(made.parts), "through": made.through})
    else:
        console().print(f"{made.rows:,} events in {len(made.parts)} files of {target}, up to position {made.through:,}")

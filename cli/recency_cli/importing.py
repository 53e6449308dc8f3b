"""`recency import items|events FILE`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recency_cli.context import Json, now_micros, opened_store, settings_of

if TYPE_CHECKING:
    from recency_export.importer import Imported

app = typer.Typer(no_args_is_help=True, help="Bring in items and events from CSV, JSON lines or Parquet.")

File = Annotated[Path, typer.Argument(help="The file: .csv, .tsv, .jsonl, .ndjson or .parquet.", show_default=False)]
Map = Annotated[
    list[str] | None, typer.Option("--map", help="Their column's name and ours, THEIRS=OURS; may be repeated.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check the whole file and write nothing.")]


@app.command("items", epilog="Example: recency import items products.csv --map sku=item_id --map name=title")
def items(context: typer.Context, file: File, map: Map = None, dry_run: DryRun = False, json: Json = False) -> None:
    """Import items. Columns: [bold]item_id[/], title, text, categories (a|b), provider, available_from, available_until,
    vectors (JSON lines or Parquet: an object of lists by space); every further column becomes an attribute. An item that is
    there already is replaced."""
    _run(context, "items", file, map, dry_run, json)


@app.command("events", epilog="Example: recency import events clicks.csv --map customer=user_id --map when=time")
def events(context: typer.Context, file: File, map: Map = None, dry_run: DryRun = False, json: Json = False) -> None:
    """Import events. Columns: [bold]user_id[/], [bold]item_id[/], [bold]time[/] (ISO 8601, UTC where no zone is named,
    or seconds, milliseconds or microseconds since 1970), type (click, purchase, …; default: rating where there is a
    value, else click), value (or rating), event_id (made from the row where there is none, so that the same file twice
    counts once), quantity, currency, session_id, recommendation_id, position, query, custom_type, retracts_event_id; every
    further column becomes context."""
    _run(context, "events", file, map, dry_run, json)


def _run(context: typer.Context, what: str, file: Path, map: list[str] | None, dry_run: bool, as_json: bool) -> None:
    from recency_cli.screen import bars, console, print_json
    from recency_export.importer import import_events, import_items

    mapping = _mapping(map or [])
    settings = settings_of(context)
    if what == "items":
        run = partial(import_items, spaces=settings.spaces())
    else:
        run = partial(import_events, custom=settings.custom_types())
    done: Imported
    with bars(shown=not as_json) as progress:
        if dry_run:
            done = run(None, file, now_micros(), mapping, progress)
        else:
            with opened_store(settings) as store:
                done = run(store, file, now_micros(), mapping, progress)
    if as_json:
        print_json({"rows": done.rows, "written": done.written, "unchanged": done.unchanged, "dry_run": dry_run})
    elif dry_run:
        console().print(f"{file}: {done.rows:,} {what}, nothing wrong; nothing written (--dry-run)")
    else:
        console().print(f"{file}: {done.written:,} {what} written, {done.unchanged:,} were there already")


def _mapping(pairs: list[str]) -> dict[str, str]:
    from recency_cli.errors import UsageError

    mapping = {}
    for pair in pairs:
        theirs, equals, ours = pair.partition("=")
        if not (theirs and equals and ours):
            raise UsageError(f"--map {pair}: write it as THEIRS=OURS, as --map customer=user_id")
        mapping[theirs] = ours
    return mapping

"""`recency config show`."""

from __future__ import annotations

from typing import Annotated

import typer

from recency_cli.context import Json, settings_of

app = typer.Typer(no_args_is_help=True, help="The configuration: recency.toml, overridden by RECENCY_… variables.")


@app.command("show", epilog="Example: RECENCY_TRITON_GRPC_PORT=9001 recency config show --set")
def show(
    context: typer.Context,
    only_set: Annotated[bool, typer.Option("--set", help="Only keys that are not at their default.")] = False,
    json: Json = False,
) -> None:
    """Show every key, its effective value, and where that came from."""
    from recency_cli.config import DEFAULT
    from recency_cli.screen import console, print_json, table

    shown = [s for s in settings_of(context) if not only_set or s.origin != DEFAULT]
    if json:
        print_json({s.key.path: {"value": s.value, "origin": s.origin, "variable": s.key.variable} for s in shown})
        return
    rows = [(s.key.path, "" if s.value is None else s.value, s.origin) for s in shown]
    console().print(table("", ("key", "value", "from"), rows))

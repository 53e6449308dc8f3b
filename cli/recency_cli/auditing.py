"""`recency audit list`: what was decided about what is shown, by whom, when and why."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import typer

from recency_cli.context import Json, opened_store, settings_of

app = typer.Typer(no_args_is_help=True, help="The append-only log of policy decisions.")


@app.callback()
def group() -> None:
    """A group even while it has one command."""


@app.command("list", epilog="Example: recency audit list --action hide -n 20")
def list_entries(
    context: typer.Context,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="How many entries, the newest ones.")] = 50,
    action: Annotated[str, typer.Option(help="Only this action: hide, unhide, rules, …")] = "",
    subject: Annotated[str, typer.Option(help="Only what is about this item or file.")] = "",
    json: Json = False,
) -> None:
    """List policy decisions, newest first: what was hidden or shown again, and which business rules came into force. The
    store has no way to change or remove an entry."""
    from recency_cli.screen import console, print_json, table

    with opened_store(settings_of(context)) as store:
        entries = store.audit(limit, action=action, subject=subject)
    if json:
        print_json(
            [
                {"number": e.number, "time": _time(e.time_micros), "actor": e.actor, "action": e.action,
                 "subject": e.subject, "reason": e.reason}
                for e in entries
            ]
        )  # fmt: skip
        return
    if not entries:
        console().print("no decision is on record")
        return
    rows = [(e.number, _time(e.time_micros), e.actor, e.action, e.subject, e.reason) for e in entries]
    console().print(table("", ("number", "when", "who", "what", "about", "why"), rows, right=("number",)))


def _time(micros: int) -> str:
    return dt.datetime.fromtimestamp(micros / 1e6, dt.UTC).isoformat(timespec="seconds")

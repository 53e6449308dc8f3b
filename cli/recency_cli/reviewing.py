"""`recency review list|resolve`: what users reported, and what a person decides about it."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import typer

from recency_cli.context import Json, now_micros, opened_store, settings_of

app = typer.Typer(
    no_args_is_help=True, help="The review queue: items that users reported, until somebody decides on them."
)


@app.command("list", epilog="Example: recency review list -n 20")
def list_reviews(
    context: typer.Context,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="How many items.")] = 50,
    json: Json = False,
) -> None:
    """List the items with reports that nobody has decided on, those that most users reported first. The reason is what
    the newest report says in its context. A report that was taken back does not count."""
    from recency_cli.screen import console, print_json, table

    with opened_store(settings_of(context)) as store:
        reviews = store.reviews(limit)
        items = store.get_items([review.item_id for review in reviews])
    titles = {item_id: item.item().title for item_id, item in items.items()}
    if json:
        print_json(
            [
                {"item_id": r.item_id, "title": titles.get(r.item_id, ""), "reports": r.reports, "users": r.users,
                 "reason": r.reason, "first": _time(r.first_micros), "newest": _time(r.newest_micros),
                 "hidden": r.item_id in items and items[r.item_id].hidden_reason is not None, "through": r.through}
                for r in reviews
            ]
        )  # fmt: skip
        return
    if not reviews:
        console().print("nothing is reported that nobody has decided on")
        return
    rows = [
        (r.item_id, titles.get(r.item_id, ""), r.users, r.reports, _time(r.newest_micros), r.reason) for r in reviews
    ]
    columns = ("item", "title", "users", "reports", "newest", "it says")
    console().print(table("", columns, rows, right=("users", "reports")))


@app.command("resolve", epilog="Example: recency review resolve 50 --hide --reason 'breaks rule 3'")
def resolve(
    context: typer.Context,
    item: Annotated[str, typer.Argument(help="The reported item.")],
    reason: Annotated[str, typer.Option(help="Why, for the audit log; for --hide also the item's reason.")],
    hide: Annotated[bool, typer.Option("--hide/--keep", help="Hide it from every answer, or leave it as it is.")],
    by: Annotated[str, typer.Option(help="Who decides, for the audit log.")] = "cli",
    through: Annotated[
        int | None, typer.Option(help="Only reports up to this `through` of the list, so that none is decided unseen.")
    ] = None,
    json: Json = False,
) -> None:
    """Decide on the reports of an item. It is in the audit log, and a hidden item is in no answer from then on, on every
    gateway. A later report opens the review anew."""
    from recency_cli.errors import UsageError
    from recency_cli.screen import console, print_json

    if not reason.strip():
        raise UsageError("--reason is empty; say why, for the record")
    with opened_store(settings_of(context)) as store:
        number = store.resolve_review(item, reason, now_micros(), hide=hide, through=through, actor=by)
    if json:
        print_json({"item_id": item, "hidden": hide, "audit_number": number})
    else:
        console().print(f"item {item} {'is hidden' if hide else 'stays'}; record {number} of the audit log says why")


def _time(micros: int) -> str:
    return dt.datetime.fromtimestamp(micros / 1e6, dt.UTC).isoformat(timespec="seconds")

"""`recency user …`: what is known of a person, what they agreed to, and their rights over it."""

from __future__ import annotations

import dataclasses
import enum
import json as json_text
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recency_cli.asking import Address, gateway
from recency_cli.context import Json

if TYPE_CHECKING:
    from recency import Event, ServedSlate, User

app = typer.Typer(no_args_is_help=True, help="People: their profile, consent and limits; export and erasure.")
Name = Annotated[str, typer.Argument(help="The user's id.")]


@app.command("show", epilog="Example: recency user show 42 --history 5")
def show(
    context: typer.Context,
    user: Name,
    history: Annotated[int, typer.Option(min=0, max=1000, help="So many of the newest events.")] = 10,
    address: Address = None,
    json: Json = False,
) -> None:
    """Show what is known of a user: attributes, consent, limits, and the newest events."""
    from recency_cli.screen import console, print_json, table

    with gateway(context, address) as client:
        known = client.get_user(user, history)
    if json:
        print_json({"user": _plain(known.user), "history": [_plain(event) for event in known.history]})
        return
    screen, who = console(), known.user
    limit = "the default" if who.maturity_limit is None else who.maturity_limit
    screen.print(f"[bold]{user}[/]  maturity limit {limit} · {_agreed(who)}")
    screen.print(table("", ("attribute", "value"), [(name, str(value)) for name, value in who.attributes.items()]))
    rows = [(event.event_time, event.type.name, event.item_id or event.query) for event in known.history]
    screen.print(table("newest events", ("time", "type", "item"), rows))


@app.command(
    "set",
    epilog="Example: recency user set 42 --profile '24-year-old technician' --maturity-limit 12 --no-training",
)
def change(
    context: typer.Context,
    user: Name,
    profile: Annotated[str | None, typer.Option(help="Who they are in words; '' takes it away.")] = None,
    attribute: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="An attribute; NAME= takes it away; may be repeated.")
    ] = None,
    maturity_limit: Annotated[int | None, typer.Option(min=0, max=100, help="Nothing above it is shown.")] = None,
    personalization: Annotated[
        bool | None, typer.Option(help="Whether their events and profile may shape their answers.")
    ] = None,
    training: Annotated[bool | None, typer.Option(help="Whether their events may train models.")] = None,
    address: Address = None,
    json: Json = False,
) -> None:
    """Store what is said of a user, and leave the rest as it is. The next answer reflects it, on every gateway."""
    from recency import Consent, User
    from recency_cli.errors import UsageError
    from recency_cli.screen import console, print_json

    attributes = dict(_attribute(text) for text in attribute or ())
    if profile is not None:
        attributes["profile"] = profile
    mask = [f"attributes.{name}" for name in attributes]
    mask += ["maturity_limit"] * (maturity_limit is not None)
    mask += ["consent.personalization"] * (personalization is not None) + ["consent.training"] * (training is not None)
    if not mask:
        raise UsageError("nothing is said of the user; give --profile, --attribute, --maturity-limit or a consent")
    given = {name: value for name, value in attributes.items() if value != ""}
    new = User(
        user_id=user, attributes=given, consent=Consent(personalization, training), maturity_limit=maturity_limit
    )
    with gateway(context, address) as client:
        stored = client.upsert_user(new, mask)
    if json:
        print_json({"consistency_token": stored.consistency_token, "changed": mask})
    else:
        console().print(f"stored; show its effect: recency recommend {user} --token {stored.consistency_token}")


@app.command("merge", epilog="Example: recency user merge visitor-7 42")
def merge(
    context: typer.Context,
    visitor: Annotated[str, typer.Argument(help="The id that the visitor had.")],
    user: Annotated[str, typer.Argument(help="The user that the visitor turned out to be.")],
    address: Address = None,
    json: Json = False,
) -> None:
    """Make a visitor's behaviour the user's, who has logged in. The visitor is nobody afterwards."""
    from recency_cli.screen import console, print_json

    with gateway(context, address) as client:
        done = client.merge_users(visitor, user)
    if json:
        print_json(dataclasses.asdict(done))
    else:
        console().print(
            f"{done.moved_events:,} events are now the user's; "
            f"show it: recency recommend {user} --token {done.consistency_token}"
        )


@app.command("export", epilog="Example: recency user export 42 --out 42.jsonl")
def export(
    context: typer.Context,
    user: Name,
    out: Annotated[Path | None, typer.Option(help="A file to write (default: standard output).")] = None,
    address: Address = None,
    json: Json = False,
) -> None:
    """Write everything that is stored about a user, one JSON object a line: who they are, each event, each slate kept."""
    from recency import Event, User
    from recency_cli.screen import console, print_json

    counts = {"user": 0, "event": 0, "slate": 0}
    target = sys.stdout if out is None else out.open("w", encoding="utf-8")
    try:
        with gateway(context, address) as client:
            for part in client.export_user(user):
                kind = "user" if isinstance(part, User) else "event" if isinstance(part, Event) else "slate"
                target.write(json_text.dumps({kind: _plain(part)}, ensure_ascii=False) + "\n")
                counts[kind] += 1
    finally:
        if out is not None:
            target.close()
    if out is not None and json:
        print_json({"file": str(out), "events": counts["event"], "slates": counts["slate"]})
    elif out is not None:
        console().print(f"{counts['event']:,} events and {counts['slate']:,} slates in {out}")


@app.command("delete", epilog="Example: recency user delete 42 --yes")
def delete(
    context: typer.Context,
    user: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    address: Address = None,
    json: Json = False,
) -> None:
    """Erase a user: history, log, slates, attributes, and every later training set. It cannot be undone."""
    from recency_cli.screen import console, print_json

    if not yes:
        typer.confirm(f"Erase everything about user {user}?", abort=True)
    with gateway(context, address) as client:
        done = client.delete_user(user)
    if json:
        print_json(dataclasses.asdict(done))
    else:
        console().print(f"erased {done.erased_events:,} events; the audit log's record is {done.audit_id}")


def _attribute(text: str) -> tuple[str, Any]:
    """NAME=VALUE; what reads as a JSON number, boolean or list is one."""
    from recency_cli.errors import UsageError

    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UsageError(f"--attribute {text}: give NAME=VALUE, such as age=24")
    try:
        read = json_text.loads(value)
    except ValueError:
        return name, value
    return name, read if isinstance(read, (int, float, list)) else value


def _agreed(user: User) -> str:
    said = {None: "yes, by default", True: "yes", False: "no"}
    return f"personalization {said[user.consent.personalization]} · training {said[user.consent.training]}"


def _plain(value: User | Event | ServedSlate) -> dict[str, Any]:
    """What JSON can say of it: only what is set."""

    def plain(entry: Any) -> Any:
        if isinstance(entry, enum.Enum):
            return entry.name
        return entry.isoformat() if hasattr(entry, "isoformat") else entry

    found = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    consent = found.pop("consent", None)
    if consent is not None:
        found["consent"] = {name: said for name, said in dataclasses.asdict(consent).items() if said is not None}
    return {name: plain(entry) for name, entry in found.items() if entry not in (None, "", (), {})}

"""`recency policy check|show`: business rules before they come into force, and those that are."""

from __future__ import annotations

import datetime as dt
import json as json_text
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recency_cli.context import Json, opened_store, settings_of

if TYPE_CHECKING:
    from recency_cli.config import Settings
    from recency_server.attributes import Attributes

app = typer.Typer(no_args_is_help=True, help="Business rules: what is pinned, boosted, buried and left out.")

_PAGE = 2_000
_SECONDS = 5.0


@app.command("check", epilog="Example: recency policy check rules.toml && mv rules.toml /etc/recency/")
def check(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="The rules (default: policy.rules).")] = None,
    json: Json = False,
) -> None:
    """Read a rules file as a gateway would, against the catalogue of the store where there is one, and say all that is
    wrong with it by line and column. Exit code 2 where a serving gateway would refuse it."""
    from recency_cli.errors import UsageError
    from recency_cli.screen import console, print_json
    from recency_server.rules import RulesError
    from recency_server.rules_file import read_rules
    from recency_server.rules_in_force import misfits
    from recency_server.rules_watch import counts

    settings = settings_of(context)
    path = _file(file, settings)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error}); name a file that is there") from error
    rules = read_rules(content, str(path))
    problems = misfits(rules, _catalog(settings))
    if problems:
        raise RulesError([f"{path}: {problem}" for problem in problems])
    counted = counts(rules.rules)
    if json:
        print_json({"file": str(path), "digest": rules.digest, "rules": counted})
        return
    said = ", ".join(f"{number} {action}" for action, number in counted.items() if number) or "no rules"
    console().print(f"{path}: {said}; a gateway takes it as it is (sha256 {rules.digest})")


@app.command("show", epilog="Example: recency policy show --json")
def show(
    context: typer.Context,
    address: Annotated[
        str | None, typer.Option(help="The gateway's HTTP side (default: gateway.http_address).")
    ] = None,
    json: Json = False,
) -> None:
    """Show the rules that a running gateway has in force, which of them hold now, and why a newer state of the file is
    refused."""
    from recency_cli.screen import console, print_json, table

    facts = _facts(address or str(settings_of(context)["gateway.http_address"]))
    if json:
        print_json(facts)
        return
    screen = console()
    if not facts["file"]:
        screen.print("this gateway has no rules file; name one with policy.rules")
        return
    rows = [
        (r["name"], r["action"], r["target"], r["place"] or r["by"] or "", _day(r["from_micros"]), _day(r["until_micros"]),
         r["blind"] or ("holds" if r["holds"] else "not now"), r["reason"])
        for r in facts["rules"]
    ]  # fmt: skip
    columns = ("rule", "does", "to", "place or by", "from", "until", "now", "reason")
    screen.print(table(f"{facts['file']} (sha256 {facts['digest']})", columns, rows))
    for problem in facts["problems"]:
        screen.print(f"refused, so the rules above stay in force: {problem}", style="yellow")


def _file(file: Path | None, settings: Settings) -> Path:
    from recency_cli.errors import UsageError

    found = file or settings["policy.rules"]
    if found is None:
        raise UsageError("name a rules file, here or as policy.rules in recency.toml")
    assert isinstance(found, Path)
    return found


def _catalog(settings: Settings) -> Attributes:
    """The catalogue's columns; empty where there is no store yet."""
    from recency_server.attributes import Attributes

    attributes = Attributes()
    if not settings.store.is_file():
        return attributes
    with opened_store(settings) as store:
        after = ""
        while page := store.list_items(_PAGE, after):
            for item in page:
                attributes.put(item.item_id, item.item())
            after = page[-1].item_id
    return attributes


def _facts(address: str) -> dict[str, Any]:
    from recency_cli.errors import Unreachable

    try:
        with urllib.request.urlopen(f"http://{address}/policy", timeout=_SECONDS) as answer:
            facts: dict[str, Any] = json_text.load(answer)
    except (urllib.error.URLError, TimeoutError) as error:
        raise Unreachable(
            f"the gateway's HTTP side at {address} does not answer ({error}); start it with recency up, or name it with "
            "--address"
        ) from error
    return facts


def _day(micros: int | None) -> str:
    return "" if micros is None else dt.datetime.fromtimestamp(micros / 1e6, dt.UTC).strftime("%Y-%m-%d %H:%M")

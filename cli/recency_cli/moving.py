"""`recency release activate|canary|rollback|shadow|watch`: who is answered by which release.

Through a gateway, which checks that its Triton has the release ready; or with --offline straight on the store, under the
same rules, for when none runs.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recency_cli.asking import Address, gateway
from recency_cli.context import Json, opened_store, settings_of

if TYPE_CHECKING:
    from recency import Release
    from recency_store.protocol import Store
    from recency_store.records import ReleaseRecord

Number = Annotated[int, typer.Argument(help="Its number, as `recency release list` shows it.")]
Reason = Annotated[str, typer.Option(help="Why, for the record.")]
Offline = Annotated[
    bool, typer.Option("--offline", help="Write straight to the store, without a gateway and its checks.")
]


def add_to(app: typer.Typer) -> None:
    """Adds the commands to the group of the releases."""
    app.command("activate", epilog="Example: recency release activate 3 --reason 'better on new users'")(activate)
    app.command("canary", epilog="Example: recency release canary 3 --fraction 0.05     (--fraction 0 ends it)")(canary)
    app.command("rollback", epilog="Example: recency release rollback --reason 'clicks fell'")(rollback)
    app.command("shadow", epilog="Example: recency release shadow 3     (--end ends it)")(shadow)
    app.command("watch", epilog="Example: recency release watch --json")(watch)


def activate(
    context: typer.Context,
    release: Number,
    reason: Reason = "",
    wait: Annotated[
        float, typer.Option(help="Seconds to wait until the gateway answers with it, 0..600; 0 does not wait.")
    ] = 60.0,
    offline: Offline = False,
    address: Address = None,
    json: Json = False,
) -> None:
    """Make a release the one that serves. The one before goes on until the gateway has it ready; no request fails.

    Ends with 1 where it is written but not served when the wait is over."""
    from recency_cli.errors import CliError

    if offline:
        _tell(_in_store(context, address, lambda moves, store: moves.activate(store, release, reason)), json)
        return
    with gateway(context, address) as client:
        done = client.activate_release(release, reason=reason, wait=timedelta(seconds=wait) if wait else None)
    if wait and not done.served:
        refused = done.release.use.refused_reason if done.release.use else ""
        raise CliError(
            f"release {release} is active in the store, and the gateway does not answer with it after {wait:g} s: "
            f"{refused or 'it is still being made ready'}; the one before goes on serving"
        )
    _tell(_facts_of(done.release, served=done.served), json)


def canary(
    context: typer.Context,
    release: Number,
    fraction: Annotated[float, typer.Option(help="The share of users, 0..1; 0 ends the canary.")],
    reason: Reason = "",
    offline: Offline = False,
    address: Address = None,
    json: Json = False,
) -> None:
    """Let a release answer a share of the users, always the same ones. A gateway that sees it fail, slow down or earn
    less than the active one ends it (gateway.recommend.canary)."""
    from recency_cli.errors import UsageError

    if not 0.0 <= fraction <= 1.0:
        raise UsageError(f"--fraction {fraction:g}: a share of the users is 0..1")
    if offline:
        _tell(
            _in_store(context, address, lambda moves, store: moves.set_canary(store, release, fraction, reason)), json
        )
        return
    with gateway(context, address) as client:
        moved = client.set_canary(release, fraction, reason=reason)
    _tell(_facts_of(moved), json)


def rollback(
    context: typer.Context,
    release: Annotated[int, typer.Argument(help="Where to; 0 is the one that served before.")] = 0,
    reason: Reason = "",
    offline: Offline = False,
    address: Address = None,
    json: Json = False,
) -> None:
    """Go back to the release that served before. The one that is left is not gone back to by later rollbacks."""
    if offline:
        _tell(_in_store(context, address, lambda moves, store: moves.roll_back(store, release, reason)), json)
        return
    with gateway(context, address) as client:
        moved = client.roll_back_release(release, reason=reason)
    _tell(_facts_of(moved), json)


def shadow(
    context: typer.Context,
    release: Number,
    end: Annotated[bool, typer.Option("--end", help="End it instead.")] = False,
    reason: Reason = "",
    offline: Offline = False,
    address: Address = None,
    json: Json = False,
) -> None:
    """Let a release score some requests beside the active one, without effect; `recency release show` compares. Any
    release is loaded for this, so it is also the way to make an old one ready."""
    if offline:
        _tell(_in_store(context, address, lambda moves, store: moves.set_shadow(store, release, end, reason)), json)
        return
    with gateway(context, address) as client:
        moved = client.set_shadow(release, end=end, reason=reason)
    _tell(_facts_of(moved), json)


def watch(
    context: typer.Context,
    current: Annotated[bool, typer.Option(help="Show every release as it is first.")] = True,
    address: Address = None,
    json: Json = False,
) -> None:
    """Show each change of a release's state as it happens, until Ctrl-C."""
    with gateway(context, address) as client:
        for release in client.watch_releases(include_current=current):
            _tell(_facts_of(release), json)


def _in_store(
    context: typer.Context, address: str | None, move: Callable[[Any, Store], ReleaseRecord]
) -> dict[str, Any]:
    from recency_cli.errors import UsageError
    from recency_server import moves
    from recency_server.logs import configure_logging

    # The answer says what was done.
    configure_logging("error")
    if address is not None:
        raise UsageError("--offline writes to the store of this machine; leave --address out")
    with opened_store(settings_of(context)) as store:
        record = move(moves, store)
    return {
        "release": record.release, "state": record.state.value, "reason": record.reason,
        "canary_fraction": record.canary_fraction,
    }  # fmt: skip


def _facts_of(release: Release, **more: Any) -> dict[str, Any]:
    return {
        "release": release.release, "state": release.state.name, "reason": release.reason,
        "canary_fraction": release.canary_fraction, **more,
    }  # fmt: skip


def _tell(facts: dict[str, Any], as_json: bool) -> None:
    from recency_cli.screen import console, print_json

    if as_json:
        print_json(facts)
        return
    share = f" for {facts['canary_fraction']:.1%} of the users" if facts["state"] == "CANARY" else ""
    reason = f" ({facts['reason']})" if facts["reason"] else ""
    served = ", and this gateway answers with it" if facts.get("served") else ""
    console().print(f"release {facts['release']} is {facts['state']}{share}{served}{reason}", soft_wrap=True)

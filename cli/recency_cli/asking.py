"""`recency recommend` and `recency feedback`: a running gateway, asked from the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from recency_cli.context import Json, settings_of

if TYPE_CHECKING:
    from recency import Promotion, Recency
    from recency.calls import RecommendOptions

Address = Annotated[str | None, typer.Option(help="The gateway (default: gateway.grpc_address).")]


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("recommend", epilog="Example: recency recommend 1 --query 'a heist that goes wrong' -n 5")(recommend)
    app.command("feedback", epilog="Example: recency feedback 1 50 --type purchase --value 9.90")(feedback)


def recommend(
    context: typer.Context,
    user: Annotated[str, typer.Argument(help="The user's id; '' for somebody unknown.")],
    page_size: Annotated[int, typer.Option("-n", "--page-size", help="How many items, 1..500.")] = 10,
    query: Annotated[str, typer.Option(help="What is wanted, in words.")] = "",
    query_weight: Annotated[float | None, typer.Option(help="0 (not at all) to 1 (the words alone).")] = None,
    candidate: Annotated[list[str] | None, typer.Option(help="Rank only these items; may be repeated.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Never this item; may be repeated.")] = None,
    include_seen: Annotated[bool | None, typer.Option(help="Items that the user has consumed too.")] = None,
    filter: Annotated[
        str, typer.Option(help="Only these, e.g. 'categories:\"Comedy\" AND release_year >= 1990'.")
    ] = "",
    seed: Annotated[list[str] | None, typer.Option(help="More like this item; may be repeated.")] = None,
    negative: Annotated[list[str] | None, typer.Option(help="Less like this item; may be repeated.")] = None,
    promote: Annotated[
        list[str] | None, typer.Option(metavar="NAME=SHARE:FILTER", help="A share for what a filter lets through.")
    ] = None,
    diversity: Annotated[float, typer.Option(min=0, max=1, help="How much the items should differ.")] = 0.0,
    exploration: Annotated[float, typer.Option(min=0, max=1, help="The chance of each place to be drawn.")] = 0.0,
    page: Annotated[str, typer.Option(metavar="TOKEN", help="The next page, by the token of the last.")] = "",
    token: Annotated[list[str] | None, typer.Option(help="A write's consistency token; may be repeated.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say why each item is there.")] = False,
    trace: Annotated[
        bool, typer.Option("--trace", help="Say how the answer came about, and what is not in it.")
    ] = False,
    locale: Annotated[str, typer.Option(help="The language of reasons: en or zh.")] = "",
    interactive: Annotated[bool, typer.Option("--interactive", help="Go on: click and ask, line by line.")] = False,
    address: Address = None,
    json: Json = False,
) -> None:
    """Show what a user would be shown now, and how fresh that is."""
    from recency_cli.conversing import converse
    from recency_cli.slates import print_slate

    options: RecommendOptions = {
        "page_size": page_size,
        "query": query,
        "query_weight": query_weight,
        "candidate_item_ids": candidate or (),
        "exclude_item_ids": exclude or (),
        "include_seen": include_seen,
        "filter": filter,
        "seed_item_ids": seed or (),
        "negative_item_ids": negative or (),
        "promotions": [_promotion(text) for text in promote or ()],
        "diversity": diversity or None,
        "exploration": exploration or None,
        "page_token": page,
        "consistency_token": token or (),
        "explain": explain,
        "trace": trace,
        "context": {"locale": locale} if locale else {},
        "view": "ITEMS",
    }
    with gateway(context, address) as client:
        if interactive:
            converse(client, user, options, as_json=json)
            return
        slate = client.recommend(user, **options)
    print_slate(slate, f"for user {user}" if user else "for somebody unknown", json)


def _promotion(text: str) -> Promotion:
    from recency import Promotion
    from recency_cli.errors import UsageError

    name, _equals, rest = text.partition("=")
    share, _colon, filter = rest.partition(":")
    try:
        return Promotion(name, filter, float(share))
    except ValueError as error:
        raise UsageError(f"--promote {text}: give NAME=SHARE:FILTER, such as horror=0.2:categories:Horror") from error


def feedback(
    context: typer.Context,
    user: Annotated[str, typer.Argument(help="Who did it.")],
    item: Annotated[str, typer.Argument(help="To which item.")],
    type: Annotated[str, typer.Option(help="What was done: click, view, purchase, like, rating, …")] = "click",
    value: Annotated[float | None, typer.Option(help="The rating, or the price of one piece.")] = None,
    custom_type: Annotated[str, typer.Option(help="The name of a type of your own, with --type custom.")] = "",
    retracts: Annotated[str, typer.Option(metavar="EVENT_ID", help="The earlier event that this takes back.")] = "",
    reason: Annotated[str, typer.Option(help="Why, in the event's context: what a reviewer of a report reads.")] = "",
    event_id: Annotated[str | None, typer.Option(help="The event's own id: sent twice, it counts once.")] = None,
    address: Address = None,
    json: Json = False,
) -> None:
    """Tell the service what a user did. It is durable when this returns."""
    from recency import event
    from recency_cli.errors import CliError, UsageError
    from recency_cli.screen import console, print_json

    extra: dict[str, Any] = {"custom_type": custom_type, "retracts_event_id": retracts}
    extra["context"] = {"reason": reason} if reason else {}
    if event_id is not None:
        extra["event_id"] = event_id
    try:
        made = event(user, item, type.strip().upper().replace("-", "_"), value=value, **extra)
    except (KeyError, ValueError) as error:
        raise UsageError(
            f"--type {type}: there is no such event type; try click, view, purchase, like or rating"
        ) from error
    with gateway(context, address) as client:
        done = client.feedback([made])
    if done.rejected:
        raise CliError("; ".join(f"{rejected.field}: {rejected.reason}" for rejected in done.rejected))
    if json:
        print_json(
            {"event_id": made.event_id, "accepted": done.accepted, "duplicates": done.duplicates,
             "consistency_token": done.consistency_token}
        )  # fmt: skip
    else:
        said = "stored" if done.accepted else "was there already"
        console().print(f"{said}; show its effect: recency recommend {user} --token {done.consistency_token}")


class gateway:
    """A client of the gateway; a gateway that cannot be reached is told with the address and what to do."""

    def __init__(self, context: typer.Context, address: str | None) -> None:
        self.address = address or str(settings_of(context)["gateway.grpc_address"])

    def __enter__(self) -> Recency:
        from recency import Recency

        self._client = Recency(self.address)
        return self._client

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: Any) -> None:
        from recency.errors import Unavailable
        from recency_cli.errors import Unreachable

        self._client.close()
        if isinstance(error, Unavailable):
            raise Unreachable(
                f"the gateway at {self.address} does not answer ({error}); "
                "start it with recency up, or name it with --address"
            ) from error

"""`recency recommend` and `recency feedback`: a running gateway, asked from the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from recency_cli.context import Json, settings_of

if TYPE_CHECKING:
    from recency import Freshness, Promotion, Recency, Slate

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
    address: Address = None,
    json: Json = False,
) -> None:
    """Show what a user would be shown now, and how fresh that is."""
    from recency_cli.screen import console, print_json

    with gateway(context, address) as client:
        slate = client.recommend(
            user,
            page_size=page_size,
            query=query,
            query_weight=query_weight,
            candidate_item_ids=candidate or (),
            exclude_item_ids=exclude or (),
            include_seen=include_seen,
            filter=filter,
            seed_item_ids=seed or (),
            negative_item_ids=negative or (),
            promotions=[_promotion(text) for text in promote or ()],
            diversity=diversity or None,
            exploration=exploration or None,
            page_token=page,
            consistency_token=token or (),
            view="ITEMS",
        )
    if json:
        print_json(slate_json(slate))
        return
    screen = console()
    screen.print(slate_table(slate, f"for user {user}" if user else "for somebody unknown"))
    screen.print(freshness_line(slate.freshness), style="dim")
    if slate.next_page_token:
        screen.print(f"next page: the same command with --page {slate.next_page_token}", style="dim")
    if slate.degraded:
        screen.print(f"degraded: {slate.degraded_reason}", style="yellow")


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
    event_id: Annotated[str | None, typer.Option(help="The event's own id: sent twice, it counts once.")] = None,
    address: Address = None,
    json: Json = False,
) -> None:
    """Tell the service what a user did. It is durable when this returns."""
    from recency import event
    from recency_cli.errors import CliError, UsageError
    from recency_cli.screen import console, print_json

    extra: dict[str, Any] = {} if event_id is None else {"event_id": event_id}
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


def slate_json(slate: Slate) -> dict[str, Any]:
    """A slate for scripts."""
    fresh = slate.freshness
    return {
        "recommendation_id": slate.recommendation_id,
        "recommendations": [
            {"item_id": r.item_id, "title": r.item.title if r.item else "", "score": r.score,
             "probability": r.probability, "source": r.source.name,
             "propensity": r.propensity, "promotion": r.promotion}
            for r in slate.recommendations
        ],
        "freshness": {
            "release": fresh.release, "events_used": fresh.events_used,
            "behaviour_time": fresh.behaviour_time, "trained_through_time": fresh.trained_through_time,
            "catalog_time": fresh.catalog_time,
        },
        "degraded": slate.degraded,
        "degraded_reason": slate.degraded_reason,
        "missing_item_ids": list(slate.missing_item_ids),
        "next_page_token": slate.next_page_token,
    }  # fmt: skip


def slate_table(slate: Slate, title: str) -> Any:
    """A slate as a table with titles."""
    from recency_cli.screen import table

    rows = []
    for place, r in enumerate(slate.recommendations, 1):
        name, categories = (r.item.title, " ".join(r.item.categories)) if r.item else ("", "")
        chance = "" if r.probability is None else f"{r.probability:.1%}"
        rows.append((place, r.item_id, name, categories, f"{r.score:.2f}", chance))
    return table(title, ("#", "item", "title", "categories", "score", "chance"), rows, right=("#", "score", "chance"))


def freshness_line(fresh: Freshness) -> str:
    """How fresh an answer is, in one line."""
    from recency_cli.screen import age

    parts = [f"release {fresh.release}" if fresh.release else "no release"]
    for name, value in (
        ("trained through", fresh.trained_through_age),
        ("newest event used", fresh.behaviour_age),
        ("newest catalogue change", fresh.catalog_age),
    ):
        if value is not None:
            parts.append(f"{name} {age(value.total_seconds())} ago")
    return " · ".join([*parts, f"{fresh.events_used} events used"])

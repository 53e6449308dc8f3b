"""`recency demo`: the whole loop on MovieLens 100K in one go; ends by itself."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recency_cli.context import Json, opened_store, settings_of

if TYPE_CHECKING:
    from rich.console import Console

    from recency import Recency, Slate
    from recency.v1 import item_pb2
    from recency_cli.config import Settings
    from recency_cli.stack import Addresses
    from recency_cli.story import Viewer

FILM_ID = "demo-the-dragon-who-lost-his-song"
FILM_TITLE = "The Dragon Who Lost His Song"
FILM_TEXT = (
    "An animated musical for the whole family: a shy little dragon and a princess sing their way home through an "
    "enchanted forest."
)
FILM_GENRES = ("Animation", "Children's", "Musical")
FILM_QUERY = "a little dragon who sings, for the children"
RIGHT_GENRE, OTHER_GENRE = "Children's", "Horror"
CLICK_GENRES = ("Western", "Musical", "War", "Sci-Fi", "Animation")
PAGE = 10
ROUNDS = 30


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("demo", epilog="Example: recency demo     (the second run reuses data, release and models)")(demo)


def demo(
    context: typer.Context,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Train fewer passes: quicker and worse (export.train.epochs).")
    ] = None,
    json: Json = False,
) -> None:
    """See the whole loop on real films: import, train, serve, click, see the slate change, add a film that never
    existed. Works in a data folder of its own (demo, in the data folder) and on free ports, and ends by itself."""
    from recency_cli.exporting import bootstrap_with_bars
    from recency_cli.screen import console

    chosen = settings_of(context)
    settings = chosen.changed({"data.path": chosen.data / "demo", "export.train.epochs": epochs}, "recency demo")
    screen = console(stderr=json)
    begun = time.monotonic()
    screen.rule("[bold]1 · MovieLens 100K → a release", align="left")
    with opened_store(settings) as store:
        record = store.active_release()
    # The demo's own clicks are no reason to train again.
    reused = record is not None and epochs is None
    if record is None or not reused:
        record = bootstrap_with_bars(settings, movielens=True, shown=not json)
    said = "there already" if reused else f"{time.monotonic() - begun:.0f} s"
    screen.print(f"release {record.release} is {record.state.value} ({said}), in {record.url}")
    facts = asyncio.run(_served(settings, screen))
    screen.print(f"\n[bold green]done[/] in {time.monotonic() - begun:.0f} s. Go on with: make up")
    if json:
        from recency_cli.screen import print_json

        print_json({"release": record.release, "seconds": round(time.monotonic() - begun, 1), **facts})


async def _served(settings: Settings, screen: Console) -> dict[str, Any]:
    from recency_bench.freshness import freshness
    from recency_cli.bench_tables import freshness_tables
    from recency_cli.stack import running_stack, wait_until_serving
    from recency_cli.up import options_of

    screen.rule("[bold]2 · Triton and the gateway", align="left")
    begun = time.monotonic()
    async with running_stack(settings, options_of(settings), screen.print, free_ports=True) as addresses:
        release = await wait_until_serving(addresses.gateway)
        screen.print(
            f"gateway {addresses.gateway} · Triton {addresses.triton} · serving release {release} "
            f"({time.monotonic() - begun:.1f} s)"
        )
        facts = await asyncio.to_thread(_told, settings, addresses, screen)
        screen.rule("[bold]6 · How fresh: recency bench freshness", align="left")
        measured = await freshness(addresses.gateway, rounds=ROUNDS, scratch=settings.data)
        for table in freshness_tables(measured):
            screen.print(table)
    return {**facts, "freshness": measured.to_dict()}


def _told(settings: Settings, addresses: Addresses, screen: Console) -> dict[str, Any]:
    """The acts with a client of the running gateway."""
    from recency import Recency
    from recency_cli.story import fullest_of, latest, viewers

    with opened_store(settings) as store:
        films = {stored.item_id: stored.item() for stored in store.list_items(10_000)}
        popularity = Counter(event.item_id for event in store.scan_log())
        known = viewers(store, sorted({e.user_id for e in store.scan_log() if e.event_id.startswith("ml100k-")}))
    with Recency(addresses.gateway) as client:
        if FILM_ID in films:  # an earlier demo's: it must not exist yet
            client.delete_items([FILM_ID])
            del films[FILM_ID]
        right, other = fullest_of(known, RIGHT_GENRE, films), fullest_of(known, OTHER_GENRE, films)
        # Somebody else clicks, so that the film's two judges are as the data has them.
        clicks = _act_clicks(client, latest(known, but=(right, other)), films, popularity, screen)
        film = _act_film(client, right, other, films, screen)
    return {"clicks": clicks, "film": film}


def _act_clicks(
    client: Recency,
    viewer: Viewer,
    films: dict[str, item_pb2.Item],
    popularity: Counter[str],
    screen: Console,
) -> dict[str, Any]:
    """A slate, three clicks, and the slate after them."""
    from recency import event
    from recency_cli.screen import milliseconds, table
    from recency_cli.slates import freshness_line, slate_table
    from recency_cli.story import films_to_click, genre_to_click, moves

    screen.rule(f"[bold]3 · What user {viewer.user_id} is shown", align="left")
    liked = ", ".join(films[item].title for item in viewer.liked[-6:] if item in films)
    screen.print(f"They liked, lately: {liked}")
    before = client.recommend(viewer.user_id, page_size=PAGE, view="ITEMS")
    screen.print(slate_table(before, ""))
    screen.print(freshness_line(before.freshness), style="dim")

    genre = genre_to_click(before.item_ids, films, CLICK_GENRES)
    seen = {*viewer.recent, *viewer.liked}
    clicked = films_to_click(genre, films, seen, popularity)
    screen.rule(f"[bold]4 · Three clicks on {genre} films", align="left")
    for item in clicked:
        screen.print(f"click: {films[item].title}")
    started = time.perf_counter()
    written = client.feedback([event(viewer.user_id, item, "CLICK") for item in clicked])
    stored = time.perf_counter()
    after = client.recommend(viewer.user_id, page_size=PAGE, view="ITEMS", consistency_token=written.consistency_token)
    ended = time.perf_counter()
    rows = [
        (place, move, films[item].title, " ".join(films[item].categories))
        for place, (item, move) in enumerate(moves(before.item_ids, after.item_ids), 1)
        if item in films
    ]
    screen.print(table("", ("#", "moved", "title", "categories"), rows, right=("#", "moved")))
    new = sum(move == "new" for _, move, _, _ in rows)
    screen.print(
        f"{new} of {len(rows)} are new. [bold]{milliseconds(ended - started)}[/] from the click to the new slate "
        f"({milliseconds(stored - started)} until the clicks were durable, {milliseconds(ended - stored)} for the slate)"
    )
    screen.print(freshness_line(after.freshness), style="dim")
    return {"user": viewer.user_id, "genre": genre, "clicked": clicked, "before": before.item_ids,
            "after": after.item_ids, "seconds": ended - started}  # fmt: skip


def _act_film(
    client: Recency, right: Viewer, other: Viewer, films: dict[str, item_pb2.Item], screen: Console
) -> dict[str, Any]:
    """A film that never existed: found by words at once, and ranked for two users."""
    from recency import Item
    from recency_cli.screen import milliseconds
    from recency_cli.slates import slate_table
    from recency_cli.story import rank_of, share

    screen.rule("[bold]5 · A film that never existed", align="left")
    screen.print(f"[bold]{FILM_TITLE}[/] ({', '.join(FILM_GENRES)}): {FILM_TEXT}")
    started = time.perf_counter()
    written = client.upsert_items(
        [
            Item(
                item_id=FILM_ID,
                title=FILM_TITLE,
                text=FILM_TEXT,
                categories=FILM_GENRES,
                attributes={"release_year": 1998},
            )
        ]
    )
    found: Slate = client.recommend(
        right.user_id,
        page_size=5,
        query=FILM_QUERY,
        query_weight=1.0,
        view="ITEMS",
        consistency_token=written.consistency_token,
    )
    seconds = time.perf_counter() - started
    place = found.item_ids.index(FILM_ID) + 1 if FILM_ID in found.item_ids else None
    screen.print(slate_table(found, f"searched: “{FILM_QUERY}”"))
    screen.print(
        f"[bold]{milliseconds(seconds)}[/] from adding it to an answer that has it"
        + (f", at place {place}" if place else ": [red]not found[/]")
    )
    catalogue = [*films, FILM_ID]
    ranks = {}
    for viewer, genre in ((right, RIGHT_GENRE), (other, OTHER_GENRE)):
        rank = rank_of(client, viewer.user_id, FILM_ID, catalogue, written.consistency_token)
        ranks[viewer.user_id] = rank
        screen.print(
            f"for user {viewer.user_id:>4}, whose last films are {share(viewer, genre, films):.0%} {genre}: "
            f"[bold]place {rank:,}[/] of {len(catalogue):,}"
        )
    return {"seconds": seconds, "place": place, "ranks": ranks, "right": right.user_id, "other": other.user_id}

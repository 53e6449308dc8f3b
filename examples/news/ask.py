"""A story breaks: shown before anybody has read it, up with its first readers, gone when it is taken back; and one that
waits for its hour."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from recency import Item, Recency, Slate, event
from showing import place_of, show

READER = "a-reader-of-science"
PAGE: dict[str, Any] = {"page_size": 8, "explain": True, "view": "ITEMS"}
FIRST_READERS = 60
EMBARGO = timedelta(seconds=4)


def ask(client: Recency) -> None:
    """Asks for front pages while a story breaks."""
    now = datetime.now(UTC)
    breaking = Item(
        item_id=f"breaking-{now:%H%M%S}",
        title="Harbour bridge of Port Amsel closed after cracks are found",
        text="Engineers found cracks in two pillars at noon. Trains and cars are led around the town until further notice.",
        categories=["Local"],
        provider="the newsroom",
        available_from=now,
        available_until=now + timedelta(hours=48),
    )
    found = client.recommend(filter="categories:Science", page_size=2)
    read = client.feedback([event(READER, article) for article in found.item_ids])
    page = client.recommend(READER, trace=True, consistency_token=read.consistency_token, **PAGE)
    show("Front page of somebody who has read two pieces of science:", page)
    _ages(client, page)

    written = client.upsert_items([breaking])
    before = client.recommend(READER, consistency_token=written.consistency_token, **PAGE)
    show("A story breaks. The next front page, before anybody has read it:", before, page, reasons=1)
    print(f"    the story is {place_of(breaking.item_id, before)}")

    client.feedback([event(f"first-reader-{number}", breaking.item_id) for number in range(FIRST_READERS)])
    time.sleep(2.0)  # the live trends of an answer are a second old at most, and the item learner looks every 0.2 s
    after = client.recommend(READER, **PAGE)
    show(f"{FIRST_READERS} people have read it:", after, before, reasons=1)
    print(f"    the story is {place_of(breaking.item_id, after)}")

    hidden = client.hide_items([breaking.item_id], "the cracks were on another bridge; corrected by the desk")
    corrected = client.recommend(READER, consistency_token=hidden.consistency_token, **PAGE)
    print(f"\nTaken back by the desk: the story is {place_of(breaking.item_id, corrected)}, in the next answer")

    _embargo(client, breaking)


def _ages(client: Recency, page: Slate) -> None:
    """How old what is on the page is, and what is not there because its time is over."""
    began = [one.item.available_from for one in page.recommendations if one.item and one.item.available_from]
    hours = sorted((datetime.now(UTC) - time).total_seconds() / 3_600 for time in began)
    print(f"    published {', '.join(f'{age:.0f}' for age in hours)} hours ago")
    over = sum(left.count for left in page.trace.filtered if left.cause == "hidden") if page.trace else 0
    print(f"    {over} older articles are not shown any more: their time is over")


def _embargo(client: Recency, story: Item) -> None:
    """An article that may be shown from a moment on is there at that moment, without another call."""
    opens = datetime.now(UTC) + EMBARGO
    waiting = Item(
        item_id=f"{story.item_id}-embargo",
        title="Nobel prize for the woman who listened to octopuses",
        text="The academy honours thirty years of research on how octopuses sleep and dream.",
        categories=["Science"],
        available_from=opens,
    )
    written = client.upsert_items([waiting])
    words: dict[str, Any] = {"query": "prize for octopus research", "page_size": 5}
    early = client.recommend(consistency_token=written.consistency_token, **words)
    time.sleep(max(0.0, (opens - datetime.now(UTC)).total_seconds()) + 1.1)
    late = client.recommend(**words)
    print(
        f"\nUnder embargo for {EMBARGO.seconds} s, asked for by its words: {place_of(waiting.item_id, early)}; "
        f"once it is over: {place_of(waiting.item_id, late)}"
    )
    client.delete_items([waiting.item_id, story.item_id])

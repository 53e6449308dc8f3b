"""An evening in front of the screen, as one interactive session: each thing that happens makes the shelf anew."""

from __future__ import annotations

import time

from recency import Recency, Slate, event
from showing import new_in, place_of, show

# Somebody new each time: an evening begins with nothing known.
VIEWER = f"viewer-{time.time_ns()}"
TOY_STORY, ALADDIN = "1", "95"


def ask(client: Recency) -> None:
    """Plays, likes, dislikes and asks in words; then the same shelf with more difference."""
    with client.session(VIEWER, page_size=8, explain=True, view="ITEMS") as session:
        first = session.newest()
        show("Someone new sits down. What most people like:", first, reasons=1)

        session.send([event(VIEWER, TOY_STORY, "COMPLETE"), event(VIEWER, ALADDIN, "LIKE")])
        played = session.newest()
        show("Toy Story was played to the end, Aladdin liked:", played, first)
        print(f"    {new_in(played, first)}, {_age(played)} after the last thing that happened")

        disliked = played.item_ids[0]
        session.send([event(VIEWER, disliked, "DISLIKE")])
        after = session.newest()
        show("Thumb down for the first of them:", after, played, reasons=1)
        print(f"    {_title(played, disliked)} is {place_of(disliked, after)}")

        session.ask(
            page_size=8, explain=True, view="ITEMS", query="a tense thriller with a detective", query_weight=0.8
        )
        show("“a tense thriller with a detective”:", session.newest(), reasons=1)

    plain = client.recommend(VIEWER, page_size=8, view="ITEMS")
    different = client.recommend(VIEWER, page_size=8, view="ITEMS", diversity=0.7)
    show("The same shelf with diversity 0.7:", different, plain)
    print(f"    genres: {_genres(plain)} without, {_genres(different)} with diversity")


def _age(slate: Slate) -> str:
    age = slate.freshness.behaviour_age
    return "" if age is None else f"{age.total_seconds() * 1e3:.0f} ms"


def _title(slate: Slate, item_id: str) -> str:
    return next(one.item.title for one in slate.recommendations if one.item_id == item_id and one.item)


def _genres(slate: Slate) -> int:
    return len({kind for one in slate.recommendations if one.item for kind in one.item.categories})

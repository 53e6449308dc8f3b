"""What facts are good for: asked for by name, shared between films, told as reasons, and corrected while it serves."""

from __future__ import annotations

from dataclasses import replace

from recency import Item, Recency, event
from recency.errors import InvalidArgument
from showing import place_of, show

VIEWER = "a-viewer-of-tonight"
FARGO, AMADEUS, TITANIC, VERTIGO, REAR_WINDOW = "100", "191", "313", "479", "603"
NEW = Item(
    item_id="a-cold-trail",
    title="A Cold Trail",
    text="A sheriff follows a ransom through a blizzard, and everybody who took a part of it lies.",
    categories=["Crime", "Thriller"],
    attributes={
        "release_year": 1998,
        "director": ["Joel Coen"],
        "actors": ["Frances McDormand", "Steve Buscemi"],
        "subjects": ["kidnapping", "police"],
    },
)


def ask(client: Recency) -> None:
    """Asks by facts, shows whom a film that nobody has seen is placed beside, and corrects a fact."""
    client.delete_items([NEW.item_id])
    liked = client.feedback([event(VIEWER, film, "LIKE") for film in (VERTIGO, REAR_WINDOW)])
    slate = client.recommend(VIEWER, page_size=6, explain=True, view="ITEMS", consistency_token=liked.consistency_token)
    show("After Vertigo and Rear Window, both by Alfred Hitchcock with James Stewart:", slate)

    by_facts = 'director:"Steven Spielberg" OR actors:"Harrison Ford"'
    show(f"Only {by_facts}:", client.recommend(VIEWER, page_size=6, filter=by_facts, view="ITEMS"))

    written = client.upsert_items([NEW])
    token = written.consistency_token
    found = {
        "films like Fargo": client.recommend(seed_item_ids=[FARGO], consistency_token=token),
        "films of one director": client.recommend(filter='director:"Joel Coen"', consistency_token=token),
        "films for “a kidnapping in the snow”": client.recommend(
            query="a kidnapping in the snow", consistency_token=token
        ),
    }
    print(f"\n{NEW.title}, added a moment ago and seen by nobody, is")
    for said, slate in found.items():
        print(f"  among {said}: {place_of(NEW.item_id, slate)}")
    beside = client.recommend(
        VIEWER, seed_item_ids=[FARGO], negative_item_ids=[TITANIC], page_size=5, explain=True, view="ITEMS"
    )
    show("More like Fargo, less like Titanic:", beside)

    awarded = 'awards:"Best Picture"'
    try:
        client.recommend(filter=awarded)
    except InvalidArgument as error:
        print(f"\nNobody has told of awards yet: {error}")
    amadeus = client.get_item(AMADEUS)
    told = replace(amadeus, attributes={**amadeus.attributes, "awards": ["Best Picture"]})
    written = client.upsert_items([told])
    slate = client.recommend(
        VIEWER, filter=awarded, view="ITEMS", page_size=3, consistency_token=written.consistency_token
    )
    show(f"A fact was added, and the next answer to {awarded} has it:", slate)

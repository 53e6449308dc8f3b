"""177 films with facts about them (facts.tsv, written by hand) and what 160 people of MovieLens 100K made of them.

MovieLens has titles, years, genres and ratings. The knowledge graph that RecBole packs beside it is not used: its link file
numbers films as MovieLens 1M does, not as MovieLens 100K, and its entities have no names.
"""

from __future__ import annotations

import csv
import json
from datetime import datetime, timedelta
from pathlib import Path

from google.protobuf.json_format import MessageToDict

from recency_cli.exporting import movielens_folder
from recency_export.movielens import load

FACTS = Path(__file__).with_name("facts.tsv")
PEOPLE = 160
RELATIONS = ("director", "actors", "subjects")


def write(folder: Path, now: datetime) -> None:
    """Writes the films, each fact a list under its relation's name, and the ratings, moved so that the newest is now."""
    with FACTS.open(encoding="utf-8") as file:
        facts = {row["item_id"]: row for row in csv.DictReader(file, delimiter="\t")}
    films = load(movielens_folder())
    items = [
        {
            "item_id": film.item_id,
            "title": film.title,
            "categories": list(film.categories),
            **MessageToDict(film.attributes),
            **{relation: facts[film.item_id][relation].split("|") for relation in RELATIONS},
        }
        for film in films.items
        if film.item_id in facts
    ]
    ratings = [event for event in films.events if event.item_id in facts and int(event.user_id) <= PEOPLE]
    newest = ratings[-1].event_time.ToMicroseconds()
    events = [
        {
            "user_id": event.user_id,
            "item_id": event.item_id,
            "type": "rating",
            "value": event.value,
            "time": (now - timedelta(microseconds=newest - event.event_time.ToMicroseconds())).isoformat(),
        }
        for event in ratings
    ]
    for name, rows in (("items", items), ("events", events)):
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")

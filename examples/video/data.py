"""400 films of MovieLens 100K and what 150 people did with them, told as a video service would tell it: played to the end,
liked, watched half, skipped."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict

from recency.v1 import event_pb2
from recency_cli.exporting import movielens_folder
from recency_export.movielens import load

FILMS, PEOPLE = 400, 150


def write(folder: Path, now: datetime) -> None:
    """Writes the most watched films, and what was done with them, moved so that the newest is now."""
    data = load(movielens_folder())
    most = {film for film, _ in Counter(event.item_id for event in data.events).most_common(FILMS)}
    items = [
        {
            "item_id": film.item_id,
            "title": film.title,
            "categories": list(film.categories),
            **MessageToDict(film.attributes),
        }
        for film in data.items
        if film.item_id in most
    ]
    ratings = [event for event in data.events if event.item_id in most and int(event.user_id) <= PEOPLE]
    newest = ratings[-1].event_time.ToMicroseconds()
    events = [
        {
            "user_id": event.user_id,
            "item_id": event.item_id,
            "time": (now - timedelta(microseconds=newest - event.event_time.ToMicroseconds())).isoformat(),
            **done,
        }
        for event in ratings
        for done in _done(event)
    ]
    for name, rows in (("items", items), ("events", events)):
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")


def _done(rating: event_pb2.Event) -> Iterator[dict[str, Any]]:
    """What somebody does who would give this rating."""
    if rating.value >= 4:
        yield {"type": "complete"}
    if rating.value == 5:
        yield {"type": "like"}
    if rating.value == 3:
        yield {"type": "custom", "custom_type": "watched_half"}
    if rating.value < 3:
        yield {"type": "skip"}

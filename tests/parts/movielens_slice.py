"""A small but real part of MovieLens: the most rated films, and what the first users made of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from recency.v1 import event_pb2, item_pb2
from recency_export.movielens import load


def movielens_slice(
    folder: Path, films: int, users: int, newest_micros: int
) -> tuple[list[item_pb2.Item], list[event_pb2.Event]]:
    """Items and events, oldest first, with all times moved so that the newest event is at `newest_micros`."""
    data = load(folder)
    most_rated = {item_id for item_id, _ in Counter(event.item_id for event in data.events).most_common(films)}
    items = [item for item in data.items if item.item_id in most_rated]
    events = [event for event in data.events if event.item_id in most_rated and int(event.user_id) <= users]
    shift = newest_micros - events[-1].event_time.ToMicroseconds()
    for event in events:
        event.event_time.FromMicroseconds(event.event_time.ToMicroseconds() + shift)
    return items, events

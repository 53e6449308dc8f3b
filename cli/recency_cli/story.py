"""What the demo tells, as plain functions over the data: whom it shows, what they click, what moved, where a film ranks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recency import Recency
    from recency.v1 import item_pb2
    from recency_store.protocol import Store

LIKED = 4.0
RECENT = 50
LEAST_EVENTS = 40
# A slate holds at most 500; ranks over more come from several.
CHUNK = 499


@dataclass(frozen=True, slots=True)
class Viewer:
    """A user of the data: their newest events' items, newest last, and which of all they rated 4 or 5."""

    user_id: str
    recent: tuple[str, ...]
    liked: tuple[str, ...]
    newest_micros: int = 0


def viewers(store: Store, user_ids: Iterable[str]) -> list[Viewer]:
    """The users with enough events to have a taste."""
    found = []
    for user_id in user_ids:
        events = store.read_user(user_id, 1_000)
        if len(events) < LEAST_EVENTS:
            continue
        liked = tuple(e.item_id for e in events if e.value is not None and e.value >= LIKED)
        found.append(Viewer(user_id, tuple(e.item_id for e in events[-RECENT:]), liked, events[-1].time_micros))
    return found


def share(viewer: Viewer, genre: str, films: Mapping[str, item_pb2.Item]) -> float:
    """How much of what a user watched lately is of a genre."""
    hits = sum(genre in films[item].categories for item in viewer.recent if item in films)
    return hits / len(viewer.recent)


def fullest_of(viewers: Sequence[Viewer], genre: str, films: Mapping[str, item_pb2.Item]) -> Viewer:
    """Whose newest events hold most of a genre; the last id among equals."""
    return max(viewers, key=lambda viewer: (share(viewer, genre, films), viewer.user_id))


def latest(viewers: Sequence[Viewer], but: Sequence[Viewer] = ()) -> Viewer:
    """Who was active last, apart from some; the last id among equals."""
    return max((viewer for viewer in viewers if viewer not in but), key=lambda v: (v.newest_micros, v.user_id))


def genre_to_click(slate: Sequence[str], films: Mapping[str, item_pb2.Item], genres: Sequence[str]) -> str:
    """The genre among `genres` that a slate shows least of: clicks there should be seen."""
    shown = Counter(genre for item in slate if item in films for genre in films[item].categories)
    return min(genres, key=lambda genre: (shown[genre], genre))


def films_to_click(
    genre: str, films: Mapping[str, item_pb2.Item], seen: Iterable[str], popularity: Mapping[str, int], count: int = 3
) -> list[str]:
    """The best known films of a genre that the user has not seen."""
    left = set(films) - set(seen)
    of_genre = [item for item in left if genre in films[item].categories]
    return sorted(of_genre, key=lambda item: (-popularity.get(item, 0), item))[:count]


def moves(before: Sequence[str], after: Sequence[str]) -> list[tuple[str, str]]:
    """Each item of the new slate with what became of it: `new`, `▲3`, `▼1` or `=`."""
    places = {item: place for place, item in enumerate(before)}
    said = []
    for place, item in enumerate(after):
        was = places.get(item)
        if was is None:
            said.append((item, "new"))
        else:
            said.append((item, "=" if was == place else f"▲{was - place}" if was > place else f"▼{place - was}"))
    return said


def rank_of(client: Recency, user_id: str, item_id: str, catalogue: Sequence[str], token: str) -> int:
    """The item's place among the whole catalogue for a user, 1 the best. Scores compare within one answer only, so each
    part of the catalogue is ranked together with the item, and what stands above it is counted."""
    others = [item for item in catalogue if item != item_id]
    above = 0
    for start in range(0, len(others), CHUNK):
        named = [*others[start : start + CHUNK], item_id]
        slate = client.recommend(
            user_id, candidate_item_ids=named, page_size=CHUNK + 1, include_seen=True, consistency_token=token
        )
        above += slate.item_ids.index(item_id)
    return above + 1

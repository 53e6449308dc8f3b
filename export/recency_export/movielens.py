"""MovieLens 100K, the real data that the demo and the benches run on: 100,000 ratings of 1,682 films by 943 users.

The files are RecBole's copies (`make setup` puts them into `.cache/ml-100k`). All 1,682 films stay, also the 18 that
stand there twice under two ids: published figures rank over all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from recency.v1 import event_pb2, item_pb2, user_pb2
from recency_export.importer import Imported, write_events, write_items
from recency_export.progress import Progress, Silent
from recency_export.rows import BadFile, Problem
from recency_store.protocol import Store

_ARTICLE = re.compile(r"^(.*), (The|A|An|Les|Le|La|L'|Il|I|O|El|Los|Las|Das|Die|Der|Den|Det)$")
_YEAR = re.compile(r"\((\d{4})\)\s*$")
_FILES = {
    "inter": ("user_id", "item_id", "rating", "timestamp"),
    "item": ("item_id", "movie_title", "release_year", "class"),
    "user": ("user_id", "age", "gender", "occupation", "zip_code"),
}
_SECOND = 1_000_000
_SILENT = Silent()


@dataclass(frozen=True, slots=True)
class MovieLens:
    """The data as records of the store: items, users, and the events in the order of (time, line)."""

    items: tuple[item_pb2.Item, ...]
    users: tuple[user_pb2.User, ...]
    events: tuple[event_pb2.Event, ...]


def load(folder: Path) -> MovieLens:
    """Reads the files, with the times as they are in them; BadFile where one is missing or not what it should be."""
    ratings = sorted(_table(folder, "inter"), key=lambda row: (float(row[1][3]), row[0]))
    return MovieLens(
        items=tuple(_item(*row) for _, row in _table(folder, "item")),
        users=tuple(_user(*row[:4]) for _, row in _table(folder, "user")),
        events=tuple(_event(*row) for _, row in ratings),
    )


def _table(folder: Path, ending: str) -> Iterator[tuple[int, list[str]]]:
    path, columns = folder / f"ml-100k.{ending}", _FILES[ending]
    if not path.is_file():
        raise BadFile(
            path, [Problem(0, "", "there is no such file; `make setup` fetches it, or name its folder with --path")]
        )
    lines = path.read_text(encoding="utf-8").splitlines()
    header = tuple(name.partition(":")[0] for name in lines[0].split("\t")) if lines else ()
    if header != columns:
        raise BadFile(
            path, [Problem(1, "", f"not MovieLens as RecBole has it: the columns should be {', '.join(columns)}")]
        )
    for number, line in enumerate(lines[1:], 2):
        cells = line.split("\t")
        if len(cells) != len(columns):
            raise BadFile(
                path,
                [Problem(number, "", f"{len(cells)} columns instead of {len(columns)}; `make setup` fetches it anew")],
            )
        yield number, cells


def _event(user_id: str, item_id: str, rating: str, timestamp: str) -> event_pb2.Event:
    event = event_pb2.Event(
        event_id=f"ml100k-{user_id}-{item_id}",
        user_id=user_id,
        item_id=item_id,
        type=event_pb2.EVENT_TYPE_RATING,
        value=float(rating),
    )
    event.event_time.FromMicroseconds(int(float(timestamp)) * _SECOND)
    return event


def _item(item_id: str, title: str, year: str, genres: str) -> item_pb2.Item:
    named_year = _YEAR.search(title)
    if named_year:
        title, year = title[: named_year.start()].strip(), named_year.group(1)
    item = item_pb2.Item(item_id=item_id, title=fixed_title(title))
    named = [genre for genre in genres.split() if genre != "unknown"]
    item.categories.extend(named)
    if named:
        # Under the name, too, that people who know the data filter by.
        item.attributes["genres"] = named
    if year.isdigit():
        item.attributes["release_year"] = int(year)
    return item


def fixed_title(title: str) -> str:
    """`Godfather, The` → `The Godfather`, and the same for the original title in brackets."""
    outer, bracket, inner = title.partition(" (")
    if bracket and inner.endswith(")"):
        return f"{_article_first(outer)} ({_article_first(inner[:-1])})"
    return _article_first(title)


def _article_first(title: str) -> str:
    if title == "unkonwn":  # the data's own spelling of a film that it does not name
        return "Unknown"
    match = _ARTICLE.match(title)
    if match is None:
        return title
    return match.group(2) + ("" if match.group(2).endswith("'") else " ") + match.group(1)


def _user(user_id: str, age: str, gender: str, occupation: str) -> user_pb2.User:
    user = user_pb2.User(user_id=user_id)
    user.attributes["age"] = int(age)
    user.attributes["gender"] = gender
    user.attributes["occupation"] = occupation
    return user


def import_movielens(
    store: Store, folder: Path, now_micros: int, shift_to: int | None = None, progress: Progress = _SILENT
) -> Imported:
    """Items, users and ratings into the store; a second run changes nothing.

    `shift_to` moves all times by the same amount, so that the newest rating is at that moment: ages and decays then
    mean what they mean in a live system. What an earlier, interrupted run has stored decides the amount for the rest.
    """
    data = load(folder)
    items = write_items(store, data.items, len(data.items), now_micros, _SILENT)
    erased = {erasure.digest for erasure in store.erasures()}
    for user in data.users:
        if store.get_user(user.user_id) is None and store.user_digest(user.user_id) not in erased:
            store.put_user(user, now_micros)
    shift = 0 if shift_to is None else _shift(store, data.events, shift_to)
    if shift:
        for event in data.events:
            event.event_time.FromMicroseconds(event.event_time.ToMicroseconds() + shift)
    events = write_events(store, data.events, len(data.events), progress)
    return Imported(items.rows + events.rows, items.written + events.written, items.unchanged + events.unchanged)


def _shift(store: Store, events: tuple[event_pb2.Event, ...], shift_to: int) -> int:
    first = events[0]
    earlier = store.read_user(first.user_id, 1_000)
    for logged in earlier:
        if logged.event_id == first.event_id:
            return logged.time_micros - first.event_time.ToMicroseconds()
    return shift_to - events[-1].event_time.ToMicroseconds()

"""Test-then-train in time order: what is known at the cut, and the stretch after it that is replayed. Pure.

Every change has a time: an event its own, an item the second before its first event (the data does not say when a film came
to be known; where nobody has touched it, it was there from the start).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recency_bench.split import catalogue
from recency_features.events import rule
from recency_store.protocol import Store
from recency_store.records import LoggedEvent, NewItem

# How long before its first event an item exists.
_BEFORE_FIRST_MICROS = 1_000_000


@dataclass(frozen=True, slots=True)
class NewcomerItem:
    """An item that comes to be during the stretch, and when."""

    born_micros: int
    new: NewItem


@dataclass(frozen=True, slots=True)
class Stretch:
    """known, stream   events before and after the cut, each in (time, sequence) order
    items            the catalogue at the cut
    newcomers        items that come during the stretch, in the order in which they come
    """

    known: list[LoggedEvent]
    stream: list[LoggedEvent]
    items: list[NewItem]
    newcomers: list[NewcomerItem]

    @property
    def cut_micros(self) -> int:
        """The time of the newest known event."""
        return self.known[-1].time_micros


@dataclass(frozen=True, slots=True)
class Cases:
    """The events of the stream that are asked for: `place` is each one's place in the stream; the rest is what they are.

    user int64 (a number for each user), new_user and new_item bool: nothing of the user, or the item, before the cut.
    """

    place: npt.NDArray[np.int64]
    user: npt.NDArray[np.int64]
    new_user: npt.NDArray[np.bool_]
    new_item: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.place)


def cut_by_time(source: Store, share: float = 0.7) -> Stretch:
    """Cuts what a store holds so that the first `share` of the events, in time order, are known."""
    items = catalogue(source)
    by_id = {new.item.item_id: new for new in items}
    events = sorted(
        (event for event in source.scan_log() if event.item_id in by_id),
        key=lambda event: (event.time_micros, event.sequence),
    )
    at = int(len(events) * share)
    known, stream = events[:at], events[at:]
    old = {event.item_id for event in known}
    born: dict[str, int] = {}
    for event in stream:
        if event.item_id not in old:
            born.setdefault(event.item_id, event.time_micros - _BEFORE_FIRST_MICROS)
    return Stretch(
        known=known,
        stream=stream,
        items=[new for new in items if new.item.item_id not in born],
        newcomers=[NewcomerItem(micros, by_id[item_id]) for item_id, micros in born.items()],
    )


def cases_of(stretch: Stretch, every: int = 1) -> Cases:
    """Each positive event of the stream, or each `every`-th."""
    old_users = {event.user_id for event in stretch.known}
    old_items = {event.item_id for event in stretch.known}
    number: dict[str, int] = {}
    positive = [place for place, event in enumerate(stretch.stream) if rule(event.type).positive_weight]
    asked = [(place, stretch.stream[place]) for place in positive[::every]]
    return Cases(
        place=np.array([place for place, _ in asked], dtype=np.int64),
        user=np.array([number.setdefault(event.user_id, len(number)) for _, event in asked], dtype=np.int64),
        new_user=np.array([event.user_id not in old_users for _, event in asked], dtype=np.bool_),
        new_item=np.array([event.item_id not in old_items for _, event in asked], dtype=np.bool_),
    )


def window_ends(count: int, size: int) -> list[int]:
    """Where each window of `size` events ends; the last one may be shorter."""
    return [*range(size, count, size), count] if count else []

"""What the store holds → one consistent picture of it in a file. Later stages read this and never the store.

Left out: deleted items, events that were taken back (and those that only take one back), events of users who do not consent
to training.
Items are in the order of their ids; events in the order of the log. An item without a text vector of this encoder is
encoded, and its vector written back, so that nobody has to encode it again: take a snapshot with the encoder of the release
that serves. The vectors of an encoder that no active release has stay out of the store (`language_stage.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from recency.v1 import event_pb2
from recency_features.spaces import Directions, directions_of
from recency_features.standing import TakenBack
from recency_features.text import item_text
from recency_store.protocol import Store
from recency_store.records import LoggedEvent, StoredItem

_PAGE = 1_000
# The row of an empty catalogue: a matrix without rows is not to be had, and no item can have the empty id.
_NOTHING = StoredItem("", 0, b"", b"", "", None, False, 0, 0)
# Texts → raw text vectors, float32 [n, text_dim].
Encode = Callable[[Sequence[str]], npt.NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Items and events as they were.

    item_ids        the N catalogue items, then ids that only events name
    text_vectors    float32 [N, text_dim]
    user, item, type, time_micros   a value an event; user and item are numbers (item < N: in the catalogue)
    sequence                        its position in the log
    shown, shown_offsets            the items of each impression, shown[offsets[i]:offsets[i+1]] of impression i
    shown_user, shown_micros, shown_sequence   whose impression, when, and its position in the log
    directions      the items' own vectors, by space
    """

    item_ids: tuple[str, ...]
    text_vectors: npt.NDArray[np.float32]
    user: npt.NDArray[np.int32]
    item: npt.NDArray[np.int32]
    type: npt.NDArray[np.int32]
    time_micros: npt.NDArray[np.int64]
    sequence: npt.NDArray[np.int64]
    shown: npt.NDArray[np.int32]
    shown_offsets: npt.NDArray[np.int64]
    shown_user: npt.NDArray[np.int32]
    shown_micros: npt.NDArray[np.int64]
    shown_sequence: npt.NDArray[np.int64]
    last_sequence: int
    directions: Directions = field(default_factory=dict)

    @property
    def item_count(self) -> int:
        """N, the items of the catalogue."""
        return int(self.text_vectors.shape[0])


def take_snapshot(
    store: Store, through: int, encoder_digest: str, text_dim: int, encode: Encode, advance: Callable[[int, int], None]
) -> Snapshot:
    """Reads items (as they are now) and events up to the sequence `through`."""
    items = _read_items(store) or [_NOTHING]
    vectors = _text_vectors(store, items, encoder_digest, text_dim, encode, advance)
    item_number = {item.item_id: number for number, item in enumerate(items)}
    user_number: dict[str, int] = {}
    rows: list[tuple[int, int, int, int, int]] = []
    event_ids: list[str] = []
    taken_back = TakenBack()
    impressions: list[tuple[int, int, int, list[int]]] = []
    shown_ids: list[str] = []
    for logged in store.scan_log(0, through):
        user = user_number.setdefault(logged.user_id, len(user_number))
        taken_back.add(logged)
        if logged.retracts:
            continue
        if logged.type == event_pb2.EVENT_TYPE_IMPRESSION:
            shown = [item_number[name] for name in dict.fromkeys(_shown(store, logged)) if name in item_number]
            if shown:
                impressions.append((user, logged.time_micros, logged.sequence, shown))
                shown_ids.append(logged.event_id)
        elif logged.item_id:
            item = item_number.setdefault(logged.item_id, len(item_number))
            rows.append((user, item, logged.type, logged.time_micros, logged.sequence))
            event_ids.append(logged.event_id)
    refused = _refused(store, user_number)
    users, items_named = list(user_number), list(item_number)
    kept = [
        row
        for row, name in zip(rows, event_ids, strict=True)
        if row[0] not in refused
        and not taken_back.covers(users[row[0]], name, items_named[row[1]], row[2], (row[3], row[4]))
    ]
    impressions = [
        row
        for row, name in zip(impressions, shown_ids, strict=True)
        if row[0] not in refused
        and not taken_back.covers(users[row[0]], name, "", event_pb2.EVENT_TYPE_IMPRESSION, (row[1], row[2]))
    ]
    table = np.array(kept, dtype=np.int64).reshape(-1, 5)
    return Snapshot(
        item_ids=tuple(item_number),
        text_vectors=vectors,
        user=table[:, 0].astype(np.int32),
        item=table[:, 1].astype(np.int32),
        type=table[:, 2].astype(np.int32),
        time_micros=table[:, 3],
        sequence=table[:, 4],
        shown=np.array([number for *_, shown in impressions for number in shown], dtype=np.int32),
        shown_offsets=np.cumsum([0, *(len(shown) for *_, shown in impressions)], dtype=np.int64),
        shown_user=np.array([user for user, *_ in impressions], dtype=np.int32),
        shown_micros=np.array([micros for _, micros, _, _ in impressions], dtype=np.int64),
        shown_sequence=np.array([sequence for _, _, sequence, _ in impressions], dtype=np.int64),
        last_sequence=through,
        directions=directions_of(items),
    )


def _shown(store: Store, logged: LoggedEvent) -> Sequence[str]:
    """The items of an impression: those that it lists or names, or else its slate as served. That may have been written
    after the impression, by another gateway."""
    event = logged.event()
    if event.shown_item_ids or logged.item_id:
        return list(event.shown_item_ids) or [logged.item_id]
    slate = store.get_slate(event.recommendation_id) if event.recommendation_id else None
    return slate.item_ids if slate is not None and slate.user_id == logged.user_id else ()


def _read_items(store: Store) -> list[StoredItem]:
    items: list[StoredItem] = []
    while page := store.list_items(_PAGE, items[-1].item_id if items else ""):
        items.extend(page)
    return items


def _text_vectors(
    store: Store,
    items: list[StoredItem],
    digest: str,
    text_dim: int,
    encode: Encode,
    advance: Callable[[int, int], None],
) -> npt.NDArray[np.float32]:
    """The items' raw text vectors, encoding and writing back those that this encoder has not made."""
    vectors = np.zeros((len(items), text_dim), dtype=np.float32)
    missing = []
    for row, item in enumerate(items):
        if item.text_encoder == digest and len(item.text_vector) == text_dim * 4:
            vectors[row] = np.frombuffer(item.text_vector, dtype="<f4")
        else:
            missing.append(row)
    texts = {row: item_text(items[row].item()) for row in missing}
    # Texts of like length together: a batch costs what its longest text costs.
    missing.sort(key=lambda row: (len(texts[row]), row))
    for start in range(0, len(missing), 64):
        rows = missing[start : start + 64]
        vectors[rows] = encode([texts[row] for row in rows])
        made = [(items[row].item_id, items[row].revision, vectors[row].astype("<f4").tobytes()) for row in rows]
        store.set_text_vectors(made, digest)
        advance(start + len(rows), len(missing))
    return vectors


def _refused(store: Store, user_number: dict[str, int]) -> set[int]:
    return {user_number[user_id] for user_id in store.users_not_training() if user_id in user_number}


def write_snapshot(path: Path, snapshot: Snapshot) -> None:
    """Writes an .npz file."""
    directions = {f"directions_{number}": rows for number, rows in enumerate(snapshot.directions.values())}
    np.savez(
        path,
        item_ids=np.array(snapshot.item_ids, dtype=np.str_),
        text_vectors=snapshot.text_vectors,
        user=snapshot.user,
        item=snapshot.item,
        type=snapshot.type,
        time_micros=snapshot.time_micros,
        sequence=snapshot.sequence,
        shown=snapshot.shown,
        shown_offsets=snapshot.shown_offsets,
        shown_user=snapshot.shown_user,
        shown_micros=snapshot.shown_micros,
        shown_sequence=snapshot.shown_sequence,
        last_sequence=np.int64(snapshot.last_sequence),
        spaces=np.array(list(snapshot.directions), dtype=np.str_),
        **directions,  # type: ignore[arg-type]
    )


def read_snapshot(path: Path) -> Snapshot:
    """Reads what `write_snapshot` wrote."""
    with np.load(path, allow_pickle=False) as saved:
        arrays = {name: saved[name] for name in saved.files}
    item_ids = tuple(str(name) for name in arrays.pop("item_ids"))
    last_sequence = int(arrays.pop("last_sequence"))
    spaces = [str(name) for name in arrays.pop("spaces")]
    directions = {name: arrays.pop(f"directions_{number}") for number, name in enumerate(spaces)}
    return Snapshot(item_ids=item_ids, last_sequence=last_sequence, directions=directions, **arrays)

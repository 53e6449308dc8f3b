"""The event log as Parquet files: what many machines read at once, and what any other tool can read too.

Each file holds a range of the log, `events/events-<first>-<last>.parquet`; a range that the log has passed does not change
(but where two users were merged since: then all are written anew), and the newest, still open one is written anew.
`receipt.json` says which files belong together: it is replaced at the end, in one rename, so that a reader sees one whole
state, and a compaction that was killed changes nothing. The files that the receipt before it named stay for the sake of
whoever is reading them, until the next compaction.

After somebody was erased, the ranges that hold them are written anew in place, and no older file stays.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from recency_export.errors import ExportError, ForeignLog, MissingExtra
from recency_export.workspace import sync_folder
from recency_store.manifest import file_entry
from recency_store.protocol import Store
from recency_store.records import LoggedEvent

try:
    import pyarrow
    import pyarrow.compute
    import pyarrow.parquet
except ImportError as error:
    raise MissingExtra(f"{error.name} is not installed; `pip install recency-server[export]`") from error

RECEIPT = "receipt.json"
FORMAT = 1
RANGE = 100_000
# Users are dealt to so many buckets, so that a worker reads its users alone.
BUCKETS = 64
SCHEMA = pyarrow.schema(
    [
        ("sequence", pyarrow.int64()),
        ("event_id", pyarrow.string()),
        ("user_id", pyarrow.string()),
        ("item_id", pyarrow.string()),
        ("type", pyarrow.int32()),
        ("time_micros", pyarrow.int64()),
        ("value", pyarrow.float64()),
        ("payload", pyarrow.binary()),
        ("user_bucket", pyarrow.int32()),
        ("retracts_event_id", pyarrow.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Part:
    """One file: which positions of the log it holds, and what it is."""

    name: str
    first: int
    last: int
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Compacted:
    """A state of the folder: every event up to `through`. `before` names files that the state before this one had."""

    through: int
    range: int
    first_event: str
    parts: tuple[Part, ...]
    before: tuple[str, ...] = ()
    format: int = FORMAT

    @property
    def rows(self) -> int:
        """How many events."""
        return sum(part.rows for part in self.parts)


def user_bucket(user_id: str) -> int:
    """The bucket of a user: the same in every process and on every machine."""
    return zlib.crc32(user_id.encode()) % BUCKETS


def compact(
    store: Store,
    folder: Path,
    range_size: int = RANGE,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Compacted:
    """Brings the folder up to the log's end: reads only what came since, and the open range once more."""
    (folder / "events").mkdir(parents=True, exist_ok=True)
    through = store.last_sequence()
    found = read_receipt(folder)
    first_event = next((event.event_id for event in store.read_log(0, 1)), "")
    # By name, since a first event that was erased tells nothing.
    erased = {erasure.digest for erasure in store.erasures(found.through)} if found is not None else set()
    other = found is not None and found.first_event not in ("", first_event) and not erased
    if found is not None and (other or found.through > through):
        raise ForeignLog(
            f"{folder}: holds {found.rows:,} events of another log (or of this one before it was restored); "
            "remove the folder, or name another with --folder"
        )
    if found is not None and found.through == through:
        # A compaction that was killed at its end may have left older files.
        _sweep(folder, found)
        return found
    size = found.range if found is not None else range_size
    # The range in which the last compaction ended is still open: it is read again. Where events have passed to another user
    # since, every range may hold some of them.
    rewritten = found is not None and store.last_rewrite() > found.through
    begin = found.through // size * size if found is not None and not rewritten else 0
    parts = [part for part in found.parts if part.first < begin] if found is not None else []
    for number, events in groupby(store.scan_log(max(begin - 1, 0), through), key=lambda event: event.sequence // size):
        last = min((number + 1) * size - 1, through)
        parts.append(_write(folder, number * size, last, list(events)))
        advance(last, through)
    if erased:
        parts = [_rewritten(folder, part, store, erased) if part.first < begin else part for part in parts]
    names = {part.name for part in parts}
    before = tuple(part.name for part in found.parts if part.name not in names) if found and not erased else ()
    made = Compacted(through, size, first_event, tuple(parts), before)
    _put_receipt(folder, made)
    _sweep(folder, made)
    return made


def read_receipt(folder: Path) -> Compacted | None:
    """What the folder holds, or None where nothing has been compacted into it."""
    try:
        raw = json.loads((folder / RECEIPT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if raw["format"] != FORMAT:
        raise ForeignLog(
            f"{folder}: written in format {raw['format']}, this software reads {FORMAT}; remove the folder"
        )
    parts = tuple(Part(**part) for part in raw.pop("parts"))
    return Compacted(**{**raw, "parts": parts, "before": tuple(raw["before"])})


def read_events(
    folder: Path, columns: Sequence[str], buckets: Sequence[int] | None = None, through: int | None = None
) -> pyarrow.Table:
    """Some columns of the log in its order; of some buckets of users only, and up to a position."""
    found = read_receipt(folder)
    if found is None:
        raise ExportError(f"{folder}: holds no events; make it with: recency export compact")
    wanted: Any = None
    if buckets is not None:
        wanted = pyarrow.compute.field("user_bucket").isin(list(buckets))
    if through is not None:
        upto = pyarrow.compute.field("sequence") <= through
        wanted = upto if wanted is None else wanted & upto
    tables = [
        pyarrow.parquet.read_table(folder / "events" / part.name, columns=list(columns), filters=wanted)
        for part in found.parts
    ]
    empty = pyarrow.schema([SCHEMA.field(name) for name in columns]).empty_table()
    return pyarrow.concat_tables([empty, *tables])


def _write(folder: Path, first: int, last: int, events: Sequence[LoggedEvent]) -> Part:
    name = f"events-{first:015d}-{last:015d}.parquet"
    path, partial = folder / "events" / name, folder / "events" / f".{name}.partial"
    pyarrow.parquet.write_table(_table(events), partial, compression="zstd", row_group_size=10_000)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(partial, path)
    return Part(name, first, last, len(events), **asdict(file_entry(path)))


def _rewritten(folder: Path, part: Part, store: Store, erased: Collection[str]) -> Part:
    """A part without people who were erased: as it is where it holds none of them, else from the log once more."""
    users = pyarrow.parquet.read_table(folder / "events" / part.name, columns=["user_id"]).column("user_id")
    if not any(store.user_digest(user_id) in erased for user_id in users.unique().to_pylist()):
        return part
    return _write(folder, part.first, part.last, list(store.scan_log(max(part.first - 1, 0), part.last)))


def _table(events: Sequence[LoggedEvent]) -> pyarrow.Table:
    rows = [
        {
            "sequence": event.sequence,
            "event_id": event.event_id,
            "user_id": event.user_id,
            "item_id": event.item_id,
            "type": event.type,
            "time_micros": event.time_micros,
            "value": event.value,
            "payload": event.payload,
            "user_bucket": user_bucket(event.user_id),
            "retracts_event_id": event.retracts,
        }
        for event in events
    ]
    return pyarrow.Table.from_pylist(rows, schema=SCHEMA)


def _put_receipt(folder: Path, made: Compacted) -> None:
    partial = folder / f".{RECEIPT}.partial"
    sync_folder(folder / "events")
    partial.write_text(json.dumps(asdict(made), indent=1, sort_keys=True), encoding="utf-8")
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(partial, folder / RECEIPT)
    sync_folder(folder)


def _sweep(folder: Path, made: Compacted) -> None:
    """Removes what neither this state nor the one before it names."""
    kept = {part.name for part in made.parts} | set(made.before)
    for path in (folder / "events").iterdir():
        if path.name not in kept:
            path.unlink()

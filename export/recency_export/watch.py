"""`recency export watch`: follows the log and has a release made whenever one is due, one watcher across all machines.

The release itself is made by a process of its own (`make`): its memory goes back when it ends, and it may be killed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any, Protocol

import structlog

from recency_export.watch_policy import Behaviour, Due, WatchSettings, due
from recency_store.errors import LeaseLost, StoreError
from recency_store.manifest import Manifest
from recency_store.protocol import Store
from recency_store.records import Lease, ReleaseRecord

WATCH_LEASE = "export/watch"
_LEASE_SECONDS = 30.0
_PAGE = 2_000

_log = structlog.get_logger("recency.watch")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one run: `ok` where a release was activated, and one line about it."""

    ok: bool
    what: str
    facts: Mapping[str, Any]


class Make(Protocol):
    """Has one release made, `depth` deep; ends early, and leaves nothing half done, when `stop` is set."""

    def __call__(self, depth: str, stop: Event) -> Outcome:
        """Blocks until the run has ended."""
        ...


# Tells a person what goes on: a kind (waiting, due, made, failed) and a line.
Say = Callable[[str, str], None]


class Watcher:
    """Follows what has happened since the serving release; `look` says what is due."""

    def __init__(
        self, store: Store, settings: WatchSettings, read_ids: Callable[[ReleaseRecord], frozenset[str]]
    ) -> None:
        """`read_ids` gives the item ids of a release's matrix."""
        self._store = store
        self._settings = settings
        self._read_ids = read_ids
        self._release = 0
        self._ids: frozenset[str] = frozenset()
        self._applied = 0
        self._trained = 0
        self._folded = 0
        self._full_micros = 0
        self.behaviour = Behaviour(settings.drift_slates)

    def look(self, now_micros: int) -> Due | None:
        """Reads on in the log and says which release is due. None as well while no release serves."""
        record = self._store.active_release()
        if record is None:
            return None
        if record.release != self._release:
            self._begin(record)
        while events := self._store.read_log(self._applied, _PAGE):
            self.behaviour.take_in(events, self._ids)
            self.behaviour.full_events += sum(event.sequence > self._trained for event in events)
            self.behaviour.item_events += sum(event.sequence > self._folded for event in events)
            self._applied = events[-1].sequence
        fresh = max(0, self._store.count_items() - len(self._ids))
        return due(self.behaviour, fresh, (now_micros - self._full_micros) / 1e6, self._settings)

    def _begin(self, record: ReleaseRecord) -> None:
        """Another release serves: counting starts from what it was trained on."""
        manifest = Manifest.from_json(record.manifest_json, f"release {record.release}")
        full = record
        if manifest.item_space != record.release:
            full = self._store.get_release(manifest.item_space)
        weights = Manifest.from_json(full.manifest_json, f"release {full.release}")
        self._release, self._ids = record.release, self._read_ids(record)
        self._trained = weights.trained_through_sequence
        self._folded = max(manifest.learned_through_sequence, manifest.trained_through_sequence)
        self._full_micros = full.create_micros
        self._applied = min(self._trained, self._folded)
        self.behaviour = Behaviour(self._settings.drift_slates)


def watch(
    store: Store,
    settings: WatchSettings,
    watcher: Watcher,
    make: Make,
    *,
    holder: str,
    stop: Event,
    clock: Callable[[], int],
    say: Say,
    tidy: Callable[[], None] = lambda: None,
) -> None:
    """Until `stop` is set: waits for the lease, then for a release to be due, has it made, and backs off on failure.

    What raised the failed try stays due; the pause doubles until a release is active again. A store that is away is
    waited for. `tidy` is called before each look."""
    pause = settings.pause_seconds
    while not stop.is_set():
        try:
            with _held(store, holder, clock, stop) as lost:
                if lost is None:
                    say("waiting", "another watcher is at work; this one takes over when it ends")
                    stop.wait(_LEASE_SECONDS / 2)
                    continue
                while not lost.is_set():
                    tidy()
                    found = watcher.look(clock())
                    if found is None:
                        lost.wait(settings.poll_seconds)
                        continue
                    pause = _make(found, make, lost, say, pause, settings)
        except StoreError as error:
            say("failed", f"the store does not answer ({error}); looking again in {settings.pause_seconds:g} s")
            stop.wait(settings.pause_seconds)


def _make(found: Due, make: Make, stop: Event, say: Say, pause: float, settings: WatchSettings) -> float:
    """One run, and the pause after a failed one; answers the pause that the next failure would bring."""
    say("due", f"{found.depth} release: {found.reason}")
    begun = time.monotonic()
    outcome = make(found.depth, stop)
    seconds = time.monotonic() - begun
    _log.info("release_made" if outcome.ok else "release_failed", depth=found.depth, seconds=seconds, **outcome.facts)
    if outcome.ok or stop.is_set():
        say("made" if outcome.ok else "stopped", f"{outcome.what} after {seconds:.1f} s")
        return settings.pause_seconds
    say("failed", f"{outcome.what}; trying again in {pause:g} s")
    stop.wait(pause)
    return min(2.0 * pause, settings.longest_pause_seconds)


@contextmanager
def _held(store: Store, holder: str, clock: Callable[[], int], stop: Event) -> Iterator[Event | None]:
    """Holds the watcher's lease and yields an event that is set when it is lost or `stop` is; None where another has it."""
    lease = store.acquire_lease(WATCH_LEASE, holder, int(_LEASE_SECONDS * 1e6), clock())
    if lease is None:
        yield None
        return
    lost, done = Event(), Event()
    keeper = Thread(target=_renew, args=(store, lease, clock, stop, lost, done), name="watch-lease", daemon=True)
    keeper.start()
    try:
        yield lost
    finally:
        done.set()
        keeper.join()
        store.release_lease(lease)


def _renew(store: Store, lease: Lease, clock: Callable[[], int], stop: Event, lost: Event, done: Event) -> None:
    renewed = time.monotonic()
    while not done.wait(0.1):
        if stop.is_set():
            lost.set()
            return
        if time.monotonic() - renewed < _LEASE_SECONDS / 3:
            continue
        try:
            again = store.acquire_lease(lease.name, lease.holder, int(_LEASE_SECONDS * 1e6), clock())
            if again is None or again.fence != lease.fence:
                raise LeaseLost(f"the lease {lease.name} has passed on")
            renewed = time.monotonic()
        except StoreError as error:
            # While the store is away nobody else can take it either; only a lost one ends the work.
            if isinstance(error, LeaseLost) or time.monotonic() - renewed > _LEASE_SECONDS:
                _log.error("watch_lease_lost", reason=str(error))
                lost.set()
                return


def item_ids_of(folder: Path) -> frozenset[str]:
    """The item ids of a release folder's matrix."""
    return frozenset(json.loads((folder / "item_ids.json").read_text(encoding="utf-8")))

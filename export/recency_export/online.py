"""The item learner: follows the log and moves item vectors by what it reads, without a release and without torch.

One learner at a time (a lease with a fence). The item spaces of the active release, of a canary or shadow, and of the newest
candidate that a Triton has ready are followed each from where it was trained through; the state, rows and position, is in
the store, and one transaction moves both. So a learner that is killed is gone on from, and no event is applied twice.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import structlog

from recency_export.errors import ExportError
from recency_export.online_behaviour import Behaviour
from recency_export.online_items import read_base
from recency_export.online_settings import LEASE, LearnerConfig
from recency_export.online_space import Space
from recency_export.online_users import Infer, UserVectors
from recency_export.shared_tables import item_ids_of
from recency_inference.artifacts import ReleaseCache
from recency_inference.errors import ArtifactsUnavailable, InferenceError, Unavailable
from recency_inference.wanted import READY, leased_releases
from recency_store.errors import LeaseLost, ManifestError, StoreError, UnknownRelease
from recency_store.manifest import Manifest
from recency_store.protocol import Store
from recency_store.records import Lease, ReleaseRecord, ReleaseState, last_good

_LOOK_SECONDS = 0.5
_TELL_SECONDS = 10.0
_AWAY_SECONDS = 1.0
# Before a space whose release could not be read is tried again.
_UNREADABLE_SECONDS = 30.0
# Of a space's releases, whose user encoder is asked first.
_ORDER = (ReleaseState.ACTIVE, ReleaseState.CANARY, ReleaseState.SHADOW, ReleaseState.CANDIDATE)

_log = structlog.get_logger("recency.learner")


class Learner:
    """The process's one learner. `holder` names it among those of a store; the clock gives microseconds."""

    def __init__(
        self,
        store: Store,
        inference: Infer,
        cache: ReleaseCache,
        config: LearnerConfig,
        clock: Callable[[], int],
        holder: str,
    ) -> None:
        self._store = store
        self._inference = inference
        self._cache = cache
        self._config = config
        self._clock = clock
        self._holder = holder
        self._behaviour = Behaviour(store, config.cached_users)
        self._manifests: dict[int, Manifest] = {}
        self._spaces: dict[int, Space] = {}
        # Space → when to try again to read it.
        self._unreadable: dict[int, float] = {}
        self._encoders: dict[int, UserVectors] = {}
        # Space → the releases that may be asked for user vectors.
        self._asked: Mapping[int, Sequence[ReleaseRecord]] = {}
        self._looked_seconds = -1e9
        self._renewed_seconds = -1e9
        self._told_seconds = 0.0
        self._events = self._rows = 0
        self._reason = ""
        # The lease of a caller of `catch_up`; `run` holds its own.
        self._held: Lease | None = None

    def run(self, stop: threading.Event) -> None:
        """Learns until `stop` is set. Whatever goes wrong is tried again: the learner waits, serving does not."""
        lease: Lease | None = None
        while not stop.is_set():
            try:
                lease = self._hold(lease)
                pause = _AWAY_SECONDS if lease is None else self._turn(lease)
            except LeaseLost as error:
                self._note(f"the lease has passed on: {error}")
                lease, pause = None, _AWAY_SECONDS
                self._forget()
            except (StoreError, InferenceError, ExportError) as error:
                # A store that was written by another one meanwhile is read anew.
                self._note(f"{type(error).__name__}: {error}")
                pause = _AWAY_SECONDS
                self._forget()
            if pause:
                stop.wait(pause)
        if lease is not None:
            self._store.release_lease(lease)

    def catch_up(self) -> None:
        """Learns all that the log holds now and answers, for a caller that moves time itself. LeaseLost where another
        learner is at work; InferenceError where no release of a space gives user vectors."""
        self._held = self._hold(self._held)
        if self._held is None:
            raise LeaseLost("another item learner is at work; end it first")
        self._look(self._held)
        for number in self._asked:
            reached = -1
            while (space := self._space(number)) is None or space.behind:
                if space is None or space.position == reached:
                    raise Unavailable(f"space {number} is not learned up to the end of the log: {self._reason}")
                reached = space.position
                self._step(number, self._held)

    def _hold(self, lease: Lease | None) -> Lease | None:
        """Takes the lease, or renews it when a third of it has passed; None while somebody else has it."""
        if lease is not None and time.monotonic() - self._renewed_seconds < self._config.lease_seconds / 3:
            return lease
        found = self._store.acquire_lease(LEASE, self._holder, round(self._config.lease_seconds * 1e6), self._clock())
        if found is None:
            self._note("another learner is at work; standing by")
        elif lease is None or found.fence != lease.fence:
            _log.info("learning", holder=self._holder, fence=found.fence)
            self._forget()
            self._reason = ""
        self._renewed_seconds = time.monotonic()
        return found

    def _turn(self, lease: Lease) -> float:
        """One chunk in every space; how long to wait before the next one."""
        if time.monotonic() - self._looked_seconds >= _LOOK_SECONDS:
            self._look(lease)
            self._looked_seconds = time.monotonic()
        pauses = [self._step(number, lease) for number in self._asked]
        self._tell()
        return min(pauses, default=self._config.idle_seconds)

    def _step(self, number: int, lease: Lease) -> float:
        """Learns a chunk in a space; how long to wait before the next one."""
        space = self._space(number)
        if space is None or not space.behind:
            return self._config.idle_seconds
        for record in self._asked[number]:
            users = self._encoder(record)
            if users is None:
                continue
            try:
                progress = space.step(users, lease)
            except InferenceError as error:
                # Not loaded there, or Triton is away: nothing was learned, another release of the space may answer.
                self._note(f"release {record.release} gives no user vectors: {error}")
                continue
            if space.outdated:
                _log.info("somebody was erased: learned anew", space=number)
                del self._spaces[number]
            if progress is not None:
                self._events += progress.events
                self._rows += progress.rows
                self._reason = ""
            return 0.0 if space.behind >= self._config.chunk else self._config.idle_seconds
        return _AWAY_SECONDS

    def _look(self, lease: Lease) -> None:
        """Which spaces are to be followed now."""
        records = self._store.list_releases()
        ready = leased_releases(self._store.list_leases(f"{READY}/", self._clock()))
        asked: dict[int, list[ReleaseRecord]] = {}
        for record in _followed(records, ready):
            manifest = self._manifest(record)
            if manifest is not None:
                asked.setdefault(manifest.item_space, []).append(record)
        if asked.keys() != self._asked.keys():
            _log.info("item spaces", followed=sorted(asked), before=sorted(self._asked))
            self._spaces = {number: space for number, space in self._spaces.items() if number in asked}
            self._drop(records, asked)
        self._asked = asked

    def _drop(self, records: Sequence[ReleaseRecord], asked: Iterable[int]) -> None:
        """Forgets the state of spaces that no release needs: a rollback's goal and every candidate keep theirs."""
        needed = [record for record in records if record.state in _ORDER]
        back = last_good(records)
        manifests = [self._manifest(record) for record in (*needed, *([back] if back else []))]
        keep = {manifest.item_space for manifest in manifests if manifest is not None}
        # A manifest that cannot be read may be a newer software's: what it needs is not known here.
        if keep and None not in manifests:
            self._store.drop_learned(keep | set(asked))

    def _space(self, number: int) -> Space | None:
        """The state of a space, read where it is not in memory; None where its full release cannot be had."""
        if number not in self._spaces:
            if time.monotonic() < self._unreadable.get(number, -1e9):
                return None
            try:
                record = self._store.get_release(number)
                manifest = self._manifest(record)
                if manifest is None:
                    return None
                with self._cache.hold(record.url) as folder:
                    base = read_base(folder, manifest)
            except (ManifestError, UnknownRelease, ArtifactsUnavailable, OSError) as error:
                self._note(f"space {number} cannot be learned: {error}")
                self._unreadable[number] = time.monotonic() + _UNREADABLE_SECONDS
                return None
            self._spaces[number] = Space(base, self._store, self._behaviour, self._config)
        return self._spaces[number]

    def _encoder(self, record: ReleaseRecord) -> UserVectors | None:
        if record.release not in self._encoders:
            manifest = self._manifest(record)
            if manifest is None:
                return None
            try:
                with self._cache.hold(record.url) as folder:
                    item_ids = item_ids_of(folder)
            except (ManifestError, ArtifactsUnavailable, OSError) as error:
                self._note(f"release {record.release} cannot be read: {error}")
                return None
            asked = {other.release for others in self._asked.values() for other in others}
            self._encoders = {number: users for number, users in self._encoders.items() if number in asked}
            self._encoders[record.release] = UserVectors(self._inference, manifest, item_ids)
        return self._encoders[record.release]

    def _manifest(self, record: ReleaseRecord) -> Manifest | None:
        if record.release not in self._manifests:
            try:
                self._manifests[record.release] = Manifest.from_json(record.manifest_json, f"release {record.release}")
            except ManifestError as error:
                self._note(str(error))
                return None
        return self._manifests[record.release]

    def _forget(self) -> None:
        """Nothing in memory is trusted any more."""
        self._spaces.clear()
        self._looked_seconds = -1e9

    def _note(self, reason: str) -> None:
        """Says once why it does not go on."""
        if reason != self._reason:
            _log.warning("not learning", reason=reason)
            self._reason = reason

    def _tell(self) -> None:
        if self._events and time.monotonic() - self._told_seconds > _TELL_SECONDS:
            lag = {number: space.behind for number, space in self._spaces.items()}
            _log.info("learned", events=self._events, rows=self._rows, lag=lag)
            self._told_seconds, self._events, self._rows = time.monotonic(), 0, 0


def _followed(records: Sequence[ReleaseRecord], ready: frozenset[int]) -> list[ReleaseRecord]:
    """The releases whose spaces are followed, the one that is asked first in front."""
    newest_first = sorted(records, key=lambda record: record.release, reverse=True)
    serving = [record for state in _ORDER[:-1] for record in newest_first if record.state is state]
    candidates = [
        record for record in newest_first if record.state is ReleaseState.CANDIDATE and record.release in ready
    ]
    return [*serving, *candidates[:1]]

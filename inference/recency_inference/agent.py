"""The one owner of a Triton: makes what is loaded there what the store's releases ask for, and says what is ready.

`step` does one round and may be called at any time, after any failure: it compares what is wanted (store), on disk
(repository) and loaded (Triton), and closes the gaps in an order in which nothing that serves is taken away first.
A release is verified before any file of it can be loaded; one that fails is REJECTED with the reason, unless it serves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import structlog

from recency_features import spec
from recency_inference.client import BlockingInference
from recency_inference.control import TritonControl
from recency_inference.errors import BadRequest, LoadFailed, ModelFailed, NotOwner
from recency_inference.parts import Key, Part, Shelf, recorded_versions
from recency_inference.repository import Repository
from recency_inference.wanted import READY, SERVING, leased_releases, ready_lease, wanted_releases
from recency_inference.warm import warm_requests
from recency_store.errors import ManifestError
from recency_store.protocol import Store
from recency_store.records import Lease, ReleaseRecord, ReleaseState

_log = structlog.get_logger("recency.agent")
_MICROS = 1_000_000
# Rejected by a check: what could still be told to serve. A retired one has nothing left to lose.
_REJECTABLE = frozenset({ReleaseState.CANDIDATE, ReleaseState.SHADOW, ReleaseState.CANARY, ReleaseState.ACTIVE})


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """How an agent works.

    holder                its name in leases; the same after a restart, so that it need not wait for its own lease
    lease_seconds         how long its word holds when it dies; longer than a load takes
    retry_seconds         after how long a release that failed and could not be rejected is tried again
    warm_timeout_seconds  for one warming request; the first one may build kernels
    """

    holder: str
    lease_seconds: float = 30.0
    retry_seconds: float = 30.0
    warm_timeout_seconds: float = 60.0


class Agent:
    """Owns one Triton. One thread calls it."""

    def __init__(
        self,
        target: str,
        store: Store,
        shelf: Shelf,
        repository: Repository,
        clock: Callable[[], int],
        config: AgentConfig,
    ) -> None:
        """`target` is Triton's gRPC address, as the gateways name it; `clock` tells microseconds since 1970."""
        self.target = target
        self._store = store
        self._shelf = shelf
        self._repository = repository
        self._clock = clock
        self._config = config
        self._control = TritonControl(target)
        self._inference = BlockingInference(target)
        self._warm: set[Key] = set()
        self._ready: dict[int, Lease] = {}
        self._ownership: Lease | None = None
        # Release → when it may be tried again.
        self._failed: dict[int, int] = {}

    def prepare(self) -> None:
        """Before its Triton starts, which loads all that is on disk: leaves there what is wanted and verified, whole."""
        self._own()
        self.lost()
        self._repository.tidy()
        records = self._store.list_releases()
        wanted = self._wanted(records)
        keep = {part.key: part for record in wanted for part in self._verified(record, records, loaded=frozenset())}
        for key in self._keys(self._repository.on_disk()):
            part = keep.get(key)
            if part is None or not self._repository.same_as(*key, part.folder, part.manifest):
                self._repository.remove(*key)
        for part in keep.values():
            self._stage(part)

    def step(self) -> bool:
        """One round; True when everything wanted that can be ready is. Raises Unavailable or TooLate where Triton is
        away, store errors where the store is, NotOwner where another agent owns this Triton."""
        self._own()
        records = self._store.list_releases()
        wanted = self._wanted(records)
        keep: set[Key] = set()
        for record in wanted:
            loaded = frozenset(self._keys(self._control.loaded()))
            parts = self._verified(record, records, loaded)
            if parts and self._bring(record, parts, loaded):
                keep |= {part.key for part in parts}
                self._say_ready(record.release)
            else:
                self._unsay_ready(record.release)
                # Broken on disk and serving nevertheless: what is loaded stays.
                keep |= recorded_versions(record) & loaded
        self._let_go(keep)
        for release in set(self._ready) - {record.release for record in wanted}:
            self._unsay_ready(release)
        return all(record.release in self._ready or record.release in self._failed for record in wanted)

    def lost(self) -> None:
        """Its Triton is gone: nothing there is ready or warm any more."""
        self._warm.clear()
        for release in list(self._ready):
            self._unsay_ready(release)

    def close(self) -> None:
        """Takes back its word and its ownership, and closes its connections."""
        self.lost()
        if self._ownership is not None:
            self._store.release_lease(self._ownership)
            self._ownership = None
        self._control.close()
        self._inference.close()

    # --- what should be there ------------------------------------------------------------------------------------------
    def _wanted(self, records: Sequence[ReleaseRecord]) -> list[ReleaseRecord]:
        return wanted_releases(records, leased_releases(self._store.list_leases(f"{SERVING}/", self._clock())))

    def _verified(
        self, record: ReleaseRecord, records: Sequence[ReleaseRecord], loaded: frozenset[Key]
    ) -> tuple[Part, ...]:
        """What a release needs, verified; nothing where it is not usable (and then it is on record why)."""
        if self._failed.get(record.release, 0) > self._clock():
            return ()
        try:
            return self._shelf.parts(record, records)
        except ManifestError as error:
            self._shelf.forget(record.release)
            self._refuse(record, str(error), loaded, corrupt=True)
            return ()

    def _refuse(self, record: ReleaseRecord, reason: str, loaded: frozenset[Key], *, corrupt: bool) -> None:
        """Notes why a release cannot be had here. Corrupt files are the release's own fault; that Triton cannot load or
        run it may be this machine's, unless other models are well here, and never costs the active release its state.
        """
        self._failed[record.release] = self._clock() + int(self._config.retry_seconds * _MICROS)
        versions = recorded_versions(record)
        elsewhere = [
            lease
            for lease in self._store.list_leases(f"{READY}/{record.release}/", self._clock())
            if lease.name != ready_lease(record.release, self.target)
        ]
        serves = bool(elsewhere) or (bool(versions) and versions <= loaded)
        at_fault = corrupt or (record.state is not ReleaseState.ACTIVE and bool(loaded))
        reject = record.state in _REJECTABLE and not serves and at_fault
        _log.error("release_refused", release=record.release, reason=reason, rejected=reject, serves=serves)
        if reject:
            self._store.set_release_state(record.release, ReleaseState.REJECTED, reason)

    # --- bringing ------------------------------------------------------------------------------------------------------
    def _bring(self, record: ReleaseRecord, parts: Sequence[Part], loaded: frozenset[Key]) -> bool:
        """Stages, loads and warms what a release needs and is not there yet; False where it was refused."""
        fresh = [part for part in parts if part.key not in loaded]
        try:
            for part in parts:
                # Also what is loaded already: a Triton that starts again loads what is on disk.
                self._stage(part)
            for part in fresh:
                self._load(part.model, {version for model, version in loaded if model == part.model} | {part.version})
                self._own()
            for part in parts:
                self._warm_up(part)
        except (LoadFailed, BadRequest, ModelFailed) as error:
            # What was staged or loaded of it is let go at the end of the round.
            self._refuse(record, str(error), loaded, corrupt=False)
            return False
        return True

    def _stage(self, part: Part) -> None:
        if part.version not in self._repository.on_disk().get(part.model, ()):
            self._repository.stage(*part.key, part.folder, part.manifest)

    def _load(self, model: str, versions: Iterable[int]) -> None:
        """Loads exactly these versions. A load that Triton calls successful must have brought them."""
        named = frozenset(versions)
        begun = self._clock()
        self._control.load(model, named, self._repository.config(model))
        missing = named - self._control.loaded().get(model, frozenset())
        if missing:
            raise LoadFailed(f"Triton at {self.target}: {model} version {sorted(missing)} did not become ready")
        _log.info("loaded", model=model, versions=sorted(named), seconds=(self._clock() - begun) / _MICROS)

    def _warm_up(self, part: Part) -> None:
        """Runs every batch bucket once: a first run allocates, and on a GPU picks kernels."""
        if part.key in self._warm:
            return
        outputs = [tensor.name for tensor in spec.OUTPUTS[part.model]]
        # The example's values do not matter; one seed keeps one version's warming the same everywhere.
        for inputs in warm_requests(part.model, part.manifest, np.random.default_rng(0)):
            self._inference.infer(part.model, part.version, inputs, outputs, self._config.warm_timeout_seconds)
        self._warm.add(part.key)

    # --- letting go ----------------------------------------------------------------------------------------------------
    def _let_go(self, keep: set[Key]) -> None:
        """Unloads what is loaded and not kept, by naming what is kept, and removes its folders afterwards."""
        for model, versions in self._control.loaded().items():
            kept = {version for version in versions if (model, version) in keep}
            if kept == versions:
                continue
            if kept:
                self._load(model, kept)
            else:
                self._control.unload(model)
            _log.info("let_go", model=model, versions=sorted(versions - kept))
        for key in set(self._keys(self._repository.on_disk())) - keep:
            self._repository.remove(*key)
            self._warm.discard(key)

    # --- what it says --------------------------------------------------------------------------------------------------
    def _own(self) -> None:
        """Takes or renews the ownership of this Triton."""
        self._ownership = self._lease(f"agent/{self.target}")
        if self._ownership is None:
            raise NotOwner(
                f"another agent owns the Triton at {self.target}; end it, or wait up to "
                f"{self._config.lease_seconds:.0f} s where it has been killed"
            )

    def _say_ready(self, release: int) -> None:
        self._failed.pop(release, None)
        lease = self._lease(ready_lease(release, self.target))
        if lease is not None:
            if release not in self._ready:
                _log.info("ready", release=release, target=self.target)
            self._ready[release] = lease

    def _unsay_ready(self, release: int) -> None:
        lease = self._ready.pop(release, None)
        if lease is not None:
            self._store.release_lease(lease)

    def _lease(self, name: str) -> Lease | None:
        ttl_micros = int(self._config.lease_seconds * _MICROS)
        return self._store.acquire_lease(name, self._config.holder, ttl_micros, self._clock())

    @staticmethod
    def _keys(versions: dict[str, frozenset[int]]) -> list[Key]:
        return [(model, version) for model, found in versions.items() for version in found]

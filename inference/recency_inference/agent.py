"""The one owner of a Triton: makes what is loaded there what the store's releases ask for, and says what is ready.

`step` does one round and may be called at any time, after any failure: it compares what is wanted (store), on disk
(repository) and loaded (Triton), and closes the gaps in an order in which nothing that serves is taken away first.
A release is verified before any file of it can be loaded; one that fails is REJECTED with the reason, unless it serves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from recency_inference.agent_metrics import AgentMetrics
from recency_inference.claims import Claims
from recency_inference.errors import (
    ArtifactsUnavailable,
    BadRequest,
    Hung,
    LoadFailed,
    ModelFailed,
)
from recency_inference.giving_way import giving_way
from recency_inference.models import Models
from recency_inference.parts import Key, Part, Shelf, recorded_manifest, recorded_versions
from recency_inference.refusals import Refusals
from recency_inference.repository import Repository
from recency_inference.wanted import SERVING, leased_releases, wanted_releases
from recency_store.errors import ManifestError
from recency_store.protocol import Store
from recency_store.records import ReleaseRecord

_log = structlog.get_logger("recency.agent")
_MICROS = 1_000_000


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """How an agent works.

    holder                 its name in leases; the same after a restart, so that it need not wait for its own lease
    lease_seconds          how long its word holds when it dies; longer than a load takes
    retry_seconds          after how long a release that failed and could not be rejected is tried again
    warm_timeout_seconds   for one warming request; the first one may build kernels
    probe_timeout_seconds  for one probe
    """

    holder: str
    lease_seconds: float = 30.0
    retry_seconds: float = 30.0
    warm_timeout_seconds: float = 60.0
    probe_timeout_seconds: float = 10.0


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
        metrics: AgentMetrics | None = None,
    ) -> None:
        """`target` is Triton's gRPC address, as the gateways name it; `clock` tells microseconds since 1970."""
        self.target = target
        self._store = store
        self._shelf = shelf
        self._repository = repository
        self._clock = clock
        self._config = config
        self.metrics = metrics or AgentMetrics()
        self._models = Models(
            target, repository, clock, self.metrics, config.warm_timeout_seconds, config.probe_timeout_seconds
        )
        self._claims = Claims(store, target, config.holder, config.lease_seconds, clock)
        self._refusals = Refusals(store, target, clock, config.retry_seconds, self.metrics)

    def prepare(self) -> None:
        """Before its Triton starts, which loads all that is on disk: leaves there what is wanted and verified, whole."""
        self._claims.own()
        self.lost()
        self._repository.tidy()
        records = self._store.list_releases()
        keep: set[Key] = set()
        for record in self._wanted(records):
            try:
                for part in self._verified(record, records, loaded=frozenset()):
                    self._stage(part, anew=True)
                    keep.add(part.key)
            except (ArtifactsUnavailable, OSError) as error:
                self._refusals.out_of_reach(record, str(error))
                keep |= self._staged_whole(record, records)
        for key in set(_keys(self._repository.on_disk())) - keep:
            self._repository.remove(*key)

    def step(self) -> bool:
        """One round; True when everything wanted that can be ready is. Raises Unavailable or TooLate where Triton is
        away, store errors where the store is, NotOwner where another agent owns this Triton."""
        self._claims.own()
        records = self._store.list_releases()
        wanted = self._wanted(records)
        keep: set[Key] = set()
        for record in wanted:
            loaded = self._models.loaded()
            parts = self._brought(record, records, loaded)
            if parts is None:
                self._claims.unsay_ready(record.release)
                # Broken or out of reach, and serving nevertheless: what is loaded stays.
                keep |= recorded_versions(record) & loaded
            else:
                keep |= parts
                self._claims.say_ready(record.release)
                self._refusals.cleared(record.release)
        self._let_go(keep)
        numbers = {record.release for record in wanted}
        for release in set(self._claims.ready) - numbers:
            self._claims.unsay_ready(release)
        self._shelf.keep(numbers | {version for _, version in keep})
        complete = all(number in self._claims.ready or number in self._refusals for number in numbers)
        self._report(complete)
        return complete

    def probe(self) -> str:
        """What is wrong with a model that should answer; empty where nothing is."""
        return self._models.probe()

    def lost(self) -> None:
        """Its Triton is gone: nothing there is ready or warm any more."""
        self._models.cool()
        for release in list(self._claims.ready):
            self._claims.unsay_ready(release)
        self._report(complete=False)

    def close(self) -> None:
        """Takes back its word and its ownership, and closes its connections."""
        self.lost()
        self._claims.close()
        self._shelf.keep(())
        self._models.close()

    # --- what should be there ------------------------------------------------------------------------------------------
    def _wanted(self, records: Sequence[ReleaseRecord]) -> list[ReleaseRecord]:
        return wanted_releases(records, leased_releases(self._store.list_leases(f"{SERVING}/", self._clock())))

    def _verified(
        self, record: ReleaseRecord, records: Sequence[ReleaseRecord], loaded: frozenset[Key]
    ) -> tuple[Part, ...]:
        """What a release needs, verified; nothing where it is not usable (and then it is on record why)."""
        if self._refusals.waits(record.release):
            return ()
        try:
            return giving_way(self._shelf.parts, record, records)
        except ManifestError as error:
            self._shelf.forget(record.release)
            self._refusals.corrupt(record, str(error), loaded)
            return ()

    def _staged_whole(self, record: ReleaseRecord, records: Sequence[ReleaseRecord]) -> set[Key]:
        """What is staged of a release whose folder cannot be had now, and is as its recorded manifest says."""
        manifests = {r.release: recorded_manifest(r) for r in records}
        return {
            (model, version)
            for model, version in recorded_versions(record)
            for manifest in (manifests[record.release], manifests.get(version))
            if manifest is not None and self._repository.whole(model, version, manifest)
        }

    # --- bringing ------------------------------------------------------------------------------------------------------
    def _brought(
        self, record: ReleaseRecord, records: Sequence[ReleaseRecord], loaded: frozenset[Key]
    ) -> set[Key] | None:
        """Stages, loads and warms what a release needs and is not there yet; None where it cannot be had."""
        try:
            parts = self._verified(record, records, loaded)
            if not parts:
                return None
            for part in parts:
                # Also what is loaded already: a Triton that starts again loads what is on disk.
                self._stage(part)
            for part in parts:
                if part.key not in loaded:
                    here = {version for model, version in loaded if model == part.model}
                    self._models.load(part.model, here | {part.version})
                    self._claims.own()
            for part in parts:
                self._models.warm_up(part)
        except (LoadFailed, BadRequest, ModelFailed) as error:
            # What was staged or loaded of it is let go at the end of the round.
            self._refusals.not_run(record, str(error), loaded)
            return None
        except Hung as error:
            # With Triton started again, the release that does this must not do it at once again.
            self._refusals.not_run(record, str(error), loaded)
            raise
        except (ArtifactsUnavailable, OSError) as error:
            versions = recorded_versions(record)
            if versions and versions <= loaded:
                # All of it serves; its folder is needed no more.
                return set(versions)
            self._refusals.out_of_reach(record, str(error))
            return None
        return {part.key for part in parts}

    def _stage(self, part: Part, *, anew: bool = False) -> None:
        """Puts a version on disk; `anew`: also where what is there is not what it should be."""
        there = part.version in self._repository.on_disk().get(part.model, ())
        if there and anew and not self._repository.same_as(*part.key, part.folder, part.manifest):
            self._repository.remove(*part.key)
            there = False
        if not there:
            giving_way(self._repository.stage, *part.key, part.folder, part.manifest)

    # --- letting go ----------------------------------------------------------------------------------------------------
    def _let_go(self, keep: set[Key]) -> None:
        """Unloads what is loaded and not kept, by naming what is kept, and removes its folders afterwards. What fails is
        tried again in the next round: it costs memory or disk, and nothing that serves."""
        loaded = self._models.loaded()
        for model in sorted({model for model, _ in loaded}):
            versions = {version for name, version in loaded if name == model}
            kept = {version for version in versions if (model, version) in keep}
            if kept == versions:
                continue
            try:
                if kept:
                    self._models.load(model, kept)
                else:
                    self._models.unload(model)
            except LoadFailed as error:
                _log.error("not_let_go", model=model, versions=sorted(versions - kept), reason=str(error))
                keep |= {(model, version) for version in versions}
                continue
            _log.info("let_go", model=model, versions=sorted(versions - kept))
        for key in set(_keys(self._repository.on_disk())) - keep:
            try:
                self._repository.remove(*key)
            except OSError as error:
                _log.error("not_removed", model=key[0], version=key[1], reason=str(error))

    def _report(self, complete: bool) -> None:
        self.metrics.complete = complete
        self.metrics.ready.clear()
        for release in self._claims.ready:
            self.metrics.ready.labels(str(release)).set(1)


def _keys(versions: dict[str, frozenset[int]]) -> list[Key]:
    return [(model, version) for model, found in versions.items() for version in found]

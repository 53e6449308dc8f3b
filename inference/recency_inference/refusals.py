"""Why a release cannot be had at a Triton: on its record, in the log, in a metric, and when it is tried again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from recency_inference.agent_metrics import AgentMetrics
from recency_inference.parts import MODELS, Key, recorded_versions
from recency_inference.wanted import READY, ready_lease
from recency_store.errors import StoreError
from recency_store.protocol import Store
from recency_store.records import ReleaseRecord, ReleaseState

_log = structlog.get_logger("recency.agent")
_MICROS = 1_000_000
# Rejected by a check: what could still be told to serve. A retired one has nothing left to lose.
_REJECTABLE = frozenset({ReleaseState.CANDIDATE, ReleaseState.SHADOW, ReleaseState.CANARY, ReleaseState.ACTIVE})


@dataclass(frozen=True, slots=True)
class _Failure:
    again_micros: int
    # What was noted on its record, and what stood there before.
    noted: str
    before: str


class Refusals:
    """The releases that failed at one Triton."""

    def __init__(
        self, store: Store, target: str, clock: Callable[[], int], retry_seconds: float, metrics: AgentMetrics
    ) -> None:
        self._store = store
        self._target = target
        self._clock = clock
        self._retry_micros = int(retry_seconds * _MICROS)
        self._metrics = metrics
        self._failed: dict[int, _Failure] = {}

    def __contains__(self, release: int) -> bool:
        return release in self._failed

    def waits(self, release: int) -> bool:
        """Whether it is not to be tried yet."""
        return release in self._failed and self._failed[release].again_micros > self._clock()

    def corrupt(self, record: ReleaseRecord, reason: str, loaded: frozenset[Key]) -> None:
        """Its files are not what its manifest says: the release's own fault."""
        self._metrics.refusals.labels("corrupt").inc()
        self._refuse(record, reason, reject=not self._serves(record, loaded))

    def not_run(self, record: ReleaseRecord, reason: str, loaded: frozenset[Key]) -> None:
        """Triton cannot load or run it. That may be this machine's fault, unless other models are well here, and never
        costs the active release its state."""
        self._metrics.refusals.labels("not_run").inc()
        at_fault = record.state is not ReleaseState.ACTIVE and bool(loaded)
        self._refuse(record, reason, reject=at_fault and not self._serves(record, loaded))

    def out_of_reach(self, record: ReleaseRecord, reason: str) -> None:
        """Its files cannot be read, fetched or put in place now: no fault of the release."""
        self._metrics.refusals.labels("out_of_reach").inc()
        self._refuse(record, reason, reject=False)

    def cleared(self, release: int) -> None:
        """It is ready: what was noted is no longer so."""
        failed = self._failed.pop(release, None)
        if failed is not None and failed.noted:
            self._note(release, failed.before, instead_of=failed.noted)

    def _refuse(self, record: ReleaseRecord, reason: str, *, reject: bool) -> None:
        reject = reject and record.state in _REJECTABLE
        _log.error("release_refused", release=record.release, target=self._target, reason=reason, rejected=reject)
        noted = "" if reject else f"not ready at {self._target}: {reason}"
        earlier = self._failed.get(record.release)
        before = earlier.before if earlier is not None else record.reason
        self._failed[record.release] = _Failure(self._clock() + self._retry_micros, noted, before)
        if reject:
            self._store.set_release_state(record.release, ReleaseState.REJECTED, reason)
        elif noted != record.reason:
            self._note(record.release, noted)

    def _note(self, release: int, reason: str, instead_of: str | None = None) -> None:
        try:
            if instead_of is None or self._store.get_release(release).reason == instead_of:
                self._store.note_release(release, reason)
        except StoreError as error:
            # The same full disk, perhaps: what cannot be noted must not keep the others from being loaded.
            _log.warning("reason_not_noted", release=release, error=str(error))

    def _serves(self, record: ReleaseRecord, loaded: frozenset[Key]) -> bool:
        """Whether it is loaded here, or ready at another Triton."""
        versions = recorded_versions(record)
        leases = self._store.list_leases(f"{READY}/{record.release}/", self._clock())
        elsewhere = any(lease.name != ready_lease(record.release, self._target) for lease in leases)
        named = {model for model, _ in versions}
        return elsewhere or (named.issuperset(MODELS) and versions <= loaded)

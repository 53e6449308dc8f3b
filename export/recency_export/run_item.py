"""`export run --depth item`: what the item learner has learned, folded into the matrix, as a release that serves."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from recency_export.activate import decide, ready_targets, wait_served
from recency_export.item_release import CATCH_UP_SECONDS, item_release, wait_for_learner
from recency_export.lineage import release_folder
from recency_export.log_evidence import evidence_from_log
from recency_export.online_settings import LEASE
from recency_export.plan import active_parent
from recency_export.progress import Progress
from recency_export.run_work import RunOutcome, StageTime
from recency_export.settings import BootstrapConfig
from recency_export.workspace import digest_of, peak_bytes
from recency_store.manifest import Manifest
from recency_store.protocol import Store
from recency_store.records import Lease, ReleaseRecord, ReleaseState

Clock = Callable[[], int]


class Timed:
    """A `Progress` that passes everything on and keeps the seconds of each stage."""

    def __init__(self, report: Progress) -> None:
        self._report = report
        self.times: list[StageTime] = []

    def started(self, stage: str) -> None:
        """A stage begins."""
        self._report.started(stage)

    def advanced(self, stage: str, done: int, total: int, note: str = "") -> None:
        """`done` of `total` steps."""
        self._report.advanced(stage, done, total, note)

    def done(self, stage: str, seconds: float, skipped: bool) -> None:
        """A stage has ended."""
        self.times.append(StageTime(stage, seconds, peak_bytes(), skipped))
        self._report.done(stage, seconds, skipped)


def run_item(
    store: Store, releases: Path, config: BootstrapConfig, report: Progress, clock: Clock, lease: Lease
) -> RunOutcome:
    """Makes, judges and activates an item release. A run that was killed goes on with its number."""
    timed, parent = Timed(report), active_parent(store)
    manifest = Manifest.from_json(parent.manifest_json, f"release {parent.release}")
    begun = time.monotonic()
    if store.list_leases(LEASE, clock()):
        timed.started("learner")
        wait_for_learner(store, manifest.item_space, store.last_sequence(), CATCH_UP_SECONDS)
        timed.done("learner", time.monotonic() - begun, False)
    record = item_release(store, releases, config.workspace, parent, timed, clock(), _key(store, parent), config.place)
    # Meanwhile the agents load it.
    begun = time.monotonic()
    timed.started("evidence")
    evidence = evidence_from_log(
        store, record.release, release_folder(record, releases), release_folder(parent, releases), (), config.seed
    )
    timed.done("evidence", time.monotonic() - begun, False)
    begun = time.monotonic()
    timed.started("ready")
    targets = ready_targets(
        store, record.release, config.run, clock, lambda done, total, note: timed.advanced("ready", done, total, note)
    )
    timed.done("ready", time.monotonic() - begun, False)
    begun = time.monotonic()
    timed.started("gate")
    evidence = replace(evidence, targets=targets)
    judged = decide(store, evidence, parent.release, config.gate, lease)
    timed.done("gate", time.monotonic() - begun, False)
    served = None
    if judged.record.state is ReleaseState.ACTIVE:
        served = wait_served(store, record.release, config.run.served_seconds, clock)
    metrics = judged.verdict.metrics if judged.verdict is not None else {}
    return RunOutcome(judged.record, metrics, tuple(timed.times), served)


def _key(store: Store, parent: ReleaseRecord) -> str:
    """The same until the parent has another child: a candidate that waits to be judged is gone on with."""
    decided = (record.release for record in store.list_releases() if record.state is not ReleaseState.CANDIDATE)
    return digest_of("item", parent.release, max(decided, default=0))

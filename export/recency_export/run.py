"""`export run`: from the feedback since the last release to a new one that serves.

Which parent, and up to which event, is fixed first (`plan.py`); every stage leaves a receipt (`run_work.py`); killed
anywhere, the next run goes on. Nothing is seen of a release before it is whole, and one write makes it serve.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from recency_export.activate import Judged, decide, ready_targets, wait_served
from recency_export.erased import drop_erased
from recency_export.exporter_lease import only_exporter
from recency_export.item_release import CATCH_UP_SECONDS, wait_for_learner
from recency_export.online_settings import LEASE
from recency_export.pipeline import STAGES_VERSION, Stage, run_stage
from recency_export.plan import active_parent, give_up_erased, new_events, plan_run
from recency_export.progress import Progress
from recency_export.release_files import candidate_files, candidate_manifest
from recency_export.run_work import STAGES, RunOutcome, RunWork, StageTime
from recency_export.settings import BootstrapConfig
from recency_store.manifest import Manifest
from recency_store.protocol import Store
from recency_store.records import Lease, ReleaseState

Clock = Callable[[], int]
FOLDER = "run"
Depth = Literal["full", "item", "auto"]


def run_export(
    store: Store,
    releases: Path,
    config: BootstrapConfig,
    report: Progress,
    clock: Clock,
    *,
    depth: Depth = "full",
    runs: Path | None = None,
) -> RunOutcome:
    """Makes a release from what has happened since the last one, and serves it if the gate lets it pass. `runs` is where
    the experiment tracker keeps its runs; None leaves it out.

    Raises ExporterBusy, NoParent, DiskFull, CouldNotJudge, …; a candidate that the gate rejects raises nothing.
    """
    workspace = config.workspace / FOLDER
    with only_exporter(store, config.workspace, config.run.lease_seconds, clock) as lease:
        give_up_erased(store, workspace, lease)
        drop_erased(store, config.workspace)
        if depth == "item" or (depth == "auto" and new_events(store) < config.run.full_after_events):
            from recency_export.run_item import run_item

            return run_item(store, releases, config, report, clock, lease)
        plan = plan_run(store, workspace, config, STAGES_VERSION, clock(), lease)
        if plan is None:
            return RunOutcome(None)
        parent, space = active_parent(store), store.get_release(plan.space)
        work = RunWork(store, config, report, plan, workspace, releases, parent, space)
        for stage in STAGES:
            if stage.name != "language_model" or work.adapts:
                _timed(work, stage)
        return _finish(work, releases, lease, clock, runs)


def _timed(work: RunWork, stage: Stage[RunWork]) -> None:
    skipped = run_stage(work, stage, work.plan.key)
    receipt = work.receipts[stage.name]
    work.times.append(StageTime(stage.name, 0.0 if skipped else receipt.seconds, receipt.peak_bytes, skipped))


def _finish(work: RunWork, releases: Path, lease: Lease, clock: Clock, runs: Path | None) -> RunOutcome:
    """The stages that touch the world: each may be repeated."""
    from recency_export.run_report import report_run, tracked

    with tracked(work, runs) as run:
        manifest = candidate_manifest(work, run.url)
        judged = _publish_and_judge(work, releases, manifest, lease, clock)
        metrics = manifest.metrics | (judged.verdict.metrics if judged.verdict else {})
        served = None
        if judged.record.state is ReleaseState.ACTIVE:
            served = wait_served(work.store, work.plan.release, work.config.run.served_seconds, clock)
        report_run(work, run, metrics)
    return RunOutcome(judged.record, metrics, tuple(work.times), served)


def _publish_and_judge(work: RunWork, releases: Path, manifest: Manifest, lease: Lease, clock: Clock) -> Judged:
    from recency_export.publish import publish_candidate
    from recency_export.run_evidence import evidence_of

    plan, store, config = work.plan, work.store, work.config
    folder: Path = work.timed(
        "publish", lambda: publish_candidate(store, releases, candidate_files(work), manifest, clock(), config.place)
    )
    targets = work.timed("ready", lambda: ready_targets(store, plan.release, config.run, clock, work.advance("ready")))
    # The new space begins at what was trained; what has come since is learned before it serves, if a learner is there.
    if plan.through < store.last_sequence() and store.list_leases(LEASE, clock()):
        work.timed("learner", lambda: wait_for_learner(store, plan.release, store.last_sequence(), CATCH_UP_SECONDS))
    judged: Judged = work.timed(
        "gate", lambda: decide(store, evidence_of(work, folder, targets), plan.parent, config.gate, lease)
    )
    if judged.record.state is ReleaseState.ACTIVE and work.adapts:
        from recency_export.language_stage import write_back

        write_back(store, work.workspace / "clean", work.workspace / "language_model")
    return judged

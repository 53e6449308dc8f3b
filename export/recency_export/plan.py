"""What one run is about: from which parent, up to which event. Fixed first, so that traffic which goes on meanwhile changes
nothing, and a run that was killed goes on with the same.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from recency_export.errors import NoParent
from recency_export.lineage import trained_record
from recency_export.settings import BootstrapConfig
from recency_export.workspace import digest_of, once, read_receipt
from recency_store.errors import UnknownRelease
from recency_store.manifest import Manifest
from recency_store.protocol import Store
from recency_store.records import Lease, ReleaseRecord, ReleaseState

STAGE = "plan"
_FILE = "plan.json"


@dataclass(frozen=True, slots=True)
class Plan:
    """release is the number that the run will publish under, parent the release that served when it began, space the full
    release whose weights it starts from; events with after < sequence <= through are new. `key` names the plan."""

    key: str
    release: int
    parent: int
    space: int
    after: int
    through: int
    now_micros: int
    settings: str


def active_parent(store: Store) -> ReleaseRecord:
    """The release that serves; NoParent where there is none."""
    record = store.active_release()
    if record is None:
        raise NoParent("no release is active yet; make the first one with: recency export bootstrap")
    return record


def give_up_erased(store: Store, workspace: Path, lease: Lease) -> None:
    """Gives up an unfinished run whose data holds somebody who was erased since."""
    unfinished = _unfinished(store, workspace)
    if unfinished is not None and store.erasures(unfinished.through):
        _give_up(store, unfinished, lease, "somebody in its data was erased since")


def plan_run(
    store: Store, workspace: Path, config: BootstrapConfig, version: int, now_micros: int, lease: Lease
) -> Plan | None:
    """The unfinished plan of an earlier run where there is one that still fits, else a new one; None where nothing has
    happened since the active release was trained."""
    parent = active_parent(store)
    settings = digest_of(version, _deciding(config))
    unfinished = _unfinished(store, workspace)
    if unfinished is not None and (unfinished.parent, unfinished.settings) == (parent.release, settings):
        return unfinished
    if unfinished is not None:
        _give_up(store, unfinished, lease, f"release {parent.release} serves now, or the settings are others")
    weights = trained_record(store, parent)
    after = Manifest.from_json(weights.manifest_json, f"release {weights.release}").trained_through_sequence
    through = store.last_sequence()
    if through == after:
        return None
    # Releases that came to nothing are part of the name: the same try made again is another release.
    newest = max((record.release for record in store.list_releases()), default=0)
    key = digest_of(parent.release, weights.release, after, through, settings, newest)
    plan = Plan(key, store.next_release(key), parent.release, weights.release, after, through, now_micros, settings)
    once(workspace, STAGE, digest_of(plan), lambda folder: _write(folder, plan))
    return plan


def new_events(store: Store) -> int:
    """How many changes have come since the serving release's weights were trained."""
    weights = trained_record(store, active_parent(store))
    manifest = Manifest.from_json(weights.manifest_json, f"release {weights.release}")
    return store.last_sequence() - manifest.trained_through_sequence


def _deciding(config: BootstrapConfig) -> list[object]:
    """The settings that decide what a release becomes."""
    return [
        config.seed,
        config.threads,
        config.model,
        config.train,
        config.ranker,
        config.clean,
        config.tune,
        config.language_model,
    ]


def _give_up(store: Store, plan: Plan, lease: Lease, why: str) -> None:
    """A candidate that nobody will judge any more is not kept loaded."""
    with suppress(UnknownRelease):
        store.set_release_state(plan.release, ReleaseState.REJECTED, f"its run was given up: {why}", lease=lease)


def _unfinished(store: Store, workspace: Path) -> Plan | None:
    if read_receipt(workspace / STAGE) is None:
        return None
    try:
        plan = Plan(**json.loads((workspace / STAGE / _FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    try:
        state = store.get_release(plan.release).state
    except UnknownRelease:
        return plan
    return plan if state is ReleaseState.CANDIDATE else None


def _write(folder: Path, plan: Plan) -> None:
    (folder / _FILE).write_text(json.dumps(asdict(plan), indent=1, sort_keys=True), encoding="utf-8")

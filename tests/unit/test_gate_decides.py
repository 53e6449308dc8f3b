"""What a verdict comes down to: one write, and nothing else moves."""

from pathlib import Path

import gated_release as gated
import pytest
from gated_release import write_gated

from recency_export.activate import decide
from recency_export.errors import CouldNotJudge
from recency_export.evidence import Evidence
from recency_export.gate import GateSettings
from recency_store.errors import LeaseLost
from recency_store.memory import MemoryStore
from recency_store.records import Lease, ReleaseRecord, ReleaseState

SETTINGS = GateSettings()


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    """Release 1 serves; 2 is a whole candidate, 3 one with golden cases that its graphs do not answer."""
    store = MemoryStore()
    for release, breaks in ((1, ()), (2, ()), (3, (gated.skewed_golden,))):
        parent = 1 if release > 1 else 0
        manifest = write_gated(tmp_path / str(release), release, parent, *breaks)
        url = str(tmp_path / str(release))
        store.put_release(
            ReleaseRecord(release, ReleaseState.CANDIDATE, "", url, parent, 1, manifest_json=manifest.to_json())
        )
    store.set_release_state(1, ReleaseState.ACTIVE)
    return store


@pytest.fixture
def lease(store: MemoryStore) -> Lease:
    held = store.acquire_lease("export/run", "me", 10**9, 0)
    assert held is not None
    return held


def states(store: MemoryStore) -> dict[int, str]:
    return {record.release: record.state.value for record in store.list_releases()}


def evidence(tmp_path: Path, release: int, *targets: str) -> Evidence:
    return Evidence(release, tmp_path / str(release), tmp_path / "1", targets=targets)


def test_a_candidate_without_reasons_against_it_takes_over(store: MemoryStore, lease: Lease, tmp_path: Path) -> None:
    judged = decide(store, evidence(tmp_path, 2), 1, SETTINGS, lease)
    assert judged.record.state is ReleaseState.ACTIVE
    assert states(store) == {1: "RETIRED", 2: "ACTIVE", 3: "CANDIDATE"}


def test_a_refused_candidate_has_its_reasons_on_record_and_the_served_release_goes_on(
    store: MemoryStore, lease: Lease, tmp_path: Path
) -> None:
    judged = decide(store, evidence(tmp_path, 3), 1, SETTINGS, lease)
    assert judged.record.state is ReleaseState.REJECTED
    assert "golden case 2, scorer" in judged.record.reason
    assert states(store) == {1: "ACTIVE", 2: "CANDIDATE", 3: "REJECTED"}


def test_what_could_not_be_judged_stays_a_candidate(store: MemoryStore, lease: Lease, tmp_path: Path) -> None:
    with pytest.raises(CouldNotJudge):
        decide(store, evidence(tmp_path, 2, "127.0.0.1:1"), 1, SETTINGS, lease)
    assert states(store) == {1: "ACTIVE", 2: "CANDIDATE", 3: "CANDIDATE"}


def test_an_exporter_that_lost_its_lease_while_judging_decides_nothing(
    store: MemoryStore, lease: Lease, tmp_path: Path
) -> None:
    assert store.acquire_lease("export/run", "another", 10**9, 10**12) is not None
    with pytest.raises(LeaseLost):
        decide(store, evidence(tmp_path, 2), 1, SETTINGS, lease)
    assert states(store) == {1: "ACTIVE", 2: "CANDIDATE", 3: "CANDIDATE"}

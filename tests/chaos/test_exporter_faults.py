"""An exporter that is killed at any file operation, and run again, makes the release that it would have made; the release
that serves is never touched by one that comes to nothing."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from exporter_nursery import KILLED, NOW_MICROS, Nursery, manifest_of, opened, states_of
from small_shop import make_event

from recency_export.activate import decide
from recency_export.evidence import Evidence
from recency_export.exporter_lease import only_exporter
from recency_export.gate_settings import GateSettings
from recency_store.errors import LeaseLost
from recency_store.manifest import Manifest, verify
from recency_store.records import ReleaseRecord, ReleaseState

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]
_SEED = 5
FAULTS = range(60)
QUICK = FAULTS[::6]


@pytest.fixture(params=FAULTS)
def fault(request: pytest.FixtureRequest, every_fault: bool) -> int:
    if not every_fault and request.param not in QUICK:
        pytest.skip("one of `make chaos`")
    number: int = request.param
    return number


def test_a_run_that_is_killed_at_any_file_operation_is_gone_on_with_to_the_same_release(
    nursery: Nursery, copied: Callable[[str], Path], unkilled: tuple[list[str], str], fault: int
) -> None:
    operations, expected = unkilled
    # Spread over the whole run, each at a seeded place within its part.
    part = len(operations) / len(FAULTS)
    kill_at = 1 + int((fault + random.Random(f"{_SEED} {fault}").random()) * part)
    root = copied(f"killed-{fault}")

    ran = nursery.run(root, kill_at=kill_at)

    assert ran["status"] == KILLED
    where = f"killed before operation {kill_at} of {len(operations)}: {ran['operations'][-1]}"
    print(where)
    states = states_of(root)
    active = [number for number, state in states.items() if state is ReleaseState.ACTIVE]
    assert len(active) == 1, where
    verify(root / "releases" / str(active[0]))
    assert not [number for number in states if not (root / "releases" / str(number) / "manifest.json").is_file()], where

    again = nursery.run(root)

    assert again["status"] == 0, f"{where}; then {again['errors']}"
    assert states_of(root) == {1: ReleaseState.RETIRED, 2: ReleaseState.ACTIVE}, where
    assert manifest_of(root) == expected, where
    verify(root / "releases" / "2")
    shutil.rmtree(root)


@pytest.mark.parametrize("folder", ["snapshot.partial", "onnx.partial", ".2.staging"])
def test_a_disk_that_fills_up_is_named_and_what_serves_goes_on(
    nursery: Nursery, copied: Callable[[str], Path], unkilled: tuple[list[str], str], folder: str
) -> None:
    operations, expected = unkilled
    root = copied(f"full-{folder.strip('.')}")

    # From the first file in this folder on nothing more fits.
    ran = nursery.run(root, full_at=operations.index(f"mkdir {folder}") + 2)

    assert ran["status"] == 1
    assert "the disk is full" in ran["errors"][0]
    assert states_of(root) == {1: ReleaseState.ACTIVE}
    verify(root / "releases" / "1")
    assert not list((root / "releases").glob(".*"))

    assert nursery.run(root)["status"] == 0
    assert manifest_of(root) == expected
    shutil.rmtree(root)


def test_traffic_that_goes_on_does_not_make_a_killed_run_begin_again(
    nursery: Nursery, copied: Callable[[str], Path], unkilled: tuple[list[str], str]
) -> None:
    operations, expected = unkilled
    root = copied("traffic")
    assert nursery.run(root, kill_at=operations.index("rename fine_tune.partial") + 3)["status"] == KILLED
    with opened(root) as store:
        store.append([make_event(20_000, "user-3", "item-005", NOW_MICROS)])

    again = nursery.run(root)

    assert again["status"] == 0, again["errors"]
    assert "mkdir fine_tune.partial" not in again["operations"]
    assert manifest_of(root) == expected
    # The newer event is the next release's.
    assert nursery.run(root)["status"] == 0
    assert states_of(root)[3] is ReleaseState.ACTIVE


def test_where_nothing_is_new_no_release_is_made(
    nursery: Nursery, copied: Callable[[str], Path], unkilled: tuple[list[str], str]
) -> None:
    root = copied("nothing")
    assert nursery.run(root)["status"] == 0
    assert nursery.run(root)["status"] == 0
    assert set(states_of(root)) == {1, 2}


def test_a_second_exporter_hears_who_is_at_work_and_changes_nothing(
    nursery: Nursery, copied: Callable[[str], Path]
) -> None:
    root = copied("two")
    with opened(root) as store:
        with only_exporter(store, root / "elsewhere", 30.0, lambda: NOW_MICROS):
            (said,) = nursery.run(root)["errors"]
            assert str(root / "elsewhere") in said
            assert "is exporting for this store" in said
        with only_exporter(store, root / "workspace", 30.0, lambda: NOW_MICROS):
            (said,) = nursery.run(root)["errors"]
            assert f"process {os.getpid()} is exporting" in said
    assert states_of(root) == {1: ReleaseState.ACTIVE}


def test_an_exporter_that_lost_its_lease_activates_nothing(copied: Callable[[str], Path]) -> None:
    root, now = copied("lost"), [NOW_MICROS]
    with opened(root) as store:
        manifest = Manifest.from_json(store.get_release(1).manifest_json, "release 1")
        later = replace(manifest, release=7)
        store.put_release(ReleaseRecord(7, ReleaseState.CANDIDATE, "", "", 1, 0, manifest_json=later.to_json()))
        with only_exporter(store, root / "hung", 30.0, lambda: now[0]) as lease:
            now[0] += 60_000_000
            with only_exporter(store, root / "other", 30.0, lambda: now[0]), pytest.raises(LeaseLost):
                decide(store, Evidence(7, root / "releases" / "7"), 1, GateSettings(), lease)
        assert store.get_release(7).state is ReleaseState.CANDIDATE
        assert states_of(root)[1] is ReleaseState.ACTIVE


def test_a_candidate_whose_parent_serves_no_longer_is_given_up_with_its_reason(
    nursery: Nursery, copied: Callable[[str], Path], unkilled: tuple[list[str], str]
) -> None:
    operations, _ = unkilled
    root = copied("given-up")
    # The last write but one, which gives the lease back, is the one that makes the candidate serve.
    commits = [place for place, operation in enumerate(operations, 1) if operation == "commit"]
    assert nursery.run(root, kill_at=commits[-2])["status"] == KILLED
    assert states_of(root) == {1: ReleaseState.ACTIVE, 2: ReleaseState.CANDIDATE}
    with opened(root) as store:
        first = store.get_release(1)
        again = replace(Manifest.from_json(first.manifest_json, "release 1"), release=9)
        store.put_release(replace(first, release=9, state=ReleaseState.CANDIDATE, manifest_json=again.to_json()))
        store.set_release_state(9, ReleaseState.ACTIVE)

    ran = nursery.run(root)

    assert ran["status"] == 0, ran["errors"]
    with opened(root) as store:
        assert store.get_release(2).state is ReleaseState.REJECTED
        assert "given up: release" in store.get_release(2).reason
        active = store.active_release()
    assert active is not None
    assert active.parent == 9

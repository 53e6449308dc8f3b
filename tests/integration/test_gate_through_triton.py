"""The gate over a real Triton: what it serves is what torch computed, as fast as before, or there is a reason; and a Triton
that goes away is nobody's fault."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import gated_release as gated
import numpy as np
import pytest
from gated_release import sign, write_gated
from triton_stack import TritonStack, eventually

from recency_export.errors import CouldNotJudge
from recency_export.evidence import Evidence
from recency_export.gate import GateSettings, judge
from recency_export.gate_settings import LatencySettings
from recency_store.manifest import read_manifest
from recency_store.memory import MemoryStore
from recency_store.records import ReleaseState

# On a machine that others use too: what is judged slow here is many times slower.
SETTINGS = GateSettings(latency=LatencySettings(largest_ratio=4.0, calls=40, batch=4))
PARENT, CANDIDATE, SLOW = 1, 2, 3


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, triton_environment: Path | None) -> Iterator[TritonStack]:
    """A Triton of this module's own, because one test kills it: the parent active, a candidate, and a slow one."""
    data = tmp_path_factory.mktemp("gate")
    stack = TritonStack(data, MemoryStore(), data / "releases", triton_environment)
    stack.register(write_gated(stack.releases / "1", PARENT), ReleaseState.ACTIVE)
    stack.register(write_gated(stack.releases / "2", CANDIDATE, PARENT), ReleaseState.CANDIDATE)
    stack.register(write_gated(stack.releases / "3", SLOW, PARENT, gated.slow), ReleaseState.CANDIDATE)
    stack.start()
    for release in (PARENT, CANDIDATE, SLOW):
        stack.wait_ready(release)
    yield stack
    stack.stop()


def evidence(stack: TritonStack, release: int, **more: object) -> Evidence:
    return Evidence(
        release,
        stack.releases / str(release),
        stack.releases / str(PARENT),
        targets=(stack.target,),
        **more,  # type: ignore[arg-type]
    )


def test_a_candidate_passes_on_golden_cases_and_latency_through_triton(served: TritonStack) -> None:
    verdict = judge(evidence(served, CANDIDATE), SETTINGS)
    assert verdict.passed, verdict.reasons
    by_name = {check.name: check for check in verdict.checks}
    assert by_name["parity_triton"].note == "3 golden cases agree on 1 Triton"
    assert by_name["latency"].passed is True
    assert 0 < verdict.metrics["latency_ratio"] <= 4.0
    assert 0 < verdict.metrics["latency_p99_seconds"] < 10.0


def test_a_candidate_many_times_slower_than_its_parent_is_refused(served: TritonStack) -> None:
    settings = GateSettings(latency=LatencySettings(largest_ratio=3.0, calls=12, batch=4))
    verdict = judge(evidence(served, SLOW), settings)
    (reason,) = verdict.reasons
    assert reason.startswith("latency: ")
    assert "times the parent's" in reason
    assert verdict.metrics["latency_ratio"] > 3.0


def test_a_triton_that_serves_something_else_than_the_folder_holds_is_found(
    served: TritonStack, tmp_path: Path
) -> None:
    # The same number and ids and other vectors: right in itself, and not what Triton has loaded.
    def other_vectors(folder: Path) -> None:
        with (folder / "items.bin").open("r+b") as file:
            file.write(np.full(400, 0.5, dtype="<f4").tobytes())

    folder = tmp_path / str(CANDIDATE)
    write_gated(folder, CANDIDATE, PARENT)
    other_vectors(folder)
    gated.renew_golden(folder)
    sign(folder, read_manifest(folder))
    verdict = judge(Evidence(CANDIDATE, folder, targets=(served.target,)), SETTINGS)
    (reason,) = verdict.reasons
    assert reason.startswith(f"parity_triton: Triton at {served.target}: golden case 0, recommender")


def test_a_release_that_triton_has_not_loaded_is_not_judged(served: TritonStack, tmp_path: Path) -> None:
    write_gated(tmp_path / "9", 9)
    with pytest.raises(CouldNotJudge, match="waits until it can be asked again"):
        judge(Evidence(9, tmp_path / "9", targets=(served.target,)), SETTINGS)


def test_a_parent_that_triton_has_let_go_is_not_compared_with(served: TritonStack, tmp_path: Path) -> None:
    write_gated(tmp_path / "9", 9)
    with_lost_parent = Evidence(CANDIDATE, served.releases / str(CANDIDATE), tmp_path / "9", targets=(served.target,))
    verdict = judge(with_lost_parent, SETTINGS)
    assert verdict.passed
    (latency,) = (check for check in verdict.checks if check.name == "latency")
    assert latency.passed is None
    assert "the parent is not loaded there" in latency.note


def test_nobody_at_the_target_is_no_reason_against_the_candidate(served: TritonStack) -> None:
    nobody = Evidence(CANDIDATE, served.releases / str(CANDIDATE), targets=("127.0.0.1:1",))
    with pytest.raises(CouldNotJudge):
        judge(nobody, SETTINGS)


def test_a_triton_killed_in_the_middle_is_retried_and_then_passes(served: TritonStack) -> None:
    before, calls = served.running.pid, 0

    def clock() -> float:
        nonlocal calls
        calls += 1
        if calls == 20:
            os.kill(before, signal.SIGKILL)
        return time.perf_counter()

    with pytest.raises(CouldNotJudge):
        judge(evidence(served, CANDIDATE, clock=clock), SETTINGS)
    assert served.store.get_release(CANDIDATE).state is ReleaseState.CANDIDATE

    def judged() -> bool:
        try:
            return judge(evidence(served, CANDIDATE), SETTINGS).passed
        except CouldNotJudge:
            return False

    # The runner starts Triton again with what was loaded; the next try finds it.
    eventually(judged, "the candidate is judged by the restarted Triton", seconds=80.0)

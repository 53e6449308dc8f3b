"""Golden cases: what torch answered when the release was made, and what the real Triton answers for the gateway's arrays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from served_stack import ServedStack

from recency_export.gate import GateSettings, judge
from recency_export.gate_settings import LatencySettings
from recency_export.log_evidence import evidence_from_log
from recency_features.golden import TOLERANCE
from recency_inference.client import Inference
from recency_server.errors import ReleaseRefused
from recency_server.release import Release
from recency_server.release_files import read_release
from recency_server.replay import replay_golden


def test_the_gate_finds_torch_onnxruntime_and_triton_in_agreement_on_a_real_release(stack: ServedStack) -> None:
    with stack.folder.opened() as store:
        folder = Path(store.get_release(1).url)
        evidence = evidence_from_log(store, 1, folder, folder, (stack.triton.address,))
    verdict = judge(evidence, GateSettings(latency=LatencySettings(largest_ratio=10.0, calls=20)))
    assert verdict.passed, verdict.reasons
    passed = {check.name for check in verdict.checks if check.passed}
    # The language model came with this release: its vectors were compared too.
    assert passed >= {"files", "parity_onnx", "parity_triton", "old_ndcg", "poisoning", "latency"}
    assert 0 < verdict.metrics["old_ndcg_candidate"] < 1


async def test_golden_cases_agree_through_triton(stack: ServedStack) -> None:
    with stack.folder.opened() as store:
        content, cases = read_release(store.get_release(1))
    assert {len(case.history) for case in cases} >= {0, 1, 50}
    assert any(case.steer for case in cases)
    async with Inference(stack.triton.address) as inference:
        await replay_golden(Release(content), cases, inference)


@pytest.mark.parametrize("what", ["expected_logits", "expected_candidate_logits"])
async def test_a_skew_just_over_the_tolerance_is_refused(stack: ServedStack, what: str) -> None:
    with stack.folder.opened() as store:
        content, cases = read_release(store.get_release(1))
    *rest, case = cases
    skewed = replace(case, **{what: tuple(logit + 1.5 * TOLERANCE for logit in getattr(case, what))})
    async with Inference(stack.triton.address) as inference:
        with pytest.raises(ReleaseRefused, match=f"golden case {len(rest)}"):
            await replay_golden(Release(content), [*rest, skewed], inference)

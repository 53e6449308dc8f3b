"""Golden cases: what torch answered when the release was made, and what the real Triton answers for the gateway's arrays."""

from __future__ import annotations

from dataclasses import replace

import pytest
from served_stack import ServedStack

from recency_features.golden import TOLERANCE
from recency_inference.client import Inference
from recency_server.errors import ReleaseRefused
from recency_server.release import Release
from recency_server.release_files import read_release
from recency_server.replay import replay_golden


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

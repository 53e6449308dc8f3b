"""Golden cases: what torch answered when the release was made, and what the real Triton answers for the gateway's arrays."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from served_stack import ServedStack

from recency import Recency, event
from recency_export.gate import GateSettings, judge
from recency_export.gate_settings import LatencySettings
from recency_export.log_evidence import evidence_from_log
from recency_export.off_policy import importance_weights
from recency_features.golden import TOLERANCE
from recency_inference.client import Inference
from recency_server.errors import ReleaseRefused
from recency_server.release import Release
from recency_server.release_files import read_release
from recency_server.replay import replay_golden
from recency_store.records import SlateRecord
from recency_store.sqlite import SqliteStore


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


def test_slates_left_to_chance_weigh_one_for_the_release_that_made_them(stack: ServedStack) -> None:
    """The gate gives an item at its place the chance that the gateway gave it, from slate log and event log alone."""
    users = [f"chance-{number}" for number in range(12)]
    with stack.folder.opened() as store, Recency(stack.here.address) as client:
        folder = Path(store.get_release(1).url)
        film_ids = [item.item_id for item in store.list_items(100)]
        token = client.feedback(
            [event(user, film_ids[7 * n + k]) for n, user in enumerate(users) for k in range(n % 4)]
        ).consistency_token
        slates = [client.recommend(user, exploration=0.3, consistency_token=token) for user in users]
        # What was asked for beyond a user's own slate cannot be made again from the log.
        client.recommend(users[0], exploration=0.3, filter="release_year > 1990")
        taken, other = slates[4], slates[5]
        client.feedback(
            [
                event(users[4], taken.item_ids[3], recommendation_id=taken.recommendation_id),
                event(users[5], other.item_ids[0], recommendation_id="of-another-slate"),
            ]
        )
        for slate in slates:
            logged = _logged(store, slate.recommendation_id)
            assert logged.propensities == tuple(place.propensity for place in slate.recommendations)
        found = evidence_from_log(store, 1, folder, folder, ()).logged
    # Other tests over the same stack ask by chance too.
    assert len(found.reward) == len(found.propensity) >= 10 * len(users)
    assert found.reward.sum() >= 1.0
    weight = importance_weights(found.candidate, found.propensity)
    # Where the live bias of a trend turned two near items round, the log alone does not know; elsewhere the weight is one.
    assert (np.abs(weight - 1.0) < 0.02).mean() > 0.75
    assert np.median(weight) == pytest.approx(1.0, abs=0.02)
    assert (found.candidate == found.parent).all()


def _logged(store: SqliteStore, recommendation_id: str) -> SlateRecord:
    """The slate as it was logged, a moment after the answer."""
    for _ in range(100):
        if (slate := store.get_slate(recommendation_id)) is not None:
            return slate
        time.sleep(0.05)
    raise AssertionError("the slate was not logged")


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

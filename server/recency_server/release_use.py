"""What this gateway does with a release, as GetRelease tells it."""

from __future__ import annotations

from recency.v1 import release_pb2
from recency_server.arm_limits import quantile
from recency_server.arms import Arm
from recency_server.parts import Parts
from recency_server.shadow import ShadowTally


def release_use(parts: Parts, number: int) -> release_pb2.ReleaseUse:
    """The role, the requests that hold it, why it is refused, and what its arm or its shadow came to."""
    releases = parts.releases
    loaded = releases.loaded(number)
    use = release_pb2.ReleaseUse(
        gateway=parts.config.gateway_id,
        role=releases.role_of(number),
        refused_reason=releases.refusals.reasons.get(number, ""),
        held=loaded.held if loaded is not None else 0,
    )
    arm = parts.arms.of(number)
    if arm is not None:
        use.arm.CopyFrom(_arm(arm))
    if parts.shadow.tally.release == number:
        use.shadow.CopyFrom(_shadow(parts.shadow.tally))
    return use


def _arm(arm: Arm) -> release_pb2.ReleaseArm:
    tally = arm.tally
    reward = tally.reward_interval()
    message = release_pb2.ReleaseArm(
        answers=tally.answers,
        degraded=tally.degraded,
        errors=tally.errors,
        clicks=tally.clicks,
        reward=reward.mean,
        reward_low=reward.low,
        reward_high=reward.high,
    )
    message.latency_median.FromNanoseconds(round(quantile(arm.latencies_seconds, 0.5) * 1e9))
    message.latency_p90.FromNanoseconds(round(quantile(arm.latencies_seconds, 0.9) * 1e9))
    return message


def _shadow(tally: ShadowTally) -> release_pb2.ReleaseShadow:
    scored = max(1, tally.scored)
    message = release_pb2.ReleaseShadow(
        scored=tally.scored,
        dropped=tally.dropped,
        errors=tally.errors,
        overlap_at_10=tally.overlap / scored,
        rank_correlation=tally.correlation / scored,
    )
    message.latency_mean.FromNanoseconds(round(tally.seconds / scored * 1e9))
    return message

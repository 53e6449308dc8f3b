"""When a canary is worse than what it is compared with. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

_Z_95 = 1.96


@dataclass(frozen=True, slots=True)
class CanaryConfig:
    """What a canary may cost before it is ended. Everything is compared with the active release in the same time.

    failures         it is not judged on failures (errors, and answers that its models did not make) before so many
    failure_share    how much larger its share of failures may be
    latency_answers  it is not judged on latency before so many answers of each arm
    latency_ratio    how many times as long nine of ten of its answers may take
    latency_seconds  a latency under this is never too long
    reward_answers   it is not judged on reward before so many answers of each arm
    reward_ratio     what part of the active release's reward an answer it must earn …
    reward_z         … and how sure its shortfall must be, in standard errors
    reward_most      the most that one answer can earn: nobody decides a comparison alone
    remembered       answers of each arm whose events are still attributed
    judge_seconds    between two looks
    """

    failures: int = 10
    failure_share: float = 0.05
    latency_answers: int = 100
    latency_ratio: float = 2.0
    latency_seconds: float = 0.05
    reward_answers: int = 1_000
    reward_ratio: float = 0.9
    reward_z: float = 3.0
    reward_most: float = 5.0
    remembered: int = 50_000
    judge_seconds: float = 1.0


class Interval(NamedTuple):
    """An estimate and its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(slots=True)
class Tally:
    """What the answers of one arm came to. `reward_squares` sums the squares of each answer's reward."""

    answers: int = 0
    degraded: int = 0
    errors: int = 0
    clicks: int = 0
    reward: float = 0.0
    reward_squares: float = 0.0

    @property
    def failures(self) -> int:
        """Requests that the release's models did not answer."""
        return self.degraded + self.errors

    @property
    def failure_share(self) -> float:
        """Their share of all requests."""
        return self.failures / max(1, self.answers + self.errors)

    @property
    def reward_error(self) -> float:
        """The standard error of the mean reward."""
        if self.answers < 2:
            return 0.0
        mean = self.reward / self.answers
        return math.sqrt(max(0.0, self.reward_squares / self.answers - mean * mean) / (self.answers - 1))

    def reward_interval(self) -> Interval:
        """Reward an answer; all 0 before the first."""
        mean, off = self.reward / max(1, self.answers), _Z_95 * self.reward_error
        return Interval(mean, max(0.0, mean - off), mean + off)


def quantile(seconds: Sequence[float], share: float) -> float:
    """The value that this share of the latencies does not pass; 0 without any."""
    if not seconds:
        return 0.0
    return sorted(seconds)[min(len(seconds) - 1, int(share * len(seconds)))]


def broken_limits(
    live: Tally,
    live_seconds: Sequence[float],
    canary: Tally,
    canary_seconds: Sequence[float],
    config: CanaryConfig,
) -> list[str]:
    """The limits that a canary has crossed, in words; none while it may go on."""
    broken = []
    if canary.failures >= config.failures and canary.failure_share > live.failure_share + config.failure_share:
        broken.append(
            f"{canary.failures} of {canary.answers + canary.errors} requests failed ({canary.failure_share:.1%}, "
            f"{live.failure_share:.1%} of the active release's)"
        )
    if min(len(live_seconds), len(canary_seconds)) >= config.latency_answers:
        theirs, its = quantile(live_seconds, 0.9), quantile(canary_seconds, 0.9)
        if its > config.latency_ratio * theirs and its > config.latency_seconds:
            broken.append(f"nine of ten answers take {its * 1e3:.0f} ms, the active release's {theirs * 1e3:.0f} ms")
    if min(live.answers, canary.answers) >= config.reward_answers:
        ratio = config.reward_ratio
        gap = canary.reward_interval().mean - ratio * live.reward_interval().mean
        if gap + config.reward_z * math.hypot(canary.reward_error, ratio * live.reward_error) < 0.0:
            broken.append(
                f"an answer earns {canary.reward_interval().mean:.4f}, the active release's "
                f"{live.reward_interval().mean:.4f}"
            )
    return broken

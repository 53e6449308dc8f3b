"""How much worse than its parent a candidate may be, and how sure the gate must be of it (docs/gate.md). Imports nothing
heavy: every command reads it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Sampling:
    """How bootstrap intervals are drawn."""

    resamples: int = 2_000
    confidence: float = 0.95
    seed: int = 0


@dataclass(frozen=True, slots=True)
class LatencySettings:
    """How much slower than its parent a candidate may be: a ratio in one run, because machines differ and are shared."""

    # Of the median and of the 99th percentile, the candidate's over the parent's: the worse of the two.
    largest_ratio: float = 2.0
    # Calls of each in a round, and requests in each call.
    calls: int = 60
    batch: int = 4
    # A candidate is too slow when it is in every round: one burst of somebody else's work must not decide.
    rounds: int = 3


@dataclass(frozen=True, slots=True)
class OffPolicySettings:
    """When logged slates speak against a release."""

    # Share of the parent's estimated reward that may be lost before the interval counts.
    tolerance: float = 0.05
    # Fewer effective samples than this say nothing.
    least_effective: float = 100.0
    # A weight is cut off here: one rare item that was shown by chance must not decide.
    largest_weight: float = 100.0


@dataclass(frozen=True, slots=True)
class PoisoningSettings:
    """When an item's gain in exposure is suspicious: all three at once."""

    # Robust standard deviations of log(exposure / the parent's) over the items' median.
    largest_z: float = 3.0
    # Share of all slates that an item gained.
    least_gain: float = 0.02
    # Share of all slates that the new events of one user may win an item.
    gain_per_user: float = 0.02


@dataclass(frozen=True, slots=True)
class GateSettings:
    """All of it."""

    sampling: Sampling = field(default_factory=Sampling)
    # Fewer cases than this say nothing about a ranking metric.
    least_cases: int = 50
    # NDCG@10 that may be lost on the newest window, and on old data, before the interval counts. The parent was trained on
    # the old cases and the candidate did not replay them: some loss there is no forgetting.
    newest_tolerance: float = 0.0
    old_tolerance: float = 0.02
    # How much larger than the parent's the expected calibration error may be, and how many observations show it.
    calibration_tolerance: float = 0.02
    least_observations: int = 500
    latency: LatencySettings = field(default_factory=LatencySettings)
    off_policy: OffPolicySettings = field(default_factory=OffPolicySettings)
    poisoning: PoisoningSettings = field(default_factory=PoisoningSettings)

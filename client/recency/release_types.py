"""Releases as frozen Python values, and what becomes of them at a gateway."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta


class ReleaseState(enum.IntEnum):
    """What a release does now."""

    UNSPECIFIED = 0
    CANDIDATE = 1
    SHADOW = 2
    CANARY = 3
    ACTIVE = 4
    RETIRED = 5
    REJECTED = 6


@dataclass(frozen=True, slots=True)
class ReleaseArm:
    """What the answers of one release came to beside another's, at one gateway, since the canary began. `reward` is
    positive weight an answer, with its 95 % interval."""

    answers: int
    degraded: int
    errors: int
    clicks: int
    reward: float
    reward_low: float
    reward_high: float
    latency_median: timedelta
    latency_p90: timedelta


@dataclass(frozen=True, slots=True)
class ReleaseShadow:
    """What a shadow would have answered beside the active release, at one gateway: means over what it scored."""

    scored: int
    dropped: int
    errors: int
    overlap_at_10: float
    rank_correlation: float
    latency_mean: timedelta


@dataclass(frozen=True, slots=True)
class ReleaseUse:
    """What one gateway does with a release: `role` is active, canary, shadow, draining or empty."""

    gateway: str
    role: str
    refused_reason: str
    held: int
    arm: ReleaseArm | None
    shadow: ReleaseShadow | None


@dataclass(frozen=True, slots=True)
class Release:
    """A release: what it is, what it does now, and what was measured of it."""

    release: int
    state: ReleaseState
    reason: str
    parent: int
    create_time: datetime | None
    trained_through_time: datetime | None
    item_count: int
    model_versions: Mapping[str, int]
    metrics: Mapping[str, float]
    checksums: Mapping[str, str]
    canary_fraction: float
    kind: str
    run: str
    # Only where one release was asked for.
    use: ReleaseUse | None


@dataclass(frozen=True, slots=True)
class Activation:
    """A release that was made the active one, and whether the gateway that was asked answers with it already."""

    release: Release
    served: bool

"""The gate: a published candidate → reasons against it, or none. It moves nothing; the pipeline activates or rejects.

A check that has too little to go by says so and passes on the rest. What keeps the gate from judging at all (a Triton that
died meanwhile) is `CouldNotJudge`: try again, the candidate stays a candidate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from recency_export.evidence import Evidence, Gains
from recency_export.judgement import Check, paired_interval
from recency_store.errors import ManifestError
from recency_store.manifest import verify


@dataclass(frozen=True, slots=True)
class GateSettings:
    """How much worse than its parent a candidate may be, and how sure the gate must be of it."""

    seed: int = 0
    # Bootstrap resamples, and how sure an interval is.
    resamples: int = 2_000
    confidence: float = 0.95
    # Fewer cases than this say nothing about a metric.
    least_cases: int = 50
    # NDCG@10 that may be lost on the newest window, and on old data, before the interval counts.
    newest_tolerance: float = 0.0
    old_tolerance: float = 0.01


@dataclass(frozen=True, slots=True)
class Verdict:
    """No reasons: the candidate passes. `checks` is what each check saw, for tables."""

    reasons: tuple[str, ...]
    metrics: dict[str, float]
    checks: tuple[Check, ...] = field(default=())


def judge(evidence: Evidence, settings: GateSettings) -> Verdict:
    """Every check on the candidate. Raises CouldNotJudge where the world, not the candidate, is at fault."""
    checks = [_check_files(evidence)]
    if checks[0].passed:
        checks += [
            _check_gains("newest_ndcg", evidence.newest, settings.newest_tolerance, settings),
            _check_gains("old_ndcg", evidence.old, settings.old_tolerance, settings),
        ]
    return _verdict(checks)


def _verdict(checks: list[Check]) -> Verdict:
    metrics: dict[str, float] = {}
    for check in checks:
        metrics |= {name: value for name, value in check.metrics.items() if math.isfinite(value)}
    reasons = tuple(f"{check.name}: {check.note}" for check in checks if check.passed is False)
    return Verdict(reasons, metrics, tuple(checks))


def _check_files(evidence: Evidence) -> Check:
    try:
        manifest = verify(evidence.folder)
    except ManifestError as error:
        return Check("files", False, str(error))
    if manifest.release != evidence.release:
        note = f"{evidence.folder} holds release {manifest.release}, not {evidence.release}; publish it again"
        return Check("files", False, note)
    return Check("files", True, f"{len(manifest.files)} files as the manifest says")


def _check_gains(name: str, gains: Gains, tolerance: float, settings: GateSettings) -> Check:
    """Worse than the parent only where the whole interval of the paired difference lies below the tolerance."""
    cases = len(gains.candidate)
    if not np.isfinite(gains.candidate).all():
        return Check(name, False, f"{int((~np.isfinite(gains.candidate)).sum())} of {cases} values are not finite")
    own = {f"{name}_candidate": float(gains.candidate.mean())} if cases else {}
    if len(gains.parent) != cases or not np.isfinite(gains.parent).all():
        return Check(name, None, "no parent to compare with", metrics=own)
    if cases < settings.least_cases:
        return Check(name, None, f"{cases} cases are too few (at least {settings.least_cases})", metrics=own)
    found = paired_interval(
        gains.candidate - gains.parent, gains.group, settings.resamples, settings.confidence, settings.seed
    )
    metrics = own | {
        f"{name}_parent": float(gains.parent.mean()),
        f"{name}_change": found.mean,
        f"{name}_change_low": found.low,
        f"{name}_change_high": found.high,
        f"{name}_cases": float(cases),
    }
    note = (
        f"{found.mean:+.4f} against the parent, {found.low:+.4f} to {found.high:+.4f} "
        f"({cases} cases, {settings.confidence:.0%})"
    )
    return Check(name, found.high >= -tolerance, note, found.mean, -tolerance, metrics)

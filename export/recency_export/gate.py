"""The gate: a published candidate → reasons against it, or none. It moves nothing; the pipeline activates or rejects.

A check that has too little to go by says so and passes on the rest. What keeps the gate from judging at all (a Triton that
died meanwhile) is `CouldNotJudge`: try again, the candidate stays a candidate. docs/gate.md tells of each check.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from recency_export.calibration import calibration_error
from recency_export.evidence import Evidence, Gains, Observations
from recency_export.gate_settings import GateSettings
from recency_export.golden_replay import check_onnx, check_triton
from recency_export.judgement import Check, paired_interval
from recency_export.latency import check_latency
from recency_export.off_policy import check_off_policy
from recency_export.poisoning import check_poisoning
from recency_export.published import Published, read_published
from recency_store.errors import ManifestError

__all__ = ["GateSettings", "Verdict", "judge"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """No reasons: the candidate passes. `checks` is what each check saw, for tables."""

    reasons: tuple[str, ...]
    metrics: dict[str, float]
    checks: tuple[Check, ...] = field(default=())

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against the candidate."""
        return not self.reasons


def judge(evidence: Evidence, settings: GateSettings) -> Verdict:
    """Every check on the candidate. Raises CouldNotJudge where the world, not the candidate, is at fault."""
    files, release = _check_files(evidence)
    if release is None:
        return _verdict([files])
    checks = [files, check_onnx(release)]
    # What onnxruntime cannot run is not asked again of Triton.
    if checks[-1].passed:
        parent, about = _parent(evidence)
        served = check_triton(release, evidence.targets)
        checks += [
            served,
            _check_gains("newest_ndcg", evidence.newest, settings.newest_tolerance, settings),
            _check_gains("old_ndcg", evidence.old, settings.old_tolerance, settings),
            _check_calibration(evidence.observed, evidence.parent_observed, settings),
            check_off_policy(evidence.logged, settings.off_policy, settings.sampling),
            check_poisoning(evidence.exposure, settings.poisoning),
        ]
        if served.passed is not False:
            sampling, clock = settings.sampling, evidence.clock
            checks.append(
                check_latency(
                    release.manifest,
                    parent.manifest if parent else None,
                    evidence.targets,
                    settings.latency,
                    clock,
                    sampling.seed,
                )
            )
        if about:
            checks.append(Check("parent", None, about))
    return _verdict(checks)


def _verdict(checks: list[Check]) -> Verdict:
    metrics: dict[str, float] = {}
    for check in checks:
        metrics |= {name: value for name, value in check.metrics.items() if math.isfinite(value)}
    reasons = tuple(f"{check.name}: {check.note}" for check in checks if check.passed is False)
    return Verdict(reasons, metrics, tuple(checks))


def _check_files(evidence: Evidence) -> tuple[Check, Published | None]:
    try:
        release = read_published(evidence.folder)
    except ManifestError as error:
        return Check("files", False, str(error)), None
    found = release.manifest.release
    if found != evidence.release:
        note = f"{evidence.folder} holds release {found}, not {evidence.release}; publish it again"
        return Check("files", False, note), None
    return Check("files", True, f"{len(release.manifest.files)} files as the manifest says"), release


def _parent(evidence: Evidence) -> tuple[Published | None, str]:
    """The parent, or what is wrong with it: a broken parent is no reason against its successor."""
    if evidence.parent_folder is None:
        return None, ""
    try:
        return read_published(evidence.parent_folder, checksums=False), ""
    except ManifestError as error:
        return None, f"cannot be compared with: {error}"


def _check_gains(name: str, gains: Gains, tolerance: float, settings: GateSettings) -> Check:
    """Worse than the parent only where the whole interval of the paired difference lies below the tolerance."""
    cases = len(gains.candidate)
    if not cases:
        return Check(name, None, "no cases")
    if not np.isfinite(gains.candidate).all():
        return Check(name, False, f"{int((~np.isfinite(gains.candidate)).sum())} of {cases} values are not finite")
    own = {f"{name}_candidate": float(gains.candidate.mean()), f"{name}_cases": float(cases)}
    if len(gains.parent) != cases or not np.isfinite(gains.parent).all():
        return Check(name, None, "no parent to compare with", metrics=own)
    if cases < settings.least_cases:
        return Check(name, None, f"{cases} cases are too few (at least {settings.least_cases})", metrics=own)
    found = paired_interval(gains.candidate - gains.parent, gains.group, settings.sampling)
    metrics = own | {f"{name}_parent": float(gains.parent.mean())} | found.as_dict(f"{name}_change")
    note = (
        f"{found.value:+.4f} against the parent's {metrics[f'{name}_parent']:.4f}, {found.low:+.4f} to {found.high:+.4f} "
        f"({cases} cases)"
    )
    return Check(name, found.high >= -tolerance, note, found.value, -tolerance, metrics)


def _check_calibration(ours: Observations, theirs: Observations, settings: GateSettings) -> Check:
    """Expected calibration error against the parent's; each release by its own calibration."""
    name = "calibration"
    if not np.isfinite(ours.logits).all():
        return Check(name, False, "a logit is not finite")
    if len(ours.logits) < settings.least_observations:
        return Check(
            name, None, f"{len(ours.logits)} observations are too few (at least {settings.least_observations})"
        )
    error = calibration_error(ours.calibration, ours.logits, ours.positive)
    metrics = {"calibration_error": error}
    if len(theirs.logits) < settings.least_observations or not np.isfinite(theirs.logits).all():
        return Check(name, None, f"{error:.4f}, and no parent to compare with", error, metrics=metrics)
    before = calibration_error(theirs.calibration, theirs.logits, theirs.positive)
    metrics["calibration_error_parent"] = before
    limit = before + settings.calibration_tolerance
    note = f"expected calibration error {error:.4f}, the parent's {before:.4f} ({len(ours.logits)} observations)"
    return Check(name, error <= limit, note, error, limit, metrics)

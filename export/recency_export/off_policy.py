"""What a release would have earned on slates that another one showed: from logged propensities, without showing anything.

    IPS    mean of w · r,                w = probability under the release / logged probability
    SNIPS  sum of w · r / sum of w:      less spread, a little bias
    DR     mean of v + w · (r − q):      q a model's estimate of the reward of what was shown, v of what would be shown

Legend of shapes: S shown items.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recency_export.evidence import LoggedActions
from recency_export.gate_settings import OffPolicySettings, Sampling
from recency_export.judgement import Check, Floats, Interval, percentiles, resampled_sums


@dataclass(frozen=True, slots=True)
class Estimate:
    """A reward an item shown, and how many samples it is worth: (Σw)² / Σw²."""

    interval: Interval
    effective: float


def importance_weights(target_S: Floats, propensity_S: Floats, largest: float = np.inf) -> Floats:
    """Probability under the judged release over the logged one, cut off at `largest`."""
    return np.minimum(target_S / propensity_S, largest)


def effective_samples(weight_S: Floats) -> float:
    """Kish's effective sample size."""
    square = float((weight_S**2).sum())
    return float(weight_S.sum()) ** 2 / square if square else 0.0


def inverse_propensity(reward_S: Floats, weight_S: Floats, sampling: Sampling) -> Estimate:
    """IPS."""
    return _mean(reward_S * weight_S, weight_S, sampling)


def self_normalised(reward_S: Floats, weight_S: Floats, sampling: Sampling) -> Estimate:
    """SNIPS."""
    columns = np.stack([reward_S * weight_S, weight_S], axis=1)
    value = _ratio(columns.sum(0, keepdims=True))[0]
    sums_R2 = resampled_sums(columns, sampling.resamples, sampling.seed)
    return Estimate(percentiles(float(value), _ratio(sums_R2), sampling.confidence), effective_samples(weight_S))


def doubly_robust(
    reward_S: Floats, weight_S: Floats, estimated_S: Floats, target_value_S: Floats, sampling: Sampling
) -> Estimate:
    """DR: right where either the propensities or the reward model are."""
    return _mean(target_value_S + weight_S * (reward_S - estimated_S), weight_S, sampling)


def _mean(terms_S: Floats, weight_S: Floats, sampling: Sampling) -> Estimate:
    sums_R = resampled_sums(terms_S[:, None], sampling.resamples, sampling.seed)[:, 0]
    interval = percentiles(float(terms_S.mean()), sums_R / len(terms_S), sampling.confidence)
    return Estimate(interval, effective_samples(weight_S))


def _ratio(sums: Floats) -> Floats:
    """Column 0 over column 1, 0 where nothing was drawn that the release would show."""
    ratio: Floats = np.divide(sums[:, 0], sums[:, 1], out=np.zeros(len(sums)), where=sums[:, 1] > 0)
    return ratio


def check_off_policy(logged: LoggedActions, settings: OffPolicySettings, sampling: Sampling) -> Check:
    """The candidate's estimated reward against the parent's on the same slates: by DR where there is a reward model."""
    name = "off_policy"
    if not len(logged.reward):
        return Check(name, None, "no propensities were logged")
    if off := _unusable(logged):
        return Check(name, False, off)
    with_parent, with_model = len(logged.parent) > 0, len(logged.estimated) > 0
    weight = importance_weights(logged.candidate, logged.propensity, settings.largest_weight)
    found = {
        "ips": inverse_propensity(logged.reward, weight, sampling),
        "snips": self_normalised(logged.reward, weight, sampling),
    }
    if with_model:
        found["dr"] = doubly_robust(logged.reward, weight, logged.estimated, logged.candidate_value, sampling)
    metrics = {"off_policy_effective": effective_samples(weight)}
    for kind, estimate in found.items():
        metrics |= estimate.interval.as_dict(f"off_policy_{kind}")
    if not with_parent:
        return Check(name, None, "no parent to compare with", metrics=metrics)
    other = importance_weights(logged.parent, logged.propensity, settings.largest_weight)
    effective = min(effective_samples(weight), effective_samples(other))
    metrics["off_policy_effective"] = effective
    change, before = _change(logged, weight, other, with_model, sampling)
    metrics |= change.as_dict("off_policy_change") | {"off_policy_parent": before}
    limit = -settings.tolerance * abs(before)
    if effective < settings.least_effective:
        note = f"{effective:.0f} effective samples are too few (at least {settings.least_effective:.0f})"
        return Check(name, None, note, change.value, limit, metrics)
    note = (
        f"{change.value:+.5f} an item shown against the parent's {before:.5f}, {change.low:+.5f} to {change.high:+.5f} "
        f"({'DR' if with_model else 'SNIPS'}, {effective:.0f} effective samples)"
    )
    return Check(name, change.high >= limit, note, change.value, limit, metrics)


def _change(
    logged: LoggedActions, weight: Floats, other: Floats, with_model: bool, sampling: Sampling
) -> tuple[Interval, float]:
    """Candidate minus parent, resampling both on the same draws; and the parent's own value."""
    if with_model:
        error = logged.reward - logged.estimated
        ours, theirs = logged.candidate_value + weight * error, logged.parent_value + other * error
        columns = np.stack([ours - theirs, np.ones(len(ours))], axis=1)
        sums = resampled_sums(columns, sampling.resamples, sampling.seed)
        before, value, values = float(theirs.mean()), float((ours - theirs).mean()), sums[:, 0] / sums[:, 1]
    else:
        columns = np.stack([logged.reward * weight, weight, logged.reward * other, other], axis=1)
        whole = columns.sum(0, keepdims=True)
        before = float(_ratio(whole[:, 2:])[0])
        value = float(_ratio(whole[:, :2])[0]) - before
        sums = resampled_sums(columns, sampling.resamples, sampling.seed)
        values = _ratio(sums[:, :2]) - _ratio(sums[:, 2:])
    return percentiles(value, values, sampling.confidence), before


def _unusable(logged: LoggedActions) -> str:
    """What is wrong with the arrays, empty where nothing is."""
    arrays = (logged.reward, logged.propensity, logged.candidate, logged.parent, logged.estimated)
    values = (logged.candidate_value, logged.parent_value)
    if any(len(array) not in (0, len(logged.reward)) for array in (*arrays, *values)):
        return "the logged arrays differ in length; report this"
    if not all(np.isfinite(array).all() for array in (*arrays, *values)):
        return "a probability or reward is not finite; report the release that gave it"
    if not ((logged.propensity > 0) & (logged.propensity <= 1)).all():
        return "a logged propensity is not in (0, 1]; what is shown has been shown with some probability"
    return ""

"""Off-policy estimates held to the truth: the Open Bandit Dataset has the same shop's slates by two policies.

From the slates of the random policy the value (clicks an item shown) of the other one, Thompson sampling over Bernoulli
arms ("bts"), is estimated; its own slates say what it really was. Data and the arms' priors are those that the `obp` wheel
carries (Saito et al., "Open Bandit Dataset and Pipeline", 2020): 10,000 items shown for each policy and campaign.

Legend of shapes: S shown items, A arms (items), P places of a slate.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import yaml

from recency_export.gate_settings import Sampling
from recency_export.judgement import Floats, Interval, percentiles, resampled_sums
from recency_export.off_policy import (
    Estimate,
    doubly_robust,
    importance_weights,
    inverse_propensity,
    self_normalised,
)

CAMPAIGNS = ("all", "men", "women")
_PLACES = 3
_SIMULATED = 100_000
_AT_ONCE = 5_000
# The reward model: clicks of an item, drawn towards the mean of all by as many shown items.
_PRIOR_SHOWN = 200.0
_FOLDS = 5

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Shown:
    """What one policy showed: arm and place (from 0) of each item, whether it was clicked, the logged probability."""

    arm: Ints
    place: Ints
    click: Floats
    propensity: Floats


@dataclass(frozen=True, slots=True)
class Campaign:
    """One campaign: the value of bts by its own slates, and as the random policy's slates tell it.

    lands    estimators whose value is within the interval of the truth
    covers   estimators whose interval holds the true value
    chance   how often a right and unbiased estimator of DR's spread would land, from nothing but the two spreads
    """

    name: str
    shown: int
    clicks: int
    on_policy: Interval
    estimates: dict[str, Estimate]
    lands: tuple[str, ...]
    covers: tuple[str, ...]
    chance: float


def open_bandit(folder: Path, sampling: Sampling) -> list[Campaign]:
    """Every campaign, judged. FileNotFoundError names what is not there."""
    priors = yaml.safe_load((folder / "prior_bts.yaml").read_text(encoding="utf-8"))
    return [
        judged(
            name,
            read_shown(folder / "random" / f"{name}.csv"),
            read_shown(folder / "bts" / f"{name}.csv"),
            thompson(
                np.array(priors[name]["alpha"]), np.array(priors[name]["beta"]), np.random.default_rng(sampling.seed)
            ),
            sampling,
        )
        for name in CAMPAIGNS
    ]


def read_shown(path: Path) -> Shown:
    """The slates of one policy in one campaign."""
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    return Shown(
        arm=np.array([int(row["item_id"]) for row in rows]),
        place=np.array([int(row["position"]) - 1 for row in rows]),
        click=np.array([float(row["click"]) for row in rows]),
        propensity=np.array([float(row["propensity_score"]) for row in rows]),
    )


def thompson(alpha_A: Floats, beta_A: Floats, rng: np.random.Generator) -> Floats:
    """Each arm's chance of each place [A, P] under Bernoulli Thompson sampling: clicks' rates are drawn from Beta(alpha,
    beta), the highest go first."""
    chosen_AP = np.zeros((len(alpha_A), _PLACES))
    for _ in range(_SIMULATED // _AT_ONCE):
        rate = rng.beta(alpha_A, beta_A, (_AT_ONCE, len(alpha_A)))
        first = np.argsort(-rate, axis=1)[:, :_PLACES]
        for place in range(_PLACES):
            chosen_AP[:, place] += np.bincount(first[:, place], minlength=len(alpha_A))
    return chosen_AP / _SIMULATED


def judged(name: str, logged: Shown, truth: Shown, chance_AP: Floats, sampling: Sampling) -> Campaign:
    """Estimates from `logged` the value of the policy with these chances, beside its value in `truth`."""
    weight = importance_weights(chance_AP[logged.arm, logged.place], logged.propensity)
    estimated, value = reward_model(logged, chance_AP, np.random.default_rng(sampling.seed))
    found = {
        "IPS": inverse_propensity(logged.click, weight, sampling),
        "SNIPS": self_normalised(logged.click, weight, sampling),
        "DR": doubly_robust(logged.click, weight, estimated, value, sampling),
    }
    sums_R = resampled_sums(truth.click[:, None], sampling.resamples, sampling.seed)[:, 0]
    on_policy = percentiles(float(truth.click.mean()), sums_R / len(truth.click), sampling.confidence)
    return Campaign(
        name=name,
        shown=len(logged.click),
        clicks=int(logged.click.sum()),
        on_policy=on_policy,
        estimates=found,
        lands=tuple(k for k, e in found.items() if on_policy.low <= e.interval.value <= on_policy.high),
        covers=tuple(k for k, e in found.items() if e.interval.low <= on_policy.value <= e.interval.high),
        chance=chance_to_land(found["DR"].interval, on_policy),
    )


def reward_model(logged: Shown, chance_AP: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """For each shown item a smoothed click rate of its arm, and of what the other policy would show at its place; each from
    the folds that the item is not in, so that no click explains itself."""
    fold = rng.integers(0, _FOLDS, len(logged.arm))
    estimated, value = np.zeros(len(logged.arm)), np.zeros(len(logged.arm))
    for one in range(_FOLDS):
        others, own = fold != one, fold == one
        clicks_A = np.bincount(logged.arm[others], logged.click[others], minlength=len(chance_AP))
        shown_A = np.bincount(logged.arm[others], minlength=len(chance_AP))
        rate_A = (clicks_A + _PRIOR_SHOWN * logged.click[others].mean()) / (shown_A + _PRIOR_SHOWN)
        estimated[own] = rate_A[logged.arm[own]]
        value[own] = (rate_A @ chance_AP)[logged.place[own]]
    return estimated, value


def chance_to_land(estimate: Interval, truth: Interval) -> float:
    """How often an unbiased estimate as spread as this one lies within the interval of the truth, which is uncertain too:
    both normal, their spreads read off their intervals."""
    half = (truth.high - truth.low) / 2.0
    apart = math.hypot(estimate.high - estimate.low, truth.high - truth.low) / (2.0 * 1.96)
    return math.erf(half / (apart * math.sqrt(2.0))) if apart else 1.0

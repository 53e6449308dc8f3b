"""Did somebody teach the release to show their item? An item that gained far more exposure than other items did, and far
more than the number of different people who spoke for it explains, is a reason to reject.

Legend of shapes: N items, V new events.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recency_export.evidence import Exposure
from recency_export.gate_settings import PoisoningSettings
from recency_export.judgement import Check, Floats

# The median absolute deviation of a normal distribution times this is its standard deviation.
_TO_DEVIATION = 1.4826
# Items whose exposure hardly moved would make any move look huge: the spread of the log ratio is at least this.
_LEAST_SPREAD = 0.1
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Support:
    """Who speaks for each item in the new events, all [N].

    users, events   distinct users, and how many events
    voices          effective users, (Σ events by user)² / Σ squares: as many as there are where each acts once; a hundred
                    events of one among twenty users with one each are little more than one
    """

    users: npt.NDArray[np.int64]
    events: npt.NDArray[np.int64]
    voices: Floats


def support_of(users_V: npt.NDArray[np.int64], items_V: npt.NDArray[np.int64], items: int) -> Support:
    """Counts by item; an event of an item past `items` counts for nothing."""
    known = (items_V >= 0) & (items_V < items)
    pairs, events = np.unique(np.stack([items_V[known], users_V[known]], axis=1), axis=0, return_counts=True)
    item = pairs[:, 0].astype(np.int64)
    total = np.bincount(item, weights=events, minlength=items)
    squares = np.bincount(item, weights=events.astype(np.float64) ** 2, minlength=items)
    return Support(np.bincount(item, minlength=items), total.astype(np.int64), total**2 / np.maximum(squares, 1.0))


def exposure_scores(candidate_N: Floats, parent_N: Floats) -> Floats:
    """Robust z-score of log(exposure / the parent's), one slate added to each; items in no slate at all score 0.

    An item's own spread is that of all items, and what counting so few slates adds (1/n for the log of a count).
    """
    change = np.log((candidate_N + 1.0) / (parent_N + 1.0))
    shown = (candidate_N > 0) | (parent_N > 0)
    if not shown.any():
        return np.zeros(len(change))
    middle = float(np.median(change[shown]))
    spread = max(_TO_DEVIATION * float(np.median(np.abs(change[shown] - middle))), _LEAST_SPREAD)
    counting = 1.0 / (candidate_N + 1.0) + 1.0 / (parent_N + 1.0)
    scores: Floats = np.where(shown, (change - middle) / np.sqrt(spread**2 + counting), 0.0)
    return scores


def check_poisoning(exposure: Exposure, settings: PoisoningSettings) -> Check:
    """Every item's gain against the other items' and against its supporters."""
    name = "poisoning"
    if not len(exposure.parent) or not exposure.slate_count:
        return Check(name, None, "no parent to compare exposures with")
    if not np.isfinite(exposure.candidate).all():
        return Check(name, False, "an exposure is not finite; report this")
    # An item that the parent lacks had no exposure: its whole exposure is a gain, which its supporters must explain.
    parent = np.nan_to_num(exposure.parent, nan=0.0)
    scores = exposure_scores(exposure.candidate, parent)
    gain = (exposure.candidate - parent) / exposure.slate_count
    support = support_of(exposure.users, exposure.items, len(parent))
    abnormal = (scores > settings.largest_z) & (gain > settings.least_gain)
    suspect = np.flatnonzero(abnormal & (gain > settings.gain_per_user * support.voices))
    worst = suspect[np.argsort(-gain[suspect], kind="stable")]
    metrics = {
        "poisoning_largest_z": float(scores.max(initial=0.0)),
        "poisoning_largest_gain": float(gain.max(initial=0.0)),
        "poisoning_abnormal_items": float(abnormal.sum()),
        "poisoning_suspect_items": float(len(suspect)),
    }
    if not len(worst):
        note = f"{int(abnormal.sum())} items gained abnormally, all explained by the users who spoke for them"
        return Check(name, True, note, 0.0, 0.0, metrics)
    told = ", ".join(
        f"{exposure.item_ids[row]} (in {gain[row]:+.1%} of slates, z {scores[row]:.1f}, {support.events[row]} new events "
        f"of {support.users[row]} users, worth {support.voices[row]:.1f})"
        for row in worst[:_NAMED].tolist()
    )
    more = f" and {len(worst) - _NAMED} more" if len(worst) > _NAMED else ""
    return Check(name, False, f"exposure without supporters: {told}{more}", float(len(worst)), 0.0, metrics)

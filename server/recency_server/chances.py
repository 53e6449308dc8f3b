"""The calibrated chances of a slate's items. A steer moves the order and not the chance, which was fitted without one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from recency_server.query import Placed
from recency_server.release import Release


def probability(release: Release, item_id: str, logit: float) -> float:
    """The chance of an item by its logit without a steer. A rule that lifts it moves the order alone."""
    calibration = release.manifest.calibration
    return _sigmoid(calibration.scale * (logit - release.lifts.get(item_id, 0.0)) + calibration.shift)


def with_chances(placed: Sequence[Placed], release: Release, unsteered: Mapping[str, float]) -> tuple[Placed, ...]:
    """A steered slate with its chances, by the logits without the steer; None where there is none."""

    def chance(one: Placed) -> float | None:
        logit = None if one.probability is None else unsteered.get(one.item_id)
        return None if logit is None else probability(release, one.item_id, logit)

    return tuple(one._replace(probability=chance(one)) for one in placed)


def _sigmoid(x: float) -> float:
    # Past 700 the exponential of a float overflows, and the answer has long been 0.
    return 1.0 / (1.0 + math.exp(-x)) if x > -700.0 else 0.0

"""The calibrated chances of a slate's items. A steer moves the order and not the chance, which was fitted without one."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Mapping, Sequence

from recency_server.candidates import Aim
from recency_server.query import Placed
from recency_server.reading import User
from recency_server.release import Release
from recency_server.score import Scorer

# Logits by item id, without those that could not be had.
Logits = Mapping[str, float]


def probability(release: Release, item_id: str, logit: float) -> float:
    """The chance of an item by its logit without a steer. A rule that lifts it moves the order alone."""
    calibration = release.manifest.calibration
    return _sigmoid(calibration.scale * (logit - release.lifts.get(item_id, 0.0)) + calibration.shift)


def ask_unsteered(
    placed: Sequence[Placed],
    release: Release | None,
    user: User,
    aim: Aim,
    now_micros: int,
    within_seconds: float,
    scorer: Scorer,
) -> asyncio.Task[Logits] | None:
    """Begins to ask for the logits of a steered slate without the steer: what else there is to tell of the slate is made
    meanwhile. None where nothing was steered."""
    if release is None or aim.steer_D is None:
        return None
    item_ids = [one.item_id for one in placed if one.probability is not None]
    if not item_ids:
        return None
    return asyncio.create_task(scorer.unsteered(release, user, item_ids, now_micros, within_seconds))


async def with_chances(
    placed: tuple[Placed, ...], release: Release | None, unsteered: Awaitable[Logits] | None
) -> tuple[Placed, ...]:
    """The slate with the chances of what was steered; None where one cannot be had now."""
    if release is None or unsteered is None:
        return placed
    logits = await unsteered

    def chance(one: Placed) -> float | None:
        logit = None if one.probability is None else logits.get(one.item_id)
        return None if logit is None else probability(release, one.item_id, logit)

    return tuple(one._replace(probability=chance(one)) for one in placed)


def _sigmoid(x: float) -> float:
    # Past 700 the exponential of a float overflows, and the answer has long been 0.
    return 1.0 / (1.0 + math.exp(-x)) if x > -700.0 else 0.0

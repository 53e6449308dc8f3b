"""What of the scored items is shown, and in which order. Pure."""

from __future__ import annotations

import math

from recency_server.catalog import Catalog
from recency_server.query import Placed, Query
from recency_server.reading import User
from recency_server.release import Release
from recency_server.score import Scored


def decide(
    scored: Scored, user: User, query: Query, release: Release | None, catalog: Catalog, now_micros: int
) -> tuple[Placed, ...]:
    """The first `page_size` items that may be shown.

    Seen, excluded and hidden items were masked inside the graph already; here they are looked at once more, because what
    was hidden while the model worked must not be shown either.
    """
    excluded = frozenset(query.exclude_item_ids)
    seen = user.seen if user.leave_out_seen else ()
    shown: list[tuple[str, float]] = []
    for item_id, score in scored.ranked:
        if item_id in seen or item_id in user.rejected or item_id in excluded or not catalog.shows(item_id, now_micros):
            continue
        shown.append((item_id, score))
        if len(shown) == query.page_size:
            break
    if not scored.by_model or release is None:
        return tuple([Placed(item_id, score, None, scored.source) for item_id, score in shown])
    calibration, source = release.manifest.calibration, scored.source
    scale, shift = calibration.scale, calibration.shift
    if scored.unsteered is None:
        return tuple([Placed(i, score, _sigmoid(scale * score + shift), source) for i, score in shown])
    logits = [scored.unsteered.get(item_id) for item_id, _ in shown]
    return tuple(
        [
            Placed(item_id, score, None if logit is None else _sigmoid(scale * logit + shift), source)
            for (item_id, score), logit in zip(shown, logits, strict=True)
        ]
    )


def _sigmoid(x: float) -> float:
    # Past 700 the exponential of a float overflows, and the answer has long been 0.
    return 1.0 / (1.0 + math.exp(-x)) if x > -700.0 else 0.0

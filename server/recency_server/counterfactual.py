"""What each of a user's newest events adds to the scores of the items that are shown: the same score without it. And what
trends add: the score less that with trends as they were when the release was trained.

Events are left out one after the other, the newest first, and what the request asks for (words, examples) last. So what they
add sums up to the difference between the score with all of them and without any, however the model combines them. The
events are one batch of the `scorer`, trends a call beside it. Legend of shapes: E events, K shown items.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from recency_features.events import rule
from recency_features.history import Interaction
from recency_server.batching import Lane
from recency_server.candidates import Aim
from recency_server.release import Release
from recency_server.stacking import Row
from recency_server.users import Behaviour, UserRows, make_rows

# So many of the newest events are told apart; what older ones add is in the score and in no reason.
EXPLAINED_EVENTS = 8


@dataclass(frozen=True, slots=True)
class Contributions:
    """What each event adds to each item, newest event first, [E, K]; what the steer adds, [K], None without one; what trends
    since training add, [K]; and the column of each item id."""

    events_EK: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    steer_K: npt.NDArray[np.float64] | None = None
    trend_K: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    column_of: Mapping[str, int] = field(default_factory=dict)

    def of_events(self, item_id: str) -> list[float]:
        """What each event adds to an item's score; empty where that is not known."""
        column = self.column_of.get(item_id)
        return [] if column is None else [float(added) for added in self.events_EK[:, column]]

    def of_steer(self, item_id: str) -> float | None:
        """What the steer adds to an item's score."""
        column = self.column_of.get(item_id)
        return None if column is None or self.steer_K is None else float(self.steer_K[column])

    def of_trend(self, item_id: str) -> float:
        """What trends since training add to an item's score; 0 where that is not known."""
        column = self.column_of.get(item_id)
        return 0.0 if column is None else float(self.trend_K[column])


def without_newest(behaviour: Behaviour, release: Release, events: int) -> list[UserRows]:
    """The user's rows with none of the newest `events` of the history left out, with one, with two, …: as if they had never
    happened, so that an older event takes the place at the end of a full history. Blocks for a moment; safe in a thread."""
    left, counts = list(behaviour.interactions), dict(behaviour.counts)
    rejected = set(behaviour.rejected)
    rows = [make_rows(Behaviour(left, counts, rejected), release)]
    at = len(left)
    while at and len(rows) <= events:
        at -= 1
        interaction = left[at]
        if not rule(interaction.type).in_history or interaction.item_id not in release.index_of:
            continue
        left, counts = left[:at] + left[at + 1 :], _one_less(counts, interaction)
        rows.append(make_rows(Behaviour(left, counts, rejected), release))
    return rows


def _one_less(counts: dict[str, int], interaction: Interaction) -> dict[str, int]:
    if not rule(interaction.type).marks_seen:
        return counts
    fewer = {**counts, interaction.item_id: counts.get(interaction.item_id, 1) - 1}
    return {item_id: count for item_id, count in fewer.items() if count > 0}


async def contributions(
    lane: Lane,
    release: Release,
    rows: Sequence[UserRows],
    aim: Aim,
    item_ids: Sequence[str],
    now_micros: int,
    with_counts: bool,
    within_seconds: float,
) -> Contributions:
    """Asks the `scorer`. Unavailable, Overloaded or TooLate where it cannot answer now."""
    if not item_ids:
        return Contributions()
    indices_K = np.array([release.index_of[item_id] for item_id in item_ids], dtype=np.int32)
    asked = [Row(release, user, now_micros, indices_K, aim.steer_D, 0, with_counts) for user in rows]
    if steered := aim.steer_D is not aim.own_D:
        asked.append(Row(release, rows[-1], now_micros, indices_K, aim.own_D, 0, with_counts))
    # Asked for in the same turn of the loop, they go in one batch.
    as_trained, *answers = await asyncio.gather(
        lane.ask_as_trained(asked[0], within_seconds), *(lane.ask(row, within_seconds) for row in asked)
    )
    logits = np.stack([answer.logits[: len(indices_K)] for answer in answers]).astype(np.float64)
    steps = logits[:-1] - logits[1:]
    events = len(rows) - 1
    columns = {item_id: column for column, item_id in enumerate(item_ids)}
    trend_K = logits[0] - as_trained.logits[: len(indices_K)].astype(np.float64)
    return Contributions(steps[:events], steps[events] if steered else None, trend_K, columns)

"""What is taken out of a log before it teaches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from recency.v1 import event_pb2
from recency_export.clean import clean, sessions
from recency_export.settings import CleanSettings
from recency_export.snapshot import Snapshot

NOW = 1_700_000_000_000_000
SECOND, HOUR, DAY = 1_000_000, 3_600_000_000, 86_400_000_000
CLICK, VIEW = int(event_pb2.EVENT_TYPE_CLICK), int(event_pb2.EVENT_TYPE_VIEW)
Row = tuple[int, int, int, int]


def snapshot(rows: Sequence[Row], shown_micros: Sequence[int] = ()) -> Snapshot:
    """Rows of (user, item, type, micros)."""
    table = np.array(rows, dtype=np.int64).reshape(-1, 4)
    return Snapshot(
        item_ids=tuple(f"item-{number}" for number in range(50)),
        text_vectors=np.zeros((50, 2), dtype=np.float32),
        user=table[:, 0].astype(np.int32),
        item=table[:, 1].astype(np.int32),
        type=table[:, 2].astype(np.int32),
        time_micros=table[:, 3],
        sequence=np.arange(1, len(table) + 1),
        shown=np.arange(2 * len(shown_micros), dtype=np.int32),
        shown_offsets=np.arange(0, 2 * len(shown_micros) + 1, 2),
        shown_user=np.zeros(len(shown_micros), dtype=np.int32),
        shown_micros=np.array(shown_micros, dtype=np.int64),
        shown_sequence=np.arange(len(shown_micros)),
        last_sequence=len(table),
    )


@pytest.mark.parametrize(
    ("rows", "rule", "dropped"),
    [
        (
            [(0, 1, CLICK, NOW), (0, 1, CLICK, NOW + SECOND // 2), (0, 1, VIEW, NOW), (0, 2, CLICK, NOW)],
            "duplicates",
            [1],
        ),
        ([(0, 1, CLICK, NOW), (0, 2, CLICK, NOW + 2 * HOUR), (0, 3, CLICK, 5)], "impossible_times", [1, 2]),
        ([(0, 1, CLICK, NOW - 5 * HOUR + i * 600 * SECOND) for i in range(25)], "bursts", [20, 21, 22, 23, 24]),
    ],
)
def test_each_rule_takes_what_it_names_and_nothing_else(rows: list[Row], rule: str, dropped: list[int]) -> None:
    cleaned, counts = clean(snapshot(rows), CleanSettings(), NOW)
    assert counts == {name: len(dropped) if name == rule else 0 for name in counts}
    assert cleaned.sequence.tolist() == [i + 1 for i in range(len(rows)) if i not in dropped]


def test_a_machine_is_left_out_whole_and_a_keen_person_is_not() -> None:
    settings = CleanSettings(bot_events_per_hour=30)
    machine = [(1, i % 40, CLICK, NOW - DAY + i * SECOND) for i in range(31)]
    keen = [(2, i % 40, CLICK, NOW - DAY + i * 2 * SECOND) for i in range(30)]
    cleaned, counts = clean(snapshot([*machine, *keen, (1, 3, CLICK, NOW)]), settings, NOW)
    assert counts["bots"] == 32
    assert set(cleaned.user.tolist()) == {2}


def test_nobody_speaks_with_more_than_their_newest_events() -> None:
    rows = [(user, i % 50, CLICK, NOW - (100 - i) * HOUR) for i in range(60) for user in (0, 1) if user or i < 5]
    cleaned, counts = clean(snapshot(rows), CleanSettings(user_events=10), NOW)
    assert counts["over_influence_cap"] == 50
    assert (cleaned.user == 0).sum() == 5
    assert cleaned.time_micros[cleaned.user == 1].min() == NOW - 50 * HOUR


def test_impressions_at_impossible_times_go_with_what_they_showed() -> None:
    cleaned, counts = clean(snapshot([], [NOW, NOW + DAY, NOW - DAY]), CleanSettings(), NOW)
    assert counts["impressions"] == 1
    assert cleaned.shown.tolist() == [0, 1, 4, 5]
    assert cleaned.shown_offsets.tolist() == [0, 2, 4]


def test_a_pause_or_another_user_begins_a_session() -> None:
    user, times = np.array([0, 0, 0, 1, 1]), np.array([0, HOUR // 2, 2 * HOUR, 2 * HOUR, 2 * HOUR + 1])
    assert sessions(user, times, 3_600.0) == 3
    assert sessions(user[:0], times[:0], 3_600.0) == 0

"""The pure parts of the staleness curve: which points it has, in which order changes are written, and its picture."""

import json
from pathlib import Path

import numpy as np
import pytest

from recency.v1 import event_pb2, item_pb2
from recency_bench.arms import Replayed
from recency_bench.prequential import Plan
from recency_bench.relabel import trends_of
from recency_bench.replay import NEVER_MICROS, merged
from recency_bench.staleness import StalenessResult, held_back, result_of, window_seconds
from recency_bench.staleness_plot import plot_staleness, write_result
from recency_bench.stretch import Stretch, cases_of, cut_by_time
from recency_features.history import Interaction
from recency_features.trends import Trends
from recency_store.memory import MemoryStore
from recency_store.records import NewItem


@pytest.fixture
def stretch() -> Stretch:
    store = MemoryStore()
    store.upsert_items([NewItem(item_pb2.Item(item_id=name, title=name)) for name in "ab"], 0)
    for second in range(1, 13):
        event = event_pb2.Event(
            event_id=str(second), user_id=f"u{second % 3}", item_id="ab"[second % 2], type=event_pb2.EVENT_TYPE_CLICK
        )
        event.event_time.FromSeconds(10 * second)
        store.append([event])
    return cut_by_time(store, share=0.5)


@pytest.fixture
def result(stretch: Stretch) -> StalenessResult:
    cases = cases_of(stretch)
    live = Replayed(np.full(len(cases), 0.5, dtype=np.float32), 0)
    points = list(held_back(window_seconds(stretch, 3)))
    late = [Replayed(np.full(len(cases), 0.4, dtype=np.float32), 0) for _ in points]
    return result_of(stretch, cases, Plan(seeds=1, window=3), live, points, late)


def test_each_channel_is_held_back_alone():
    points = list(held_back(window_seconds=100.0))
    assert len(points) == 3 * 5 + 3
    assert len({point.slug for point in points}) == len(points)
    for point in points:
        late = {
            "behaviour": point.late.delays.behaviour,
            "catalogue": point.late.delays.catalogue,
            "item learner": point.late.delays.learner,
            "releases": float(point.late.windows),
        }
        assert [channel for channel, delay in late.items() if delay] == [point.channel]
    assert [point.seconds for point in points if point.channel == "releases"] == [100.0, 300.0, 1_000.0]


def test_a_window_lasts_as_long_as_the_data_says(stretch: Stretch):
    assert window_seconds(stretch, 3) == pytest.approx(30.0)


def test_changes_are_written_by_their_moment_and_items_before_events():
    order = merged(np.array([5, 9, 9], dtype=np.int64), np.array([9, 2, NEVER_MICROS], dtype=np.int64))
    assert order == [(2, False, 1), (5, True, 0), (9, False, 0), (9, True, 1), (9, True, 2)]


def test_a_point_is_compared_with_everything_live(result: StalenessResult):
    assert {round(point.less["all"].mean, 6) for point in result.points} == {-0.1}
    assert result.live["all"].mean == pytest.approx(0.5)


def test_the_picture_can_be_drawn_again_from_what_was_written(result: StalenessResult, tmp_path: Path):
    write_result(result, tmp_path / "figures" / "curve.json")
    again = StalenessResult.from_dict(json.loads((tmp_path / "figures" / "curve.json").read_text()))
    assert again == result
    for name, drawn in (("one.png", result), ("two.png", again)):
        plot_staleness(drawn, tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_trends_of_a_shorter_log_are_its_own(stretch: Stretch):
    half_lives = (3_600.0, 86_400.0)
    whole, known = trends_of([*stretch.known, *stretch.stream], half_lives), trends_of(stretch.known, half_lives)
    folded = Trends(half_lives)
    folded.fold([Interaction(event.item_id, event.type, event.time_micros) for event in stretch.known])
    rows = np.arange(2)
    at = stretch.cut_micros
    assert np.allclose(known.counts(rows, at), folded.counts(rows, at))
    assert whole.counts(rows, at).sum() > known.counts(rows, at).sum()

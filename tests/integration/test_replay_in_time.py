"""A few dozen events of MovieLens, replayed through a real gateway and Triton as the benches in time order do it."""

from __future__ import annotations

import asyncio
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from movielens_slice import movielens_slice
from served_stack import DataFolder

from recency_bench.arms import ITEM_RELEASES, replay_arm
from recency_bench.held_back import Late, Live, replay_late
from recency_bench.replay import Delays
from recency_bench.split import catalogue
from recency_bench.start import Start
from recency_bench.stretch import Cases, Stretch, cases_of, cut_by_time
from recency_bench.teaching import LEARN_EVERY, Stack
from recency_cli.config import load
from recency_cli.exporting import movielens_folder
from recency_export.gate_settings import PoisoningSettings
from recency_store.memory import MemoryStore
from recency_store.records import NewItem
from recency_store.sqlite import open_sqlite

FILMS, USERS, EVENTS, WINDOW = 200, 60, 60, 30
HALF_A_MINUTE = 30_000_000


@pytest.fixture(scope="module")
def stretch(films: DataFolder) -> Stretch:
    """What the release was trained on; then what people did whom it has not met, also with a film that it has not met."""
    with films.opened() as store:
        known = [event.event() for event in store.scan_log() if event.user_id.isdecimal()]
        items = [new for new in catalogue(store) if new.item.item_id.isdecimal()]
    newest = max(event.event_time.ToMicroseconds() for event in known)
    old = {new.item.item_id for new in items}
    more_films, events = movielens_slice(movielens_folder().resolve(), FILMS + 1, USERS + 10, newest)
    newcomer = next(film for film in more_films if film.item_id not in old)
    events = [event for event in events if int(event.user_id) > USERS and event.item_id in old][:EVENTS]
    for number, event in enumerate(events):
        event.event_time.FromMicroseconds(newest + (number + 1) * HALF_A_MINUTE)
    events[10].item_id = events[50].item_id = newcomer.item_id
    source = MemoryStore()
    source.upsert_items([*items, NewItem(newcomer)], newest)
    source.append([*known, *events])
    return cut_by_time(source, share=(len(known) + 0.5) / (len(known) + EVENTS))


@pytest.fixture(scope="module")
def cases(stretch: Stretch) -> Cases:
    return cases_of(stretch, every=2)


@pytest.fixture(scope="module")
def deployment(films: DataFolder) -> Stack:
    settings = load(films.path / "recency.toml")
    # Where sixty people are everybody, three of them who like a film are a crowd that the gate would stop to look at.
    gate = replace(settings.export().gate, poisoning=PoisoningSettings(gain_per_user=1.0))
    return Stack(settings.triton(), settings.gateway(), settings.learner(), replace(settings.export(), gate=gate))


def test_an_arm_answers_every_case_learns_every_event_and_makes_a_release(
    films: DataFolder, stretch: Stretch, cases: Cases, deployment: Stack, tmp_path: Path
):
    base = Start(films.path)
    done: list[int] = []
    arm = replay_arm(ITEM_RELEASES, stretch, cases, base, tmp_path / "arm", deployment, WINDOW, done.append)
    replayed = asyncio.run(arm)
    assert len(replayed.gains) == len(cases) == EVENTS // 2
    assert replayed.degraded == 0
    assert done == [WINDOW // 2, EVENTS // 2]
    assert [made.state for made in replayed.made] == ["ACTIVE"], replayed.made
    with closing(open_sqlite(tmp_path / "arm" / "store.db")) as store:
        assert len(store.read_user(stretch.stream[0].user_id, 1_000)) > 0
        # The learner waits until enough has come.
        assert store.last_sequence() - store.learned(1).position < LEARN_EVERY
        assert store.active_release().parent == 1
    # Asked for again, nothing is replayed: what was done is read.
    again = asyncio.run(
        replay_arm(ITEM_RELEASES, stretch, cases, base, tmp_path / "arm", deployment, WINDOW, done.append)
    )
    assert np.array_equal(again.gains, replayed.gains)
    assert len(done) == 2


def test_what_is_late_reaches_the_gateway_late_and_the_learner_at_once(
    films: DataFolder, stretch: Stretch, cases: Cases, deployment: Stack, tmp_path: Path
):
    newcomer = stretch.newcomers[0].new.item.item_id
    source = next(new for new in stretch.items if new.text_vector)
    live = Live({}, {newcomer: NewItem(stretch.newcomers[0].new.item, source.text_vector, source.text_encoder)})
    late = Late(Delays(behaviour=600.0))
    replayed = asyncio.run(
        replay_late(
            late, stretch, cases, Start(films.path), live, tmp_path / "late", deployment, WINDOW, lambda done: None
        )
    )
    assert replayed.degraded == 0
    with (
        closing(open_sqlite(tmp_path / "late" / "store.db")) as store,
        closing(open_sqlite(tmp_path / "late" / "log" / "store.db")) as log,
    ):
        behind = len(list(log.scan_log())) - len(list(store.scan_log()))
        # Ten minutes are twenty events; the log was read up to the last case, two events before the end.
        assert behind == 20 - 2
        assert store.learned(1).position == log.learned(1).position > log.last_sequence() - LEARN_EVERY
        assert {row.item_id for row in store.learned(1).rows} == {row.item_id for row in log.learned(1).rows}

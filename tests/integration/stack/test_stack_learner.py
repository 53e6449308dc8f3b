"""The item learner as a process of its own, over a real Triton: what it learns is in everybody's answers at once."""

from __future__ import annotations

import sqlite3
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from served_stack import CommandProcess, ServedStack, eventually

from recency import Item, Recency, event
from recency_export.online import Learner
from recency_export.online_settings import LearnerConfig
from recency_inference.artifacts import ReleaseCache
from recency_inference.client import BlockingInference
from recency_store.records import Learned
from recency_store.sqlite import open_sqlite

FANS = 60


@contextmanager
def learning(stack: ServedStack, name: str = "learner", **variables: str) -> Iterator[CommandProcess]:
    process = CommandProcess(stack.folder, name, "export", "online", "--triton", stack.triton.address, **variables)
    try:
        yield process
    finally:
        process.close()


@contextmanager
def new_film(here: Recency, item_id: str) -> Iterator[None]:
    """A film that came after the release, gone again afterwards."""
    here.upsert_items([Item(item_id=item_id, title="The Clockmaker's Daughter", text="A clock runs backwards.")])
    try:
        yield
    finally:
        here.delete_items([item_id])


def let_fans_click(here: Recency, films: list[str], item_id: str, whose: str) -> None:
    """Fans of three films, each of whom then clicks the new one."""
    start = datetime.now(UTC) - timedelta(hours=2)
    clicks = [
        event(f"{whose}-{fan}", film, event_time=start + timedelta(seconds=10 * fan + place))
        for fan in range(FANS)
        for place, film in enumerate([*films[:3], item_id])
    ]
    assert here.feedback(clicks).accepted == len(clicks)


def learned_of(stack: ServedStack) -> tuple[Learned, int]:
    """What is learned in the served release's space, and the newest place in the log."""
    with stack.folder.opened() as store:
        return store.learned(1), store.last_sequence()


def residuals(stack: ServedStack) -> dict[str, bytes]:
    return {row.item_id: row.residual for row in learned_of(stack)[0].rows}


def caught_up(stack: ServedStack) -> bool:
    learned, last = learned_of(stack)
    return learned.position == last


def test_a_new_film_rises_for_others_who_liked_the_same_without_a_release(
    stack: ServedStack, here: Recency, there: Recency, film_ids: list[str]
) -> None:
    reader = "learner-reader"
    start = datetime.now(UTC) - timedelta(hours=1)
    here.feedback([event(reader, film, event_time=start + timedelta(seconds=n)) for n, film in enumerate(film_ids[:3])])

    def score(client: Recency) -> float:
        slate = client.recommend(reader, candidate_item_ids=["learner-film"])
        assert not slate.degraded, slate.degraded_reason
        return slate.recommendations[0].score

    with new_film(here, "learner-film"):
        let_fans_click(here, film_ids, "learner-film", "learner-fan")
        # Trends know of the clicks already; what comes on top is learned.
        before = {client: score(client) for client in (here, there)}
        assert here.recommend(reader).freshness.learned_through_time is None
        with learning(stack):
            eventually(lambda: caught_up(stack), lambda: f"everything is learned: {learned_of(stack)[0].position}")
            for client in (here, there):
                eventually(lambda client=client: score(client) > before[client] + 0.2, lambda: f"over {before}")  # type: ignore[misc]
            # Who is erased has taught nothing: it is learned anew without them.
            taught = residuals(stack)
            erased = here.delete_user("learner-fan-0")
            assert erased.erased_events == 4
            eventually(lambda: caught_up(stack), lambda: f"everything is learned anew: {learned_of(stack)[0].position}")
            assert residuals(stack)[film_ids[0]] != taught[film_ids[0]]
            assert here.recommend(reader, consistency_token=erased.consistency_token).item_ids
        newest = here.recommend(reader).freshness.learned_through_time
        assert newest is not None
        assert newest > start
        with urllib.request.urlopen(f"http://{stack.here.facts['http']}/metrics") as answer:
            metrics = answer.read().decode()
        assert "recency_learner_lag 0.0" in metrics
        assert "recency_learned_items 0.0" not in metrics


def test_killed_in_the_middle_it_goes_on_and_learns_no_event_twice(
    stack: ServedStack, here: Recency, film_ids: list[str], tmp_path: Path
) -> None:
    with new_film(here, "learner-killed"):
        let_fans_click(here, film_ids, "learner-killed", "learner-killed-fan")
        begun, last = learned_of(stack)
        # The same store, to be learned by one whom nobody kills.
        store, copy = sqlite3.connect(stack.folder.path / "store.db"), sqlite3.connect(tmp_path / "store.db")
        with closing(store), closing(copy):
            store.backup(copy)
        # No bound is reached: what a burst may move is counted anew after a restart.
        slow = {"RECENCY_LEARNER_CHUNK": "4", "RECENCY_LEARNER_LEASE_SECONDS": "1", "RECENCY_LEARNER_ITEM_NORM": "9"}
        with learning(stack, **slow) as process:
            eventually(lambda: begun.position < learned_of(stack)[0].position, lambda: process.log)
            process.kill()
        between = learned_of(stack)[0]
        assert begun.position < between.position < last
        with learning(stack, **slow) as process:
            eventually(lambda: caught_up(stack), lambda: process.log)
        expected = _learned_undisturbed(tmp_path, stack.triton.address)
        found = {row.item_id: np.frombuffer(row.residual, dtype="<f4") for row in learned_of(stack)[0].rows}
        np.testing.assert_allclose(found["learner-killed"], expected["learner-killed"], atol=0.02)
        assert np.linalg.norm(expected["learner-killed"]) > 0.2


def _learned_undisturbed(folder: Path, triton: str) -> dict[str, np.ndarray]:
    store, stop = open_sqlite(folder / "store.db"), threading.Event()
    last = store.last_sequence()
    with closing(store), BlockingInference(triton) as inference:
        # Long past the lease of whoever held it when the store was copied.
        config = LearnerConfig(chunk=4, item_norm=9.0)
        learner = Learner(store, inference, ReleaseCache(folder), config, lambda: 10**17, "undisturbed")
        thread = threading.Thread(target=learner.run, args=(stop,), daemon=True)
        thread.start()
        eventually(lambda: store.learned(1).position >= last, lambda: "the copy is learned")
        stop.set()
        thread.join(10)
        return {row.item_id: np.frombuffer(row.residual, dtype="<f4") for row in store.learned(1).rows}


def test_a_second_learner_stands_by_until_the_first_is_gone(stack: ServedStack, here: Recency) -> None:
    fast = {"RECENCY_LEARNER_LEASE_SECONDS": "1"}
    with learning(stack, "learner-first", **fast) as first:
        eventually(lambda: _holders(stack), lambda: first.log)
        holder = _holders(stack)
        with learning(stack, "learner-second", **fast) as second:
            here.feedback([event("learner-nobody", "1")])
            eventually(lambda: caught_up(stack), lambda: first.log)
            assert _holders(stack) == holder
            first.kill()
            eventually(lambda: _holders(stack) not in (holder, []), lambda: second.log)


def _holders(stack: ServedStack) -> list[str]:
    now = round(datetime.now(UTC).timestamp() * 1e6)
    with stack.folder.opened() as store:
        return [lease.holder for lease in store.list_leases("learner", now)]

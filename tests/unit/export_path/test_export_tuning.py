"""What fine-tuning aims at, and what it never may."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from recency_export.adversarial import adversarial_loss
from recency_export.dataset import Dataset, build_dataset
from recency_export.model import Retrieval
from recency_export.settings import HoldoutSettings, ModelSettings, TrainSettings, TuneSettings
from recency_export.slate_loss import Slates, place_weights, slate_loss
from recency_export.snapshot import Snapshot, take_snapshot
from recency_export.tune import Lesson, Tuned, tune
from recency_export.tune_windows import Targets, aimed_windows, replayed_windows, targets_of, tuning_batches

from .conftest import shop

MODEL = ModelSettings(learned_dim=16, content_dim=8, layers=1, feed_forward_dim=16)
TUNE = TuneSettings(epochs=2, last_epochs=1, least_replay=100)
LIMIT = 50


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    store = shop()

    def encode(texts: object) -> np.ndarray:
        return np.random.default_rng(0).normal(0, 0.3, (len(list(texts)), 32)).astype(np.float32)  # type: ignore[call-overload]

    return take_snapshot(store, store.last_sequence(), "words", 32, encode, lambda done, total: None)


@pytest.fixture(scope="module")
def after(snapshot: Snapshot) -> int:
    """The last fifth of the log is new."""
    return int(np.quantile(snapshot.sequence, 0.8))


@pytest.fixture(scope="module")
def data(snapshot: Snapshot, after: int) -> Dataset:
    return build_dataset(snapshot, HoldoutSettings(20, 3, 1_000), 0, after)


@pytest.fixture(scope="module")
def targets(data: Dataset, after: int) -> Targets:
    return targets_of(data, after)


def test_every_positive_event_is_new_held_out_old_or_in_the_exam(data: Dataset, targets: Targets, after: int) -> None:
    exam = np.zeros(len(data.item), dtype=bool)
    exam[targets.exam] = True
    shares = np.stack([targets.new > 0, targets.last > 0, targets.old > 0, exam]).sum(0)
    assert (shares == (data.positive > 0)).all()
    assert (data.sequence[targets.new > 0] > after).all()
    assert (data.sequence[exam] <= after).all()
    assert exam.any()
    assert set(np.flatnonzero(targets.last > 0)) == set(data.held_out)


def test_the_exam_is_the_same_when_the_log_has_grown(snapshot: Snapshot, data: Dataset, targets: Targets) -> None:
    later = build_dataset(snapshot, HoldoutSettings(20, 3, 1_000), 0, int(snapshot.sequence[-20]))
    now = {(int(data.sequence[event])) for event in targets.exam}
    then = {int(later.sequence[event]) for event in targets_of(later, int(snapshot.sequence[-20])).exam}
    assert now <= then


def test_windows_cover_every_new_event_once_and_aim_at_nothing_that_is_held_out(
    data: Dataset, targets: Targets
) -> None:
    aimed: list[int] = []
    for user, first, last in aimed_windows(data, targets.new, 5):
        begins = first == data.offsets[user]
        behind = np.arange(first if begins else first + 1, last + 1)
        aimed.extend(behind[targets.new[behind] > 0].tolist())
    assert sorted(aimed) == np.flatnonzero(targets.new > 0).tolist()
    rng = np.random.default_rng(0)
    held = {
        (int(user), int(item)) for user, item in zip(data.user_of[data.held_out], data.item[data.held_out], strict=True)
    }
    for user, _, last in replayed_windows(data, targets, 200.0, LIMIT, rng):
        assert last < targets.begin[user]
    weight = 0.0
    for batch in tuning_batches(data, targets, targets.new, TUNE, LIMIT, rng):
        weight += float(batch.weight.sum() + batch.first_weight.sum())
    assert weight >= targets.new.sum() + TUNE.least_replay
    assert held


@pytest.mark.parametrize("adversarial", ["none", "fgm", "pgd"])
def test_fine_tuning_learns_what_is_new_and_repeats_itself(
    snapshot: Snapshot, data: Dataset, targets: Targets, adversarial: str
) -> None:
    settings = replace(TUNE, adversarial=adversarial, learning_rate=5e-3, epochs=4)  # type: ignore[arg-type]

    def taught() -> Tuned:
        torch.manual_seed(0)
        model = Retrieval(snapshot.text_vectors, MODEL)
        slates = Slates(_no_cases(data), np.zeros((0, 1), dtype=np.int32), np.zeros((0, 1), dtype=np.float32))
        return tune(Lesson(model, data, targets, slates, TrainSettings(), settings, LIMIT, 0), lambda *_: None)

    made, again = taught(), taught()
    assert all(bool((made.published[name] == again.published[name]).all()) for name in made.published)
    assert made.curve.loss[-1] < made.curve.loss[0]
    assert any(bool((made.published[name] != made.judged[name]).any()) for name in made.published)


def test_a_perturbation_hurts_more_than_none_and_leaves_no_gradient_behind(snapshot: Snapshot) -> None:
    model = Retrieval(snapshot.text_vectors, MODEL).eval()
    aim = torch.randn(16, generator=torch.Generator().manual_seed(0))

    def loss_of(shift: torch.Tensor | None) -> torch.Tensor:
        w = model.items() if shift is None else model.items() + shift
        return -torch.log_softmax(w @ aim, dim=0)[3]

    plain = float(loss_of(None).detach())
    for kind in ("fgm", "pgd"):
        against = adversarial_loss(loss_of, model, replace(TUNE, adversarial=kind, adversarial_size=0.1))  # type: ignore[arg-type]
        assert float(against.detach()) > plain
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_place_that_is_seldom_looked_at_counts_more_and_never_beyond_its_limit() -> None:
    rng = np.random.default_rng(0)
    shown = np.ones((2_000, 6), dtype=bool)
    taken = rng.random((2_000, 6)) < 0.3 / np.arange(1, 7)
    weights = place_weights(taken, shown, 4.0)
    assert weights[0] == 1.0
    assert (np.diff(weights) >= 0).all()
    assert weights[1] == pytest.approx(2.0, rel=0.2)
    assert weights[-1] == 4.0


def test_what_was_shown_and_not_taken_loses_to_what_was_taken(snapshot: Snapshot, data: Dataset) -> None:
    model = Retrieval(snapshot.text_vectors, MODEL)
    cases = _held(data).take(np.arange(8))
    shown = np.tile(np.array([[3, 7, 11]], dtype=np.int32), (8, 1))
    weight = np.tile(np.array([[0.0, 2.0, 0.0]], dtype=np.float32), (8, 1))
    slates = Slates(cases, shown, weight)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = slate_loss(model, data, slates, LIMIT, np.random.default_rng(0))
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.3


def _held(data: Dataset):
    from recency_export.cases import whole_cases

    return whole_cases(data, data.held_out)


def _no_cases(data: Dataset):
    return _held(data).take(np.zeros(0, dtype=np.int64))

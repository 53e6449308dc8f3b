"""Fine-tunes the retrieval model from its parent's weights: on what is new, with older events replayed beside it.

1  epochs over the new events but for each user's last ones, which choose the best state: what is judged
2  a few epochs more over those last ones: what is published, so that the newest events are learned too
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from recency_export.adversarial import adversarial_loss
from recency_export.cases import Cases, whole_cases
from recency_export.dataset import Dataset
from recency_export.errors import NonFinite
from recency_export.model import Retrieval
from recency_export.retrieval_loss import training_loss
from recency_export.settings import TrainSettings, TuneSettings
from recency_export.slate_loss import Slates, slate_loss
from recency_export.train import Advance, Curve, retrieval_metrics
from recency_export.tune_windows import Targets, tuning_batches

# The second pass goes over events that the first has prepared for: half the rate.
_LAST_RATE = 0.5
# Validation cases in training; the gate sees all of them.
_CHECK_CASES = 400

State = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Tuned:
    """judged has not seen the held-out events, published has."""

    judged: State
    published: State
    curve: Curve


@dataclass(frozen=True, slots=True)
class Lesson:
    """What is trained on: a model in place, with everything that its loss reads."""

    model: Retrieval
    data: Dataset
    targets: Targets
    slates: Slates
    train: TrainSettings
    tune: TuneSettings
    limit: int
    seed: int


def tune(lesson: Lesson, advance: Advance) -> Tuned:
    """Trains `lesson.model` in place."""
    settings, model = lesson.tune, lesson.model
    curve = Curve()
    total = settings.epochs + settings.last_epochs
    check = _check_cases(lesson)
    best = _state(model)
    if len(check):
        curve.checked_epochs.append(0)
        curve.ndcg.append(retrieval_metrics(model, lesson.data, check, lesson.limit).ndcg)
    if lesson.targets.new.any():
        best = _first(lesson, check, curve, advance, total)
    model.load_state_dict(best)
    if lesson.targets.last.any():
        rate = replace(settings, learning_rate=_LAST_RATE * settings.learning_rate, epochs=settings.last_epochs)
        optimizer = _optimizer(model, rate)
        for epoch in range(settings.last_epochs):
            loss = _epoch(lesson, optimizer, rate, lesson.targets.last + lesson.targets.new, epoch, settings.epochs)
            advance(settings.epochs + epoch + 1, total, f"newest events, loss {loss:.3f}")
    advance(total, total, "")
    return Tuned(best, _state(model), curve)


def _first(lesson: Lesson, check: Cases, curve: Curve, advance: Advance, total: int) -> State:
    """The epochs that are validated; answers the best state, the parent's included."""
    settings, model = lesson.tune, lesson.model
    optimizer = _optimizer(model, settings)
    best, judge = _state(model), len(check) >= settings.least_cases
    for epoch in range(settings.epochs):
        curve.loss.append(_epoch(lesson, optimizer, settings, lesson.targets.new, epoch, 0))
        note = f"loss {curve.loss[-1]:.3f}"
        ndcg = math.nan
        if len(check):
            ndcg = retrieval_metrics(model, lesson.data, check, lesson.limit).ndcg
            curve.checked_epochs.append(epoch + 1)
            curve.ndcg.append(ndcg)
            note += f", NDCG@10 {ndcg:.4f}"
        if not judge or ndcg >= max(curve.ndcg):
            best, curve.best_epoch = _state(model), epoch + 1
        advance(epoch + 1, total, note)
        if judge and epoch + 1 - curve.best_epoch >= settings.patience:
            break
    return best


def _epoch(
    lesson: Lesson,
    optimizer: torch.optim.Optimizer,
    settings: TuneSettings,
    aimed: npt.NDArray[np.float32],
    epoch: int,
    earlier: int,
) -> float:
    """One pass; answers the mean loss. `earlier` epochs have drawn their samples before."""
    model, number = lesson.model, earlier + epoch
    model.train()
    torch.manual_seed(lesson.seed * 100_003 + 50_000 + number)
    rng = np.random.default_rng((lesson.seed, 21, number))
    batches = list(tuning_batches(lesson.data, lesson.targets, aimed, settings, lesson.limit, rng))
    losses = []
    for place, batch in enumerate(batches):
        _set_rate(optimizer, settings, (epoch + (place + 0.5) / len(batches)) / settings.epochs)

        def loss_of(shift: Tensor | None, batch: object = batch) -> Tensor | None:
            return training_loss(model, batch, lesson.train, rng, shift)  # type: ignore[arg-type]

        optimizer.zero_grad(set_to_none=True)
        loss = _whole_loss(lesson, loss_of, settings, rng)
        if loss is None:
            continue
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
        optimizer.step()
        losses.append(float(loss.detach()))
    mean = float(np.mean(losses)) if losses else 0.0
    if not np.isfinite(mean):
        raise NonFinite(f"the loss of fine-tuning is {mean}; lower the learning rate (export.tune.learning_rate)")
    model.eval()
    return mean


def _whole_loss(
    lesson: Lesson, loss_of: Callable[[Tensor | None], Tensor | None], settings: TuneSettings, rng: np.random.Generator
) -> Tensor | None:
    """Next events, the same under a perturbation where one is configured, and a share of the logged slates."""
    loss = loss_of(None)
    if loss is None:
        return None
    if settings.adversarial != "none":
        against = adversarial_loss(loss_of, lesson.model, settings)
        loss = loss + settings.adversarial_weight * against
    if len(lesson.slates) and settings.slate_weight > 0:
        shown = slate_loss(lesson.model, lesson.data, lesson.slates, lesson.limit, rng)
        loss = loss + settings.slate_weight * shown
    return loss


def _set_rate(optimizer: torch.optim.Optimizer, settings: TuneSettings, share: float) -> None:
    """Up in the first `warmup` of the steps, then down as a cosine."""
    if share < settings.warmup:
        factor = share / settings.warmup
    else:
        factor = 0.5 * (1.0 + math.cos(math.pi * (share - settings.warmup) / (1.0 - settings.warmup)))
    for group in optimizer.param_groups:
        group["lr"] = settings.learning_rate * factor


def _optimizer(model: Retrieval, settings: TuneSettings) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)


def _state(model: Retrieval) -> State:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def _check_cases(lesson: Lesson) -> Cases:
    events = lesson.data.held_out
    if len(events) > _CHECK_CASES:
        drawn = np.random.default_rng((lesson.seed, 22)).choice(len(events), _CHECK_CASES, replace=False)
        events = events[np.sort(drawn)]
    return whole_cases(lesson.data, events)

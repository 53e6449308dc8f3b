"""Trains the retrieval model on everything but the held-out events. Resumable: a checkpoint every few epochs, and each epoch
draws from the seed and its own number, so that a resumed run ends where an uninterrupted one would.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from recency_export.cases import Cases, case_histories, seen_items, whole_cases
from recency_export.dataset import Dataset, training_batches
from recency_export.errors import NonFinite
from recency_export.evaluate import RankMetrics, rank_metrics, ranks_of
from recency_export.model import Retrieval
from recency_export.retrieval_loss import TrainingLoss
from recency_export.settings import ModelSettings, TrainSettings
from recency_export.team import ALONE, Team
from recency_features.history import HistoryBatch
from recency_features.spaces import NO_DIRECTIONS, Directions

Advance = Callable[[int, int, str], None]


@dataclass
class Curve:
    """What the training curve shows: the loss of each epoch, and the validation where it was made."""

    loss: list[float] = field(default_factory=list)
    checked_epochs: list[int] = field(default_factory=list)
    ndcg: list[float] = field(default_factory=list)
    best_epoch: int = 0


def _rate(settings: TrainSettings, share: float) -> float:
    """The learning rate's factor after a share of the steps: warm-up, flat, linearly down to nothing."""
    if share < settings.warmup_until:
        return share / settings.warmup_until
    if share < settings.flat_until:
        return 1.0
    return (1.0 - share) / (1.0 - settings.flat_until)


def user_vectors(model: Retrieval, w_NW: Tensor, history: HistoryBatch, rows: int = 256) -> Tensor:
    """User vectors [B, W] of histories, some rows at a time."""
    found = []
    with torch.no_grad():
        for at in range(0, len(history.length), rows):
            part = slice(at, at + rows)
            ids = torch.from_numpy(np.maximum(history.ids[part], 0).astype(np.int64))
            found.append(
                model.users(
                    torch.nn.functional.embedding(ids, w_NW),
                    torch.from_numpy(history.types[part]),
                    torch.from_numpy(history.ages_seconds[part]),
                    torch.from_numpy(history.length[part]),
                    last_only=True,
                )
            )
    return torch.cat(found) if found else torch.zeros(0, w_NW.shape[1])


def retrieval_metrics(model: Retrieval, data: Dataset, cases: Cases, limit: int) -> RankMetrics:
    """Full ranking of the cases' events by the retrieval model alone; what was seen is left out unless consumed again."""
    model.eval()
    ranks = [np.zeros(0, dtype=np.int64)]
    with torch.no_grad():
        w_NW = model.items()
        for at in range(0, len(cases), 256):
            part = cases.take(np.arange(at, min(at + 256, len(cases))))
            scores = (user_vectors(model, w_NW, case_histories(data, part, limit)) @ w_NW.T).numpy()
            ranks.append(ranks_of(scores, part.target, seen_items(data, part)))
    return rank_metrics(np.concatenate(ranks))


def fine_tune(
    data: Dataset,
    text_vectors: npt.NDArray[np.float32],
    model_settings: ModelSettings,
    settings: TrainSettings,
    seed: int,
    checkpoint: Path,
    advance: Advance,
    start: Retrieval | None = None,
    team: Team = ALONE,
    directions: Directions = NO_DIRECTIONS,
) -> tuple[Retrieval, Curve]:
    """Trains (`start`, or a new model), and answers the state that validated best (the untrained one included) with the
    curve. In a team `data` is this process's part of the users."""
    torch.manual_seed(seed)
    model = start or Retrieval(text_vectors, model_settings, directions)
    curve = Curve()
    cases = _check_cases(data, settings, seed)
    targets = int(sum((data.positive[a:b] > 0).sum() for a, b in zip(data.offsets[:-1], data.train_end, strict=True)))
    if team.total(targets) < settings.least_targets:
        return model.eval(), curve
    lesson = team.wrap(TrainingLoss(model, settings))
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    limit = model_settings.history_length
    best = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    begun = 0
    if checkpoint.is_file():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        best, begun, curve = saved["best"], saved["epochs"], Curve(**saved["curve"])
    elif team.total(len(cases)):
        curve.checked_epochs.append(0)
        curve.ndcg.append(team.mean(retrieval_metrics(model, data, cases, limit).ndcg, len(cases)))
    for epoch in range(begun, settings.epochs):
        curve.loss.append(_epoch(lesson, optimizer, data, model_settings, settings, seed, epoch, team))
        note = f"loss {curve.loss[-1]:.3f}"
        if (epoch + 1) % settings.check_every == 0 or epoch + 1 == settings.epochs:
            ndcg = team.mean(retrieval_metrics(model, data, cases, limit).ndcg if len(cases) else 0.0, len(cases))
            if not curve.ndcg or ndcg >= max(curve.ndcg):
                best = {name: tensor.clone() for name, tensor in model.state_dict().items()}
                curve.best_epoch = epoch + 1
            curve.checked_epochs.append(epoch + 1)
            curve.ndcg.append(ndcg)
            note += f", NDCG@10 {ndcg:.4f}"
            if team.rank == 0:
                _save(checkpoint, model, optimizer, best, epoch + 1, curve)
        advance(epoch + 1, settings.epochs, note)
    model.load_state_dict(best)
    return model.eval(), curve


def _check_cases(data: Dataset, settings: TrainSettings, seed: int) -> Cases:
    events = data.held_out
    if len(events) > settings.check_cases:
        drawn = np.random.default_rng((seed, 2)).choice(len(events), settings.check_cases, replace=False)
        events = events[np.sort(drawn)]
    return whole_cases(data, events)


def _epoch(
    lesson: nn.Module,
    optimizer: torch.optim.Optimizer,
    data: Dataset,
    model_settings: ModelSettings,
    settings: TrainSettings,
    seed: int,
    epoch: int,
    team: Team,
) -> float:
    """One pass over the windows; answers the mean loss."""
    lesson.train()
    torch.manual_seed(seed * 100_003 + epoch + 7_919 * team.rank)
    rng = np.random.default_rng((seed, 3, epoch, team.rank) if team.rank else (seed, 3, epoch))
    size = max(1, settings.windows_per_batch // team.size)
    batches = list(training_batches(data, model_settings.history_length, size, rng))
    steps = team.most(len(batches))
    losses = []
    for number in range(steps):
        rate = _rate(settings, (epoch + (number + 0.5) / steps) / settings.epochs)
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * rate
        batch = batches[number] if number < len(batches) else None
        own = float(batch.weight.sum() + batch.first_weight.sum()) if batch is not None else 0.0
        weight = team.total(own)
        if not weight:
            continue
        loss = lesson(batch, rng)
        optimizer.zero_grad(set_to_none=True)
        # A team takes the mean of the gradients; this makes it the gradient of the mean over everybody's targets.
        (loss * (own * team.size / weight) if team.size > 1 else loss).backward()
        torch.nn.utils.clip_grad_norm_(lesson.parameters(), settings.clip_norm)
        optimizer.step()
        losses.append(float(loss.detach()) * (own / weight))
    mean = team.total(float(np.mean(losses)) if losses else 0.0)
    if not np.isfinite(mean):
        raise NonFinite(f"the loss of epoch {epoch + 1} is {mean}; lower the learning rate (train.learning_rate)")
    return mean


def _save(
    path: Path, model: Retrieval, optimizer: torch.optim.Optimizer, best: dict[str, Tensor], epochs: int, curve: Curve
) -> None:
    partial = path.with_suffix(".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(
        {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "best": best,
            "epochs": epochs,
            "curve": {
                "loss": curve.loss,
                "checked_epochs": curve.checked_epochs,
                "ndcg": curve.ndcg,
                "best_epoch": curve.best_epoch,
            },
        },
        partial,
    )
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)

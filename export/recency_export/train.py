"""Trains the retrieval model on everything but the held-out events. Resumable: a checkpoint every few epochs, and each epoch
draws from the seed and its own number, so that a resumed run ends where an uninterrupted one would.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from recency_export.cases import Cases, case_histories, seen_items, whole_cases
from recency_export.dataset import Dataset, TrainingBatch, training_batches
from recency_export.errors import NonFinite
from recency_export.evaluate import RankMetrics, rank_metrics, ranks_of
from recency_export.model import Retrieval
from recency_export.settings import ModelSettings, TrainSettings
from recency_features.history import HistoryBatch

Advance = Callable[[int, int, str], None]


@dataclass
class Curve:
    """What the training curve shows: the loss of each epoch, and the validation where it was made."""

    loss: list[float] = field(default_factory=list)
    checked_epochs: list[int] = field(default_factory=list)
    ndcg: list[float] = field(default_factory=list)
    best_epoch: int = 0


class _MaskedCrossEntropy(torch.autograd.Function):
    """Weighted cross-entropy of h·wᵀ over all items with some (row, item) pairs left out, without keeping the logits.

    The gradient of the logits is made in place of the logits: at 1,600 rows by 1,682 items memory traffic, not
    arithmetic, is what a step costs.
    """

    @staticmethod
    def forward(
        ctx: Any, h_VW: Tensor, w_NW: Tensor, target_V: Tensor, weight_V: Tensor, row: Tensor, item: Tensor
    ) -> Tensor:
        logits_VN = h_VW @ w_NW.T
        aimed_V = logits_VN.gather(1, target_V.unsqueeze(1)).squeeze(1)
        logits_VN[row, item] = -torch.inf
        logits_VN.scatter_(1, target_V.unsqueeze(1), aimed_V.unsqueeze(1))
        norm_V = torch.logsumexp(logits_VN, dim=1)
        share_V = weight_V / weight_V.sum()
        loss = ((norm_V - aimed_V) * share_V).sum()
        logits_VN.sub_(norm_V.unsqueeze(1)).exp_()
        logits_VN.scatter_add_(1, target_V.unsqueeze(1), torch.full_like(aimed_V, -1.0).unsqueeze(1))
        logits_VN.mul_(share_V.unsqueeze(1))
        ctx.save_for_backward(logits_VN @ w_NW, logits_VN.T @ h_VW)
        return loss

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        grad_h, grad_w = ctx.saved_tensors
        return grad_h * grads[0], grad_w * grads[0], None, None, None, None


def training_loss(
    model: Retrieval,
    batch: TrainingBatch,
    settings: TrainSettings,
    rng: np.random.Generator,
    shift_NW: Tensor | None = None,
) -> Tensor | None:
    """The training loss of a batch, or None where it predicts nothing; with `shift_NW` of item vectors moved by it."""
    items = len(model.items.residual)
    ids_BL = torch.from_numpy(np.maximum(batch.history.ids, 0).astype(np.int64))
    weight_BP = torch.from_numpy(np.concatenate([batch.first_weight[:, None], batch.weight], axis=1))
    target_BP = torch.from_numpy(np.concatenate([batch.first_target[:, None], batch.target], axis=1))
    used = weight_BP.flatten() > 0
    if not bool(used.any()):
        return None
    sampled = items > settings.full_softmax_items
    if sampled:
        rows, places = torch.unique(torch.cat([ids_BL.flatten(), target_BP.flatten()[used]]), return_inverse=True)
        w = model.items(rows) if shift_NW is None else model.items(rows) + shift_NW[rows]
        history = w[places[: ids_BL.numel()]].view(*ids_BL.shape, -1)
    else:
        w = model.items() if shift_NW is None else model.items() + shift_NW
        history = torch.nn.functional.embedding(ids_BL, w)
    h_BLW = model.users(
        history,
        torch.from_numpy(batch.history.types),
        torch.from_numpy(batch.history.ages_seconds),
        torch.from_numpy(batch.history.length),
    )
    first_B1W = model.users.first().expand(len(ids_BL), 1, -1)
    h_VW = torch.cat([first_B1W, h_BLW], dim=1).flatten(0, 1)[used]
    target_V, weight_V = target_BP.flatten()[used], weight_BP.flatten()[used]
    if sampled:
        return _sampled_loss(model, h_VW, w[places[ids_BL.numel() :]], target_V, weight_V, settings.negatives, rng)
    dense = torch.cumsum(used, 0) - 1
    row = torch.from_numpy(batch.seen_row)
    kept = used[row]
    loss: Tensor = _MaskedCrossEntropy.apply(  # type: ignore[no-untyped-call]
        h_VW, w, target_V, weight_V, dense[row[kept]], torch.from_numpy(batch.seen_item)[kept]
    )
    return loss


def _sampled_loss(
    model: Retrieval,
    h_VW: Tensor,
    aimed_VW: Tensor,
    target_V: Tensor,
    weight_V: Tensor,
    negatives: int,
    rng: np.random.Generator,
) -> Tensor:
    """Cross-entropy against a uniform sample of items, each standing for as many as were left out."""
    items = len(model.items.residual)
    drawn = torch.from_numpy(rng.integers(0, items, negatives))
    logits_VS = h_VW @ model.items(drawn).T + float(np.log(items / negatives))
    logits_VS = logits_VS.masked_fill(drawn.unsqueeze(0) == target_V.unsqueeze(1), -torch.inf)
    aimed_V = (h_VW * aimed_VW).sum(1)
    norm_V = torch.logsumexp(torch.cat([aimed_V.unsqueeze(1), logits_VS], dim=1), dim=1)
    return ((norm_V - aimed_V) * weight_V).sum() / weight_V.sum()


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
) -> tuple[Retrieval, Curve]:
    """Trains (`start`, or a new model), and answers the state that validated best (the untrained one included) with the
    curve."""
    torch.manual_seed(seed)
    model = start or Retrieval(text_vectors, model_settings)
    curve = Curve()
    cases = _check_cases(data, settings, seed)
    targets = int(sum((data.positive[a:b] > 0).sum() for a, b in zip(data.offsets[:-1], data.train_end, strict=True)))
    if targets < settings.least_targets:
        return model.eval(), curve
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    limit = model_settings.history_length
    best = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    begun = 0
    if checkpoint.is_file():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        best, begun, curve = saved["best"], saved["epochs"], Curve(**saved["curve"])
    elif len(cases):
        curve.checked_epochs.append(0)
        curve.ndcg.append(retrieval_metrics(model, data, cases, limit).ndcg)
    for epoch in range(begun, settings.epochs):
        curve.loss.append(_epoch(model, optimizer, data, model_settings, settings, seed, epoch))
        note = f"loss {curve.loss[-1]:.3f}"
        if (epoch + 1) % settings.check_every == 0 or epoch + 1 == settings.epochs:
            ndcg = retrieval_metrics(model, data, cases, limit).ndcg if len(cases) else 0.0
            if not curve.ndcg or ndcg >= max(curve.ndcg):
                best = {name: tensor.clone() for name, tensor in model.state_dict().items()}
                curve.best_epoch = epoch + 1
            curve.checked_epochs.append(epoch + 1)
            curve.ndcg.append(ndcg)
            note += f", NDCG@10 {ndcg:.4f}"
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
    model: Retrieval,
    optimizer: torch.optim.Optimizer,
    data: Dataset,
    model_settings: ModelSettings,
    settings: TrainSettings,
    seed: int,
    epoch: int,
) -> float:
    """One pass over the windows; answers the mean loss."""
    model.train()
    torch.manual_seed(seed * 100_003 + epoch)
    rng = np.random.default_rng((seed, 3, epoch))
    batches = list(training_batches(data, model_settings.history_length, settings.windows_per_batch, rng))
    losses = []
    for number, batch in enumerate(batches):
        rate = _rate(settings, (epoch + (number + 0.5) / len(batches)) / settings.epochs)
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * rate
        loss = training_loss(model, batch, settings, rng)
        if loss is None:
            continue
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
        optimizer.step()
        losses.append(float(loss.detach()))
    mean = float(np.mean(losses)) if losses else 0.0
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

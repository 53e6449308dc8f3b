"""What the retrieval model is trained on: cross-entropy of the next item over all items, or over a sample of them.

Legend of shapes: B windows, L positions, P = L + 1 places (first the empty history), V targets, N items, W learned width.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recency_export.dataset import TrainingBatch
from recency_export.model import Retrieval
from recency_export.settings import TrainSettings


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


class TrainingLoss(nn.Module):
    """The loss as a module, which is what a team wraps: of the model's parameters, for a batch or for none."""

    def __init__(self, model: Retrieval, settings: TrainSettings) -> None:
        super().__init__()
        self.model = model
        self._settings = settings

    def forward(self, batch: TrainingBatch | None, rng: np.random.Generator) -> Tensor:
        """The training loss; where there is nothing to predict a zero that still has (zero) gradients."""
        loss = training_loss(self.model, batch, self._settings, rng) if batch is not None else None
        return loss if loss is not None else torch.stack([tensor.sum() for tensor in self.parameters()]).sum() * 0.0

"""Adversarial perturbation of the item vectors: the loss where a small move of all vectors hurts it most.

fgm takes one step along the gradient, pgd several and stays within the same distance.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from recency_export.model import Retrieval
from recency_export.settings import TuneSettings


def adversarial_loss(
    loss_of: Callable[[Tensor | None], Tensor | None], model: Retrieval, settings: TuneSettings
) -> Tensor:
    """`loss_of` answers the loss with the item vectors moved by its argument, [N, W]. No parameter's gradient is touched."""
    with torch.no_grad():
        lengths = model.items().norm(dim=1, keepdim=True)
    limit = settings.adversarial_size * lengths
    shift = torch.zeros(len(lengths), model.items.residual.shape[1])
    steps = 1 if settings.adversarial == "fgm" else settings.adversarial_steps
    for _ in range(steps):
        shift.requires_grad_(True)
        loss = loss_of(shift)
        assert loss is not None
        (gradient,) = torch.autograd.grad(loss, shift)
        with torch.no_grad():
            step = (
                gradient
                / gradient.norm(dim=1, keepdim=True).clamp(min=1e-12)
                * limit
                * (1.0 / steps if steps > 1 else 1.0)
            )
            moved = shift + step
            length = moved.norm(dim=1, keepdim=True).clamp(min=1e-12)
            shift = (moved * torch.minimum(torch.ones_like(length), limit / length)).detach()
    loss = loss_of(shift)
    assert loss is not None
    return loss

"""A Hugging Face encoder with mean pooling: what training, export and adaptation alike take for *the text encoder*."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import AutoModel
from transformers.utils import logging as transformers_logging

# Of a Hugging Face folder: where what could not be merged into the weights lies.
ADAPTER = "adapter"


class Pooled(nn.Module):
    """Mean over the real tokens, to unit length."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Raw text vectors [B, text_dim]."""
        tokens_BST = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weight_BS1 = attention_mask.unsqueeze(-1).to(tokens_BST.dtype)
        mean_BT = (tokens_BST * weight_BS1).sum(1) / weight_BS1.sum(1).clamp(min=1.0)
        return nn.functional.normalize(mean_BT, dim=-1, eps=1e-9)


def load_plain(folder: Path) -> Any:
    """The folder's own model without what may lie beside it."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    # It speaks to developers of its own, between our progress bars.
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    return AutoModel.from_pretrained(folder, local_files_only=True, attn_implementation="eager")


def load_pooled(folder: Path) -> Pooled:
    """The text encoder of a folder, with the adapters or the prefix that lie in it."""
    model = load_plain(folder)
    if (folder / ADAPTER).is_dir():
        from recency_export.adapters import read_adapter

        model = read_adapter(model, folder / ADAPTER)
    return Pooled(model).eval()

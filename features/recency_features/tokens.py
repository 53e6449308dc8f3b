"""Text → the token arrays that `text_encoder` reads, by the release's own `tokenizer.json`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from recency_features.spec import TOKEN_BUCKETS, bucket

# The live releases' and those that drain or are made ready; seldom more than one.
_KEPT = 4


def read_tokens(path: Path) -> Tokens:
    """The tokenizer of a file. The same content gives the same one again: reading it takes 70 ms in which no other thread
    runs, and hardly a release brings another."""
    return _of(path.read_text(encoding="utf-8"))


class Tokens:
    """A loaded tokenizer with our truncation."""

    def __init__(self, definition: str) -> None:
        """`definition` is the JSON of a `tokenizer.json`."""
        self._tokenizer = Tokenizer.from_str(definition)
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


_of = lru_cache(maxsize=_KEPT)(Tokens)

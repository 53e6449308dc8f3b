"""Text → raw text vectors, by the language model that the live release names, in Triton."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from recency_features.spec import TEXT_ENCODER
from recency_inference import errors as inference_errors
from recency_inference.client import Inference
from recency_server.counters import Counters
from recency_server.errors import NoRelease, Overloaded, TooLate, Unavailable
from recency_server.release import Release

# Fewer texts are tokenised on the loop: a thread would cost more than the work.
_FEW_TEXTS = 4


@dataclass(frozen=True, slots=True)
class EncodeConfig:
    """batch          texts in one call of Triton
    kept_queries   vectors of query texts kept in memory
    """

    batch: int = 32
    kept_queries: int = 4_096


class Encoded(NamedTuple):
    """Raw text vectors float32 [n, text_dim], and the digest of the model that made them (`NewItem.text_encoder`)."""

    vectors: npt.NDArray[np.float32]
    text_encoder: str


class Encoder:
    """Encodes texts through Triton."""

    def __init__(
        self,
        live: Callable[[], Release | None],
        inference: Inference,
        threads: Executor,
        counters: Counters,
        config: EncodeConfig,
    ) -> None:
        self._live = live
        self._inference = inference
        self._threads = threads
        self._counters = counters
        self._config = config
        self._queries: OrderedDict[tuple[str, str], npt.NDArray[np.float32]] = OrderedDict()

    @property
    def digest(self) -> str | None:
        """The language model of the live release, None without a release."""
        live = self._live()
        return live.manifest.text_encoder_digest if live is not None else None

    async def encode(self, texts: Sequence[str], timeout_seconds: float) -> Encoded:
        """The vectors of texts (`recency_features.text.item_text` for items) by the live release's language model.
        NoRelease before the first release; Unavailable, Overloaded or TooLate where Triton does not answer."""
        live = self._live()
        if live is None:
            raise NoRelease("no release is live, so no language model is loaded; run `recency export bootstrap`")
        return await self.encode_for(live, texts, timeout_seconds)

    async def encode_for(self, release: Release, texts: Sequence[str], timeout_seconds: float) -> Encoded:
        """The same by a given release's language model."""
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_seconds
        vectors = np.empty((len(texts), release.manifest.text_dim), dtype=np.float32)
        for start in range(0, len(texts), self._config.batch):
            some = texts[start : start + self._config.batch]
            if len(some) <= _FEW_TEXTS:
                ids_BS, mask_BS = release.tokens.encode(some)
            else:
                ids_BS, mask_BS = await loop.run_in_executor(self._threads, release.tokens.encode, some)
            left = until - loop.time()
            if left <= 0:
                raise TooLate(f"{start} of {len(texts)} texts were encoded in time; send fewer at once")
            try:
                answer = await self._inference.infer(
                    TEXT_ENCODER,
                    release.manifest.model_versions[TEXT_ENCODER],
                    {"input_ids": ids_BS, "attention_mask": mask_BS},
                    ("text_vector",),
                    left,
                )
            except inference_errors.BadRequest:
                raise
            except inference_errors.TooLate as error:
                raise TooLate(str(error)) from error
            except inference_errors.Overloaded as error:
                raise Overloaded(str(error)) from error
            except inference_errors.InferenceError as error:
                raise Unavailable(str(error)) from error
            vectors[start : start + len(some)] = answer["text_vector"]
            self._counters.texts_encoded += len(some)
        return Encoded(vectors, release.manifest.text_encoder_digest)

    async def encode_query(self, release: Release, text: str, timeout_seconds: float) -> npt.NDArray[np.float32]:
        """The vector [text_dim] of what a request asks for in words; texts asked for lately are remembered."""
        key = (release.manifest.text_encoder_digest, text)
        kept = self._queries.get(key)
        if kept is not None:
            self._queries.move_to_end(key)
            return kept
        vector: npt.NDArray[np.float32] = (await self.encode_for(release, [text], timeout_seconds)).vectors[0]
        self._queries[key] = vector
        if len(self._queries) > self._config.kept_queries:
            self._queries.popitem(last=False)
        return vector

"""Adapts the language model to what people do: an item's text is to be found by the users who want the item.

The users are as the recommender sees them and stay as they are; an item's vector is the recommender's projection of its
text vector, without the item's residual, so that what is learned holds for an item that nobody has seen yet. The loss is
the recommender's own, cross-entropy over items, on the items of a batch: an item stands in a batch as often as it is
wanted, which the logarithm of its share takes back. A pull towards the vectors that the model started from keeps what it
knew.

Legend of shapes: B items in a batch, R rows (users), W the learned width, T text dimensions, S tokens.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from recency_export.adapters import CONFIG, attach, merged, read_adapter
from recency_export.errors import NonFinite, ParityError
from recency_export.language_settings import LanguageModelSettings
from recency_export.pairs import Pairs
from recency_export.pooling import ADAPTER, Pooled, load_plain, load_pooled
from recency_export.text_encoder import CatalogueEncoder, encoder_digest, export_encoder
from recency_features.tokens import read_tokens

Advance = Callable[[int, int, str], None]
# Beside an adapter: what it was trained on top of, and how.
ORIGIN = "language_model.json"
_ENCODED_TOGETHER = 64
_PARITY_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class AdaptedEncoder:
    """folder holds a Hugging Face model; checkpoint what was trained alone, for the next run to go on from."""

    folder: Path
    checkpoint: Path
    digest: str
    text_vectors: npt.NDArray[np.float32]
    continued: bool
    loss: tuple[float, ...]


def adapt(
    texts: Sequence[str],
    pairs: Pairs,
    projection: npt.NDArray[np.float32],
    encoder_folder: Path,
    settings: LanguageModelSettings,
    seed: int,
    folder: Path,
    advance: Advance,
    *,
    earlier: Path | None = None,
    threads: int = 1,
) -> AdaptedEncoder:
    """Fine-tunes the encoder, and writes below `folder`

    encoder/                                  the Hugging Face model
    text_encoder/model.onnx, tokenizer.json   the same for serving
    training/language_model/                  the adapter alone, in peft's format

    texts are the items' (N), projection is float32 [T, W]. `earlier` is the `training/language_model` of the parent release:
    where it is of the same encoder, method and shape, training goes on from it, else it begins anew.
    """
    encoder, continued, loss = tune(texts, pairs, projection, encoder_folder, settings, seed, advance, earlier)
    checkpoint = folder / "training" / "language_model"
    encoder.model.save_pretrained(checkpoint)
    origin = {"encoder": encoder_digest(encoder_folder), **_shape(settings)}
    (checkpoint / ORIGIN).write_text(json.dumps(origin, indent=1, sort_keys=True), encoding="utf-8")
    (checkpoint / "README.md").unlink(missing_ok=True)
    rebuild(encoder_folder, checkpoint, folder / "encoder")
    export_encoder(folder / "encoder", folder)
    vectors = encode_all(folder, texts, threads, lambda done, total: advance(done, total, "texts"))
    _check(folder, texts[:32], vectors[:32])
    return AdaptedEncoder(
        folder / "encoder", checkpoint, encoder_digest(folder / "encoder"), vectors, continued, tuple(loss)
    )


def tune(
    texts: Sequence[str],
    pairs: Pairs,
    projection: npt.NDArray[np.float32],
    encoder_folder: Path,
    settings: LanguageModelSettings,
    seed: int,
    advance: Advance,
    earlier: Path | None = None,
) -> tuple[Pooled, bool, list[float]]:
    """The adapted encoder in torch, whether it went on from `earlier`, and the loss of each step."""
    torch.manual_seed(seed)
    encoder, continued = _begin(encoder_folder, settings, earlier)
    return encoder, continued, _train(encoder, texts, pairs, projection, encoder_folder, settings, seed, advance)


def rebuild(encoder_folder: Path, checkpoint: Path, target: Path) -> None:
    """The adapted Hugging Face model, from the one it came from and what a release keeps in `training/language_model`."""
    target.mkdir(parents=True, exist_ok=True)
    plain = merged(read_adapter(load_plain(encoder_folder), checkpoint))
    if plain is not None:
        plain.save_pretrained(target)
    else:
        load_plain(encoder_folder).save_pretrained(target)
        shutil.copytree(checkpoint, target / ADAPTER, dirs_exist_ok=True)
    shutil.copyfile(encoder_folder / "tokenizer.json", target / "tokenizer.json")


def encode_all(
    folder: Path, texts: Sequence[str], threads: int, advance: Callable[[int, int], None]
) -> npt.NDArray[np.float32]:
    """The texts' vectors by the exported encoder in `folder`, float32 [N, T]."""
    encode = CatalogueEncoder(folder, threads)
    vectors = np.zeros((len(texts), encode.text_dim), dtype=np.float32)
    # Texts of like length together: a batch costs what its longest text costs.
    order = sorted(range(len(texts)), key=lambda row: (len(texts[row]), row))
    for at in range(0, len(order), _ENCODED_TOGETHER):
        rows = order[at : at + _ENCODED_TOGETHER]
        vectors[rows] = encode([texts[row] for row in rows])
        advance(at + len(rows), len(order))
    return vectors


def _begin(encoder_folder: Path, settings: LanguageModelSettings, earlier: Path | None) -> tuple[Pooled, bool]:
    if earlier is not None and (earlier / CONFIG).is_file() and (earlier / ORIGIN).is_file():
        origin = json.loads((earlier / ORIGIN).read_text(encoding="utf-8"))
        # AdaLoRA has given its ranks away by the end of a run: there is nothing to go on with.
        if settings.method != "adalora" and origin == {"encoder": encoder_digest(encoder_folder), **_shape(settings)}:
            return Pooled(read_adapter(load_plain(encoder_folder), earlier, trainable=True)), True
    return Pooled(attach(load_plain(encoder_folder), settings, settings.steps)), False


def _shape(settings: LanguageModelSettings) -> dict[str, Any]:
    return {
        "method": settings.method,
        "rank": settings.rank,
        "alpha": settings.alpha,
        "target_modules": list(settings.target_modules),
    }


def _train(
    encoder: Pooled,
    texts: Sequence[str],
    pairs: Pairs,
    projection: npt.NDArray[np.float32],
    encoder_folder: Path,
    settings: LanguageModelSettings,
    seed: int,
    advance: Advance,
) -> list[float]:
    """Some steps; the loss of each. Dropout stays off: what is trained is small, and the pull holds it."""
    losses: list[float] = []
    if not len(pairs.target):
        return losses
    begun = time.monotonic()
    tokens = read_tokens(encoder_folder / "tokenizer.json")
    original = load_pooled(encoder_folder)
    encoder.eval()
    trained = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    rng = np.random.default_rng((seed, 5))
    projection_TW = torch.from_numpy(projection)
    for step in range(settings.steps):
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * _rate(step / settings.steps, settings.warmup)
        items, rows = draw(pairs, settings.batch, settings.users_per_item, rng)
        ids_BS, mask_BS = map(torch.from_numpy, tokens.encode([texts[item] for item in items]))
        with torch.no_grad():
            before_BT = original(ids_BS, mask_BS)
        after_BT = encoder(ids_BS, mask_BS)
        loss = _loss(after_BT @ projection_TW, pairs, items, rows, settings.temperature)
        loss = loss + settings.pull * (1.0 - (after_BT * before_BT).sum(1)).mean() + _orthogonal(encoder, settings)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, settings.clip_norm)
        optimizer.step()
        if settings.method == "adalora":
            encoder.model.base_model.update_and_allocate(step)
        losses.append(float(loss.detach()))
        if not np.isfinite(losses[-1]):
            raise NonFinite(
                f"the language model's loss in step {step + 1} is {losses[-1]}; "
                "lower export.language_model.learning_rate"
            )
        advance(step + 1, settings.steps, f"loss {losses[-1]:.3f}")
        if 0 < settings.max_seconds < time.monotonic() - begun:
            break
    return losses


def draw(
    pairs: Pairs, batch: int, users_per_item: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Items [B], each drawn as often as it is wanted, and the pairs [R] of users who wanted one of them."""
    share = pairs.weight / pairs.weight.sum()
    items = np.unique(pairs.target[rng.choice(len(share), batch, p=share)])
    order = np.argsort(pairs.target, kind="stable")
    begins = np.searchsorted(pairs.target[order], items)
    ends = np.searchsorted(pairs.target[order], items, side="right")
    rows = [
        rng.choice(order[begin:end], min(users_per_item, end - begin), replace=False)
        for begin, end in zip(begins, ends, strict=True)
    ]
    return items, np.concatenate(rows)


def _loss(
    items_BW: Tensor, pairs: Pairs, items: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], temperature: float
) -> Tensor:
    """Cross-entropy over the batch's items, each item counted once and its users averaged."""
    users_RW = torch.from_numpy(pairs.users[rows])
    place_R = np.searchsorted(items, pairs.target[rows])
    seen_RB = pairs.consumed(rows, items)
    seen_RB[np.arange(len(rows)), place_R] = False
    share_B = torch.from_numpy(pairs.popularity[items])
    logits_RB = users_RW @ items_BW.T / temperature - torch.log(share_B).unsqueeze(0)
    logits_RB = logits_RB.masked_fill(torch.from_numpy(seen_RB), -torch.inf)
    place = torch.from_numpy(place_R)
    loss_R = torch.nn.functional.cross_entropy(logits_RB, place, reduction="none")
    weight_R = torch.from_numpy(pairs.weight[rows]) / torch.bincount(place)[place]
    return (loss_R * weight_R).sum() / weight_R.sum()


def _orthogonal(encoder: Pooled, settings: LanguageModelSettings) -> Tensor | float:
    """AdaLoRA's own regularisation, which peft adds to no loss of an encoder."""
    if settings.method != "adalora":
        return 0.0
    terms = []
    for name, tensor in encoder.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            product = tensor @ tensor.T if "lora_A" in name else tensor.T @ tensor
            terms.append(torch.linalg.norm(product - torch.eye(len(product))))
    weight: float = encoder.model.peft_config["default"].orth_reg_weight
    return weight * torch.stack(terms).mean()


def _rate(share: float, warmup: float) -> float:
    """Warm-up, then the first half of a cosine."""
    if share < warmup:
        return (share + 1e-3) / warmup
    return float(0.5 * (1.0 + np.cos(np.pi * (share - warmup) / (1.0 - warmup))))


def _check(folder: Path, texts: Sequence[str], vectors: npt.NDArray[np.float32]) -> None:
    """The exported encoder against torch."""
    ids, mask = read_tokens(folder / "tokenizer.json").encode(texts)
    with torch.no_grad():
        wanted = load_pooled(folder / "encoder")(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()
    apart = float(np.abs(wanted - vectors).max(initial=0.0))
    if not apart <= _PARITY_TOLERANCE:
        raise ParityError(f"text_encoder: torch and onnxruntime differ by {apart:.2g} (at most {_PARITY_TOLERANCE:g})")

"""Tiny releases that a gateway adopts, each with its items in an order of its own and vectors of its own: every release
gives a user another slate, and ids of one over rows of another give nobody's."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from gated_release import sign
from tiny_release import DIM, ITEMS, item_vectors, write_release
from tokenizers import Tokenizer, models, pre_tokenizers

from recency.v1 import event_pb2
from recency_features.golden import GoldenCase, write_golden
from recency_features.trends import Trends
from recency_store.manifest import Manifest

ITEM_IDS = [f"item-{number}" for number in range(ITEMS)]


def item_ids(release: int) -> list[str]:
    """The names of a release's rows."""
    return [ITEM_IDS[row] for row in np.random.default_rng([release, 1]).permutation(ITEMS)]


def write_served(folder: Path, release: int, text_encoder: int | None = None, parent: int = 0) -> Manifest:
    manifest = write_release(folder, release, text_encoder, parent)
    (folder / "item_ids.json").write_text(json.dumps(item_ids(release)), encoding="utf-8")
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "trends.npz").write_bytes(Trends().to_bytes())
    write_golden(folder / "golden.json", [_golden(release, length) for length in (1, 2, 5)])
    return sign(folder, replace(manifest, trained_through_micros=10**15))


def slate(release: int, history: list[str], size: int = 10) -> list[str]:
    """What a release gives a user with this history, who sees nothing of it again."""
    ids, logits = _logits(release, history)
    logits[[ids.index(item_id) for item_id in history]] = -np.inf
    return [ids[row] for row in np.argsort(-logits)[:size]]


def _logits(release: int, history: list[str]) -> tuple[list[str], np.ndarray]:
    """The tiny models' formula, by hand."""
    ids, vectors = item_ids(release), item_vectors(release)
    assert vectors.shape == (ITEMS, DIM)
    return ids, vectors @ vectors[[ids.index(item_id) for item_id in history]].mean(axis=0)


def _golden(release: int, length: int) -> GoldenCase:
    history = ITEM_IDS[:length]
    ids, logits = _logits(release, history)
    best = np.argsort(-logits)[:10]
    click = int(event_pb2.EVENT_TYPE_CLICK)
    return GoldenCase(
        history=tuple((item_id, click, 100.0) for item_id in history),
        exclude_item_ids=(),
        steer=(),
        expected_item_ids=tuple(ids[row] for row in best),
        expected_logits=tuple(float(logits[row]) for row in best),
        candidate_item_ids=tuple(ITEM_IDS[10:14]),
        expected_candidate_logits=tuple(float(logits[ids.index(item_id)]) for item_id in ITEM_IDS[10:14]),
    )

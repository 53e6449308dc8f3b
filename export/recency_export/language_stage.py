"""The stage that adapts the language model: folders in, one folder out. The pipeline runs it where
`export.language_model.method` is not `frozen` and there is a parent to ask for its users.

A store keeps one text vector an item, under the digest of the encoder that made it, and gateways read the vectors of the
release that serves. So the vectors of a new encoder stay in the stage's folder until a release with it is active; only then
`write_back` hands them to the store.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import torch

from recency_export.dataset import read_dataset
from recency_export.language_model import Advance, adapt
from recency_export.pairs import training_pairs
from recency_export.settings import BootstrapConfig
from recency_export.snapshot import Snapshot, read_snapshot
from recency_export.trained import read_trained, retrieval_of
from recency_features.text import item_text
from recency_store.protocol import Store

# In a release, and in the stage's folder.
CHECKPOINT = "training/language_model"
TEXTS, VECTORS, FACTS = "texts.json", "text_vectors.npy", "language_model.json"
_PAGE = 1_000


def write_texts(store: Store, snapshot: Snapshot, path: Path) -> None:
    """Writes `texts.json` beside a snapshot: of each of its items the id, the revision and the text."""
    rows: dict[str, tuple[int, str]] = {}
    last = ""
    while page := store.list_items(_PAGE, last):
        rows |= {item.item_id: (item.revision, item_text(item.item())) for item in page}
        last = page[-1].item_id
    items = snapshot.item_ids[: snapshot.item_count]
    # An item that was deleted a moment ago has no text to learn from, and is in nobody's way.
    texts = [[item_id, *rows.get(item_id, (0, ""))] for item_id in items]
    path.write_text(json.dumps(texts), encoding="utf-8")


def run_language_model(
    config: BootstrapConfig,
    snapshot_folder: Path,
    dataset_folder: Path,
    parent: Path,
    encoder_folder: Path,
    folder: Path,
    advance: Advance,
    encoder_release: Path | None = None,
) -> None:
    """Adapts `encoder_folder` to the events of the snapshot, as the users of the full release in `parent` see them.
    `encoder_release` is the release that brought the parent's encoder, where that is an earlier one: its checkpoint is gone
    on from, however many releases with a frozen encoder came between.

    Reads snapshot.npz (its text vectors made by the parent's encoder), texts.json and dataset.npz. Writes
    text_encoder/model.onnx and tokenizer.json, training/language_model/ (both for the release), text_vectors.npy (float32
    [N, text_dim], what the new encoder makes of the texts), and language_model.json (`digest` of the new encoder, …).
    """
    torch.set_num_threads(config.threads)
    snapshot = read_snapshot(snapshot_folder / "snapshot.npz")
    rows = json.loads((snapshot_folder / TEXTS).read_text(encoding="utf-8"))
    items = snapshot.item_ids[: snapshot.item_count]
    assert [row[0] for row in rows] == list(items), "texts.json is of another snapshot"
    trained = read_trained(parent)
    model = retrieval_of(trained, items, snapshot.text_vectors, snapshot.directions)
    data = read_dataset(dataset_folder / "dataset.npz")
    pairs = training_pairs(model, data, trained.model.history_length, config.language_model.events)
    made = adapt(
        [row[2] for row in rows],
        pairs,
        model.items.projection.detach().numpy(),
        encoder_folder,
        config.language_model,
        config.seed,
        folder,
        advance,
        earlier=(encoder_release or parent) / CHECKPOINT,
        threads=config.threads,
    )
    np.save(folder / VECTORS, made.text_vectors)
    moved = 1.0 - float((made.text_vectors * snapshot.text_vectors).sum(1).mean())
    facts = {
        "digest": made.digest,
        "method": config.language_model.method,
        "continued": made.continued,
        "loss": made.loss,
        "moved": moved,
    }
    (folder / FACTS).write_text(json.dumps(facts, indent=1, sort_keys=True), encoding="utf-8")
    # As large as the graph, and made again from the checkpoint whenever it is wanted (`language_model.rebuild`).
    shutil.rmtree(made.folder)


def write_back(store: Store, snapshot_folder: Path, stage_folder: Path) -> None:
    """Once a release with the new encoder is active: its text vectors into the store, where an item is still the same."""
    rows = json.loads((snapshot_folder / TEXTS).read_text(encoding="utf-8"))
    digest = json.loads((stage_folder / FACTS).read_text(encoding="utf-8"))["digest"]
    vectors = np.load(stage_folder / VECTORS).astype("<f4")
    made = [(row[0], row[1], vector.tobytes()) for row, vector in zip(rows, vectors, strict=True)]
    for at in range(0, len(made), _PAGE):
        store.set_text_vectors(made[at : at + _PAGE], digest)

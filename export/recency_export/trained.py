"""A published full release, back in torch: what a later release is fine-tuned from, and what it is compared with.

A release's own items keep their residuals; an item that it does not know starts from its text, as it does in serving.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from recency_export.cooccurrence import Cooccurrence
from recency_export.model import Retrieval, item_matrix
from recency_export.serving import FEATURES, RATE, Serving
from recency_export.settings import ModelSettings, RankerSettings
from recency_features.spaces import NO_DIRECTIONS, Directions, Space, read_spaces
from recency_store.errors import ManifestError
from recency_store.manifest import Manifest, file_entry, read_manifest

WEIGHTS, FITTED = "training/weights.npz", "training/ranker.npz"
_RESIDUAL, _OWN = "items.residual", "items.own."

Floats = npt.NDArray[np.float32]
Arrays = Mapping[str, Floats]


@dataclass(frozen=True, slots=True)
class Trained:
    """What a release was trained to.

    weights   the retrieval model's state; rows of `items.residual` are `item_ids`
    fitted    what was fitted behind retrieval: the ranker and the trend gain
    content   float32 [text_dim, content_dim], the text directions of the content dimensions
    spaces    what was learned of callers' own vectors; the state has it too, by number
    """

    manifest: Manifest
    item_ids: tuple[str, ...]
    model: ModelSettings
    ranker: RankerSettings
    weights: Arrays
    fitted: Arrays
    content: Floats
    spaces: tuple[Space, ...] = ()


def read_trained(folder: Path) -> Trained:
    """Reads a full release's folder; ManifestError where a file is missing or is not what the manifest says."""
    manifest = read_manifest(folder)
    for name in (WEIGHTS, FITTED, "item_ids.json", "projection.npy"):
        _check(folder, manifest, name)
    settings = manifest.settings
    return Trained(
        manifest=manifest,
        item_ids=tuple(json.loads((folder / "item_ids.json").read_text(encoding="utf-8"))),
        model=ModelSettings(**settings["model"]),
        ranker=RankerSettings(**settings["ranker"]),
        weights=_arrays(folder / WEIGHTS),
        fitted=_with_rate(_arrays(folder / FITTED)),
        content=np.load(folder / "projection.npy")[:, manifest.learned_dim :].astype(np.float32),
        spaces=read_spaces(folder, manifest),
    )


def retrieval_of(
    trained: Trained, item_ids: Sequence[str], text_vectors: Floats, directions: Directions = NO_DIRECTIONS
) -> Retrieval:
    """The retrieval model over these items: weights as they were, residuals by item id, spaces by name."""
    model = Retrieval(text_vectors, trained.model, directions)
    model.items.begin_with(trained.spaces)
    own = {name: tensor for name, tensor in model.state_dict().items() if name.startswith(_OWN)}
    was = {name: array for name, array in trained.weights.items() if not name.startswith(_OWN)}
    state = own | {name: torch.from_numpy(np.array(array)) for name, array in was.items()}
    state[_RESIDUAL] = torch.from_numpy(rows_by_id(trained.item_ids, trained.weights[_RESIDUAL], item_ids))
    model.load_state_dict(state)
    return model.eval()


def serving_of(model: Retrieval, content: Floats, fitted: Arrays, tables: Cooccurrence, trained: Trained) -> Serving:
    """What Triton would run, with the fitted parts given."""
    serving = Serving(item_matrix(model, content), model.users, tables, trained.model, trained.ranker)
    serving.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in fitted.items()}, strict=False)
    return serving.eval()


def rows_by_id(known: Sequence[str], rows: Floats, wanted: Sequence[str]) -> Floats:
    """The rows of the wanted ids; zeros for one that is not known."""
    row_of = {item_id: row for row, item_id in enumerate(known)}
    found = np.zeros((len(wanted), *rows.shape[1:]), dtype=np.float32)
    for place, item_id in enumerate(wanted):
        row = row_of.get(item_id)
        if row is not None:
            found[place] = rows[row]
    return found


def _arrays(path: Path) -> dict[str, Floats]:
    with np.load(path, allow_pickle=False) as saved:
        return {name: saved[name] for name in saved.files}


def _with_rate(fitted: Arrays) -> Arrays:
    """What a release from before rates was fitted to, with a feature of them that does not speak."""
    if len(fitted["ranker.mean"]) == FEATURES:
        return fitted
    wider = {
        name: np.insert(fitted[name], RATE, 0.0, axis=-1)
        for name in ("ranker.mean", "ranker.scale", "ranker.hidden.weight")
    }
    return {**fitted, **wider}


def _check(folder: Path, manifest: Manifest, name: str) -> None:
    entry = manifest.files.get(name)
    if entry is None:
        raise ManifestError(
            f"{folder}: release {manifest.release} holds no {name}, so nothing can be fine-tuned from it; "
            "make a new first release with: recency export bootstrap"
        )
    path = folder / name
    if not path.is_file() or file_entry(path) != entry:
        raise ManifestError(f"{path}: missing, or not what the manifest says; publish the release again")

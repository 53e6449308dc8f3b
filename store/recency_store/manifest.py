"""What a release is made of: `releases/<n>/manifest.json`, written last, and the check of a folder against it.

A manifest holds no wall-clock times: the same data and the same seed give the same manifest. Files of a release:

    manifest.json            this
    recommender/model.onnx   the fused graph          } both read `items.bin` beside them, the release's one
    scorer/model.onnx        the graph for candidates } external data file (hard links of `items.bin` below)
    items.bin                float32 little endian [N, D], the item vectors, first in the file; tables after them
    item_ids.json            the N item ids, a JSON list: row i of the matrix is item_ids[i]
    projection.npy           float32 [text_dim, D]: raw text vector → item vector
    spaces.npz               what callers' own vectors add to it, by space (absent where it was trained on none)
    text_encoder/model.onnx  the language model (absent where `text_encoder.version` is an earlier release's)
    tokenizer.json           for the text encoder
    trends.npz               the trend fold up to `trained_through_sequence`
    golden.json              golden cases
    training/weights.npz     the retrieval model's weights    } what a later release is fine-tuned from; an item
    training/ranker.npz      what was fitted behind retrieval } release has its space's (absent in its own folder)
    training.png metrics.png metrics.json
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from recency_store.errors import ManifestError

# 2: kind, space, learned_through_sequence, run.
FORMAT = 3
MANIFEST = "manifest.json"
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file's size and SHA-256."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Calibration:
    """probability = sigmoid(scale · logit + shift); `source` says what it was fitted on (impressions, sampled)."""

    scale: float = 1.0
    shift: float = 0.0
    source: str = "none"


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything about a release that never changes."""

    release: int
    parent: int
    trained_through_sequence: int
    trained_through_micros: int
    catalog_sequence: int
    item_count: int
    event_count: int
    # Width of an item vector: learned dimensions first, then content dimensions, where a query's steer vector lives.
    dim: int
    learned_dim: int
    text_dim: int
    history_length: int
    trend_half_lives_seconds: tuple[float, ...]
    user_feature_dim: int
    # model name → Triton version that this release needs
    model_versions: dict[str, int]
    # digest of the language model's weights; text vectors made by another are not this release's
    text_encoder_digest: str
    # How much a query's steer vector is multiplied by at query_weight 0.5, so that query and history weigh the same.
    query_scale: float
    # Weight of log(trend now / trend at training) as the live bias.
    trend_bias_weight: float
    # Share of events whose user had consumed the item before: a catalogue that is consumed again.
    repeat_share: float
    calibration: Calibration = field(default_factory=Calibration)
    # `full`: weights of its own; `item`: another item matrix under the weights of `space`.
    kind: str = "full"
    # The full release whose item space this is: the number under which the item learner's state is kept; 0 means itself.
    space: int = 0
    # Columns of `item_trend`: a decayed count a half-life, and from format 3 on the rate behind them; 0 means no rate.
    trend_columns: int = 0
    # How far the item learner's residuals are folded into the matrix; 0 where none are.
    learned_through_sequence: int = 0
    # Where the experiment tracker keeps the run that made it.
    run: str = ""
    seed: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    files: dict[str, FileEntry] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def item_space(self) -> int:
        """The number under which the item learner keeps its state for this release."""
        return self.space or self.release

    @property
    def trend_width(self) -> int:
        """How many columns of trends its graphs read."""
        return self.trend_columns or len(self.trend_half_lives_seconds)

    def to_json(self) -> str:
        """One canonical text for one manifest."""
        return json.dumps(asdict(self), sort_keys=True, indent=1)

    @staticmethod
    def from_json(text: str, where: str) -> Manifest:
        """Reads a manifest; ManifestError names `where` and what is wrong."""
        try:
            raw = json.loads(text)
            if not isinstance(raw, dict):
                raise TypeError("not a JSON object")
        except (ValueError, TypeError) as error:
            raise ManifestError(f"{where}: not a manifest ({error}); publish the release again") from error
        if raw.get("format", 0) > FORMAT:
            raise ManifestError(
                f"{where}: written in format {raw['format']}, this software reads up to {FORMAT}; upgrade Recency"
            )
        try:
            raw["files"] = {name: FileEntry(**entry) for name, entry in raw["files"].items()}
            raw["calibration"] = Calibration(**raw["calibration"])
            raw["trend_half_lives_seconds"] = tuple(raw["trend_half_lives_seconds"])
            return Manifest(**raw)
        except (KeyError, TypeError, AttributeError) as error:
            raise ManifestError(f"{where}: {error}; publish the release again") from error


def file_entry(path: Path) -> FileEntry:
    """Size and SHA-256 of a file, read in chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return FileEntry(bytes=path.stat().st_size, sha256=digest.hexdigest())


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a release folder, files unchecked; ManifestError where there is none or it cannot be read."""
    path = folder / MANIFEST
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: cannot be read ({error}); publish the release again") from error
    return Manifest.from_json(text, str(path))


def verify(folder: Path) -> Manifest:
    """Reads a release folder's manifest and checks every file's size and checksum; ManifestError names the bad one."""
    manifest = read_manifest(folder)
    for name, entry in sorted(manifest.files.items()):
        path = folder / name
        if not path.is_file():
            raise ManifestError(f"{path}: missing; the release is not usable, publish it again")
        found = file_entry(path)
        if found.bytes != entry.bytes:
            raise ManifestError(f"{path}: {found.bytes} bytes, the manifest says {entry.bytes}; publish it again")
        if found.sha256 != entry.sha256:
            raise ManifestError(
                f"{path}: checksum {found.sha256[:12]}…, the manifest says {entry.sha256[:12]}…; publish it again"
            )
    return manifest

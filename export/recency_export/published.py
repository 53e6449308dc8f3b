"""A published release, read back from its folder by what the gate needs of it; imports no torch."""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from recency_features.golden import GoldenCase, read_golden
from recency_features.spaces import read_spaces
from recency_features.spec import RECOMMENDER, SCORER, TEXT_ENCODER
from recency_features.trends import Trends
from recency_store.errors import ManifestError
from recency_store.manifest import Manifest, read_manifest, verify

_MODELS = (RECOMMENDER, SCORER, TEXT_ENCODER)
# What the readers of JSON, .npy and .npz raise over bytes that are no such thing.
_UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, EOFError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True, slots=True)
class Published:
    """A release folder whose parts fit together."""

    folder: Path
    manifest: Manifest
    item_ids: tuple[str, ...]
    trends: Trends
    cases: tuple[GoldenCase, ...]

    @property
    def trend_NT(self) -> npt.NDArray[np.float32]:
        """Trends of its items at trained-through time."""
        rows = np.array([self.trends.row_of.get(name, -1) for name in self.item_ids], dtype=np.intp)
        return self.trends.columns(rows, self.manifest.trained_through_micros, self.manifest.trend_width)

    def model(self, name: str) -> Path:
        """Where a model's graph lies: here, or in the folder of the release that brought it."""
        own = self.folder / name / "model.onnx"
        return own if own.is_file() else self.folder.parent / str(self.manifest.model_versions[name]) / name / own.name


def read_published(folder: Path, *, checksums: bool = True) -> Published:
    """Reads a release; ManifestError says what is missing, corrupt, of another size, or not finite."""
    manifest = verify(folder) if checksums else read_manifest(folder)
    for name in ("item_ids.json", "items.bin", "projection.npy", "trends.npz", "golden.json"):
        if name not in manifest.files:
            raise ManifestError(f"{folder / name}: not in the manifest; publish the release again")
    try:
        item_ids: list[str] = json.loads((folder / "item_ids.json").read_text(encoding="utf-8"))
        projection = np.load(folder / "projection.npy", allow_pickle=False)
        found = Published(
            folder=folder,
            manifest=manifest,
            item_ids=tuple(item_ids),
            trends=Trends.from_bytes((folder / "trends.npz").read_bytes()),
            cases=tuple(read_golden(folder / "golden.json")),
        )
    except _UNREADABLE as error:
        raise ManifestError(f"{folder}: cannot be read ({type(error).__name__}: {error}); publish it again") from error
    _check_shapes(found, projection.shape)
    read_spaces(folder, manifest)
    _check_models(found)
    _check_numbers(manifest, folder)
    return found


def _check_shapes(found: Published, projection: tuple[int, ...]) -> None:
    manifest, folder = found.manifest, found.folder
    if len(found.item_ids) != manifest.item_count or len(set(found.item_ids)) != manifest.item_count:
        raise ManifestError(
            f"{folder}: {len(set(found.item_ids))} different item ids of {len(found.item_ids)}, the manifest says "
            f"{manifest.item_count}; publish it again"
        )
    if projection != (manifest.text_dim, manifest.dim):
        raise ManifestError(
            f"{folder}: a projection of {projection}, the manifest says {(manifest.text_dim, manifest.dim)}; "
            "publish it again"
        )
    matrix = manifest.item_count * manifest.dim * 4
    if manifest.files["items.bin"].bytes < matrix:
        raise ManifestError(
            f"{folder / 'items.bin'}: {manifest.files['items.bin'].bytes} bytes hold no {manifest.item_count} vectors of "
            f"{manifest.dim} dimensions ({matrix} bytes); publish it again"
        )


def _check_models(found: Published) -> None:
    """Each model is here, or in the release whose version the manifest names."""
    for name in _MODELS:
        version = found.manifest.model_versions.get(name)
        if version is None:
            raise ManifestError(f"{found.folder}: the manifest names no version of {name}; publish it again")
        here = f"{name}/model.onnx" in found.manifest.files
        # A folder that was fetched alone has no siblings by number; the agent, which loads them, looks for itself.
        alone = found.folder.name != str(found.manifest.release)
        if here != (version == found.manifest.release) or not (alone or found.model(name).is_file()):
            raise ManifestError(
                f"{found.folder}: needs version {version} of {name}, and {found.model(name)} is "
                f"{'its own' if here else 'missing'}; publish it again"
            )


def _check_numbers(manifest: Manifest, folder: Path) -> None:
    """A metric that is not a number compares as neither better nor worse: it must not get that far."""
    numbers = manifest.metrics | {
        "calibration.scale": manifest.calibration.scale,
        "calibration.shift": manifest.calibration.shift,
        "query_scale": manifest.query_scale,
        "trend_bias_weight": manifest.trend_bias_weight,
    }
    bad = sorted(name for name, value in numbers.items() if not math.isfinite(value))
    if bad:
        raise ManifestError(f"{folder}: not finite: {', '.join(bad)}; report what the training data holds")

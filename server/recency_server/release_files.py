"""Reads a release folder: what the gateway needs of it, checked as far as that is quick. The agent, which loads the
models, checks every checksum; the golden cases show that what was read here agrees with what was loaded there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from recency_features.golden import GoldenCase, read_golden
from recency_features.spaces import SPACES, read_spaces
from recency_features.tokens import read_tokens
from recency_features.trends import Trends
from recency_inference.artifacts import ReleaseCache
from recency_inference.errors import ArtifactsUnavailable
from recency_server.errors import Unavailable
from recency_server.release import ReleaseContent
from recency_store.errors import ManifestError
from recency_store.manifest import Manifest, read_manifest
from recency_store.records import ReleaseRecord

# Where releases from elsewhere are put unless configured: in the default data folder.
DEFAULT_CACHE = Path("data") / "fetched"
_READ = ("golden.json", "item_ids.json", "items.bin", "projection.npy", "tokenizer.json", "trends.npz")


def read_release(record: ReleaseRecord, cache: ReleaseCache | None = None) -> tuple[ReleaseContent, list[GoldenCase]]:
    """What the folder holds, fetched first where it is elsewhere; ManifestError names what is missing or does not fit,
    Unavailable what cannot be had now."""
    with _folder(record, cache) as folder:
        # What is mapped stays readable when the cache lets the folder go.
        return _read(record, folder)


def check_release(record: ReleaseRecord, cache: ReleaseCache | None = None) -> None:
    """The same without reading what is large: says early what would be refused."""
    with _folder(record, cache) as folder:
        _checked_manifest(record, folder)


@contextmanager
def _folder(record: ReleaseRecord, cache: ReleaseCache | None) -> Iterator[Path]:
    try:
        with (cache or ReleaseCache(DEFAULT_CACHE)).hold(record.url) as folder:
            yield folder
    except ArtifactsUnavailable as error:
        raise Unavailable(str(error)) from error


def _checked_manifest(record: ReleaseRecord, folder: Path) -> Manifest:
    manifest = read_manifest(folder)
    if manifest.release != record.release:
        raise ManifestError(f"{folder}: holds release {manifest.release}, the store says {record.release}")
    for name in (*_READ, *({SPACES} & manifest.files.keys())):
        path, entry = folder / name, manifest.files.get(name)
        if entry is None or not path.is_file() or path.stat().st_size != entry.bytes:
            raise ManifestError(f"{path}: missing or of another size than the manifest says; publish the release again")
    vectors = manifest.files["items.bin"].bytes
    # Other tables follow them.
    if vectors < 4 * manifest.item_count * manifest.dim:
        raise ManifestError(
            f"{folder / 'items.bin'}: {vectors} bytes are not {manifest.item_count} vectors of dimension {manifest.dim}; "
            "publish the release again"
        )
    return manifest


def _read(record: ReleaseRecord, folder: Path) -> tuple[ReleaseContent, list[GoldenCase]]:
    manifest = _checked_manifest(record, folder)
    item_ids: list[str] = json.loads((folder / "item_ids.json").read_text(encoding="utf-8"))
    projection = np.load(folder / "projection.npy", allow_pickle=False)
    if len(item_ids) != manifest.item_count or projection.shape != (manifest.text_dim, manifest.dim):
        raise ManifestError(
            f"{folder}: {len(item_ids)} items and a projection of {projection.shape}, the manifest says "
            f"{manifest.item_count} and {(manifest.text_dim, manifest.dim)}; publish the release again"
        )
    shape = (manifest.item_count, manifest.dim)
    content = ReleaseContent(
        record=record,
        manifest=manifest,
        item_ids=item_ids,
        items_ND=np.memmap(folder / "items.bin", dtype="<f4", mode="r", shape=shape),
        projection=projection.astype(np.float32),
        tokens=read_tokens(folder / "tokenizer.json"),
        trends=Trends.from_bytes((folder / "trends.npz").read_bytes()),
        spaces=read_spaces(folder, manifest),
    )
    return content, read_golden(folder / "golden.json")

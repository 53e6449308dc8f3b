"""Which release another one comes from, and where it lies. Imports no torch."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from recency_inference.artifacts import ReleaseCache, local_folder
from recency_store.errors import ManifestError
from recency_store.manifest import Manifest
from recency_store.protocol import Store
from recency_store.records import ReleaseRecord

_HELD = ExitStack()


def trained_record(store: Store, record: ReleaseRecord) -> ReleaseRecord:
    """The full release that holds the weights which `record` serves: itself, or for an item release its space's."""
    manifest = Manifest.from_json(record.manifest_json, f"release {record.release}")
    return record if manifest.item_space == record.release else store.get_release(manifest.item_space)


def release_folder(record: ReleaseRecord, releases: Path | None = None) -> Path:
    """Where a release lies on this machine; ManifestError where it does not. One that is kept at a URL is looked for among
    the folders that releases are put together in, and else fetched beside them."""
    folder = local_folder(record.url)
    if folder is None and releases is not None:
        folder = releases / str(record.release)
        if not folder.is_dir():
            # Held until the process ends: whoever asks reads from it in many places.
            folder = _HELD.enter_context(ReleaseCache(releases.with_name("fetched")).hold(record.url))
    if folder is None or not folder.is_dir():
        raise ManifestError(
            f"{record.url}: release {record.release} is not on this machine; run where releases are made"
        )
    return folder

"""Staged files → an immutable folder `releases/<n>/` and its record in the store.

Staged beside its final place, flushed, renamed, registered as CANDIDATE, checked as it lies there, then ACTIVE or REJECTED.
Every step may be repeated: a number that was reserved is used again, a folder that is there and whole is kept.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from recency_export.errors import ExportError
from recency_export.workspace import disk_full_named, files_under, sync_folder, sync_tree
from recency_inference import artifacts
from recency_store.errors import ManifestError
from recency_store.manifest import MANIFEST, Manifest, file_entry, verify
from recency_store.protocol import Store
from recency_store.records import Lease, ReleaseRecord, ReleaseState

# Beside each graph lies a link to the one items.bin, so that it loads from where it is; the manifest names the file once.
_LINKED = ("recommender/items.bin", "scorer/items.bin")


def publish(
    store: Store,
    releases: Path,
    files: Mapping[str, Path],
    manifest: Manifest,
    now_micros: int,
    check: Callable[[Path], None],
    lease: Lease | None = None,
    place: str = "",
) -> ReleaseRecord:
    """Publishes `files` (name in the release → where it lies now); raises what `check` raises after marking REJECTED."""
    folder = publish_candidate(store, releases, files, manifest, now_micros, place)
    if store.get_release(manifest.release).state is ReleaseState.ACTIVE:
        return store.get_release(manifest.release)
    try:
        verify(folder)
        check(folder)
    except (ManifestError, ExportError) as error:
        store.set_release_state(manifest.release, ReleaseState.REJECTED, str(error), lease=lease)
        raise
    store.set_release_state(manifest.release, ReleaseState.ACTIVE, lease=lease)
    return store.get_release(manifest.release)


def publish_candidate(
    store: Store, releases: Path, files: Mapping[str, Path], manifest: Manifest, now_micros: int, place: str = ""
) -> Path:
    """Stages the folder and registers it as CANDIDATE; answers the folder. Nothing that serves is touched. `place` is the
    URL from which everybody else fetches releases: it is copied there first; empty where all share the folder."""
    folder = releases / str(manifest.release)
    manifest = replace(
        manifest, files={name: file_entry(path) for name, path in sorted(files.items()) if name not in _LINKED}
    )
    if not _is_there(folder, manifest):
        with disk_full_named(releases / f".{folder.name}.staging"):
            _stage(releases, folder, files, manifest)
    if place:
        artifacts.publish(folder, artifacts.join(place, manifest.release))
    store.put_release(
        ReleaseRecord(
            release=manifest.release,
            state=ReleaseState.CANDIDATE,
            reason="",
            url=artifacts.join(place, manifest.release) if place else str(folder.resolve()),
            parent=manifest.parent,
            create_micros=now_micros,
            manifest_json=manifest.to_json(),
        )
    )
    return folder


def _is_there(folder: Path, manifest: Manifest) -> bool:
    try:
        return verify(folder) == manifest
    except ManifestError:
        return False


def _stage(releases: Path, folder: Path, files: Mapping[str, Path], manifest: Manifest) -> None:
    releases.mkdir(parents=True, exist_ok=True)
    staging = releases / f".{folder.name}.staging"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    for name, source in sorted(files.items()):
        target = staging / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if name in _LINKED:
            continue
        link_or_copy(source, target)
    for name in _LINKED:
        link_or_copy(staging / "items.bin", staging / name)
    (staging / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    sync_tree(staging)
    shutil.rmtree(folder, ignore_errors=True)
    staging.rename(folder)
    sync_folder(releases)


def link_or_copy(source: Path, target: Path) -> None:
    """A hard link where the file system can, else a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def stage_files(*folders: Path) -> dict[str, Path]:
    """The files of several stage folders by the name that they have in a release."""
    return {name: folder / name for folder in folders for name in files_under(folder)}

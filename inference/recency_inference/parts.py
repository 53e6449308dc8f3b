"""A release as what Triton loads: model versions, each with the verified folder that its files come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from recency_features import spec
from recency_store.errors import ManifestError
from recency_store.manifest import Manifest, verify
from recency_store.records import ReleaseRecord

MODELS = (spec.RECOMMENDER, spec.SCORER, spec.TEXT_ENCODER)
Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Part:
    """One version of one model, the release folder that holds its files, and that folder's manifest."""

    model: str
    version: int
    folder: Path
    manifest: Manifest

    @property
    def key(self) -> Key:
        """Model and version."""
        return self.model, self.version


class Shelf:
    """The release folders, each verified once (checksums of every file) for as long as this lives."""

    def __init__(self, folder: Path) -> None:
        """`folder` is where a release is looked for whose record has no place of its own."""
        self._folder = folder
        self._verified: dict[int, Manifest] = {}

    def parts(self, record: ReleaseRecord, records: Sequence[ReleaseRecord]) -> tuple[Part, ...]:
        """What a release needs loaded, everything verified; ManifestError says what is wrong with which file."""
        manifest = self._verify(record)
        return tuple(
            self._part(model, version, record, manifest, records) for model, version in _versions(record, manifest)
        )

    def forget(self, release: int) -> None:
        """The next use verifies again."""
        self._verified.pop(release, None)

    def _verify(self, record: ReleaseRecord) -> Manifest:
        manifest = self._verified.get(record.release)
        if manifest is None:
            folder = folder_of(record, self._folder)
            manifest = verify(folder)
            if manifest.release != record.release:
                raise ManifestError(
                    f"{folder}: is release {manifest.release}, registered as {record.release}; publish it again"
                )
            self._verified[record.release] = manifest
        return manifest

    def _part(
        self, model: str, version: int, record: ReleaseRecord, manifest: Manifest, records: Sequence[ReleaseRecord]
    ) -> Part:
        """A language model that did not change lies in the folder of the release that brought it."""
        if f"{model}/model.onnx" in manifest.files:
            return Part(model, version, folder_of(record, self._folder), manifest)
        owner = next((r for r in records if r.release == version), None) if version != record.release else None
        if owner is None:
            raise ManifestError(
                f"release {record.release}: {model} version {version} is in no release; publish the release again"
            )
        return Part(model, version, folder_of(owner, self._folder), self._verify(owner))


def _versions(record: ReleaseRecord, manifest: Manifest) -> list[Key]:
    missing = [model for model in MODELS if model not in manifest.model_versions]
    if missing:
        raise ManifestError(f"release {record.release}: its manifest names no version of {', '.join(missing)}")
    return [(model, manifest.model_versions[model]) for model in MODELS]


def recorded_versions(record: ReleaseRecord) -> frozenset[Key]:
    """What a release says it needs, by the manifest in the store: for one whose folder can no longer be trusted."""
    try:
        manifest = Manifest.from_json(record.manifest_json, f"release {record.release}")
    except ManifestError:
        return frozenset()
    return frozenset(manifest.model_versions.items())


def folder_of(record: ReleaseRecord, releases: Path) -> Path:
    """Where a release's folder is: its record's path or file URL, or the release's number under `releases`."""
    where = urlsplit(record.url)
    if where.scheme not in ("", "file"):
        raise ManifestError(f"{record.url}: releases are read from local folders only; copy it and register its path")
    path = Path(unquote(where.path) if where.scheme == "file" else record.url)
    if not record.url:
        return releases / str(record.release)
    return path if path.is_absolute() else releases / path

"""A release as what Triton loads: model versions, each with the verified folder that its files come from."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from recency_features import spec
from recency_inference.artifacts import ReleaseCache, local_folder
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


@dataclass(frozen=True, slots=True)
class _Verified:
    folder: Path
    manifest: Manifest
    # Keeps a fetched folder from being pruned.
    held: ExitStack


class Shelf:
    """The release folders, each verified once (checksums of every file) for as long as this lives, and fetched first
    where no disk is shared."""

    def __init__(self, folder: Path, cache: ReleaseCache | None = None) -> None:
        """`folder` is where a release is looked for whose record has no place of its own; `cache` is where releases
        from elsewhere are put, by default beside it."""
        self._folder = folder
        self._cache = cache or ReleaseCache(folder.with_name("fetched"))
        self._verified: dict[int, _Verified] = {}

    def parts(self, record: ReleaseRecord, records: Sequence[ReleaseRecord]) -> tuple[Part, ...]:
        """What a release needs loaded, everything verified; ManifestError says what is wrong with which file,
        ArtifactsUnavailable that it cannot be had now."""
        verified = self._verify(record)
        return tuple(self._part(key, record, verified, records) for key in _versions(record, verified.manifest))

    def forget(self, release: int) -> None:
        """The next use verifies again."""
        verified = self._verified.pop(release, None)
        if verified is not None:
            verified.held.close()

    def keep(self, releases: Collection[int]) -> None:
        """Lets go of the folders of all releases but these."""
        for release in set(self._verified) - set(releases):
            self.forget(release)

    def _verify(self, record: ReleaseRecord) -> _Verified:
        verified = self._verified.get(record.release)
        if verified is None:
            verified = self._fetched_and_whole(record)
            if verified.manifest.release != record.release:
                verified.held.close()
                raise ManifestError(
                    f"{verified.folder}: is release {verified.manifest.release}, registered as {record.release}; "
                    "publish it again"
                )
            self._verified[record.release] = verified
        return verified

    def _fetched_and_whole(self, record: ReleaseRecord) -> _Verified:
        url = url_of(record, self._folder)
        for again in (True, False):
            with ExitStack() as held:
                folder = held.enter_context(self._cache.hold(url))
                try:
                    return _Verified(folder, verify(folder), held.pop_all())
                except ManifestError:
                    if local_folder(url) is not None or not again:
                        raise
            # Our copy went bad, not the release.
            self._cache.discard(url)
        raise AssertionError("unreachable")

    def _part(self, key: Key, record: ReleaseRecord, verified: _Verified, records: Sequence[ReleaseRecord]) -> Part:
        """A language model that did not change lies in the folder of the release that brought it."""
        model, version = key
        if f"{model}/model.onnx" in verified.manifest.files:
            return Part(model, version, verified.folder, verified.manifest)
        owner = next((r for r in records if r.release == version), None) if version != record.release else None
        if owner is None:
            raise ManifestError(
                f"release {record.release}: {model} version {version} is in no release; publish the release again"
            )
        verified = self._verify(owner)
        return Part(model, version, verified.folder, verified.manifest)


def _versions(record: ReleaseRecord, manifest: Manifest) -> list[Key]:
    missing = [model for model in MODELS if model not in manifest.model_versions]
    if missing:
        raise ManifestError(f"release {record.release}: its manifest names no version of {', '.join(missing)}")
    return [(model, manifest.model_versions[model]) for model in MODELS]


def recorded_versions(record: ReleaseRecord) -> frozenset[Key]:
    """What a release says it needs, by the manifest in the store: for one whose folder can no longer be trusted."""
    manifest = recorded_manifest(record)
    return frozenset(manifest.model_versions.items()) if manifest is not None else frozenset()


def recorded_manifest(record: ReleaseRecord) -> Manifest | None:
    """The manifest in the store, where it can be read."""
    try:
        return Manifest.from_json(record.manifest_json, f"release {record.release}")
    except ManifestError:
        return None


def url_of(record: ReleaseRecord, releases: Path) -> str:
    """Where a release's folder is: its record's URL or path, or the release's number under `releases`."""
    local = local_folder(record.url)
    if local is None:
        return record.url
    return str(releases / local) if record.url else str(releases / str(record.release))

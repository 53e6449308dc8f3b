"""The model repository of one Triton, on disk: whole version folders in, whole version folders out.

Triton loads what is there when it starts, so nothing half-written may ever be in it: a version folder is put together in
`staging` (on the same file system) and renamed into place, and renamed out before it is removed. A model's folder exists
while it has a version: an empty repository is empty.
"""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from recency_features import spec
from recency_inference.errors import TritonMissing
from recency_store.manifest import Manifest, file_entry

CONFIG = "config.pbtxt"
_ITEMS = "items.bin"


def find_model_repository(configured: Path | None) -> Path:
    """Where the committed configurations are: as configured, inside the installed package, or in the source tree."""
    here = Path(__file__).resolve().parent
    for folder in [configured] if configured else [here / "model_repository", here.parents[1] / "model_repository"]:
        if (folder / spec.RECOMMENDER / CONFIG).is_file():
            return folder
    raise TritonMissing(
        f"{configured or here.parents[1] / 'model_repository'}: no {spec.RECOMMENDER}/{CONFIG} is there; "
        "set triton.model_repository to the folder `model_repository` of the source tree"
    )


@dataclass(frozen=True, slots=True)
class Repository:
    """`folder` is what Triton reads, `staging` a folder beside it, `configs` the committed `model_repository`."""

    folder: Path
    staging: Path
    configs: Path

    def config(self, model: str) -> Path:
        """The committed configuration of a model."""
        return self.configs / model / CONFIG

    def on_disk(self) -> dict[str, frozenset[int]]:
        """The version folders of each model."""
        if not self.folder.is_dir():
            return {}
        return {
            model.name: frozenset(int(v.name) for v in model.iterdir() if v.name.isdecimal())
            for model in self.folder.iterdir()
            if model.is_dir()
        }

    def tidy(self) -> None:
        """Before Triton starts: removes what a killed agent left in staging, and brings configurations up to date."""
        shutil.rmtree(self.staging, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        for model, versions in self.on_disk().items():
            if versions:
                self._place_config(model)
            else:
                shutil.rmtree(self.folder / model, ignore_errors=True)

    def stage(self, model: str, version: int, release: Path, manifest: Manifest) -> None:
        """Puts a version in place from a verified release folder."""
        parts = self.staging / f"{model}-{version}"
        shutil.rmtree(parts, ignore_errors=True)
        parts.mkdir(parents=True)
        try:
            for name, source in _files_of(model, manifest).items():
                _link_or_copy(release / source, parts / name, manifest, source)
            (self.folder / model).mkdir(parents=True, exist_ok=True)
            self._place_config(model)
            os.replace(parts, self.folder / model / str(version))
        except OSError:
            # A full disk must not be kept full by what it had no room for.
            shutil.rmtree(parts, ignore_errors=True)
            raise

    def same_as(self, model: str, version: int, release: Path, manifest: Manifest) -> bool:
        """Whether the staged version is what the (verified) release folder holds."""
        staged = self.folder / model / str(version)
        files = _files_of(model, manifest)
        if {path.name for path in staged.iterdir()} != set(files):
            return False
        return all(
            os.path.samefile(staged / name, release / source) or file_entry(staged / name) == manifest.files[source]
            for name, source in files.items()
        )

    def whole(self, model: str, version: int, manifest: Manifest) -> bool:
        """Whether a version is staged and its files are what a manifest says of them."""
        staged, files = self.folder / model / str(version), _files_of(model, manifest)
        return (
            bool(files)
            and staged.is_dir()
            and {path.name for path in staged.iterdir()} == set(files)
            and all(file_entry(staged / name) == manifest.files[source] for name, source in files.items())
        )

    def remove(self, model: str, version: int) -> None:
        """Takes a version out; with the last one the model's folder goes."""
        self.staging.mkdir(parents=True, exist_ok=True)
        out = self.staging / f"out-{model}-{version}"
        shutil.rmtree(out, ignore_errors=True)
        os.replace(self.folder / model / str(version), out)
        shutil.rmtree(out)
        if not self.on_disk().get(model):
            shutil.rmtree(self.folder / model, ignore_errors=True)

    def _place_config(self, model: str) -> None:
        """Writes the committed configuration, only where it differs: Triton reloads every version for a touched one."""
        wanted = self.config(model).read_bytes()
        place = self.folder / model / CONFIG
        if not place.is_file() or place.read_bytes() != wanted:
            self.staging.mkdir(parents=True, exist_ok=True)
            part = self.staging / f"{model}-{CONFIG}"
            part.write_bytes(wanted)
            os.replace(part, place)


def _files_of(model: str, manifest: Manifest) -> dict[str, str]:
    """Name in the version folder → name in the release: the model's own folder, and the item vectors where its graph
    reads them and the release keeps them once."""
    own = {
        name.removeprefix(f"{model}/"): name
        for name in manifest.files
        if name.startswith(f"{model}/") and name.count("/") == 1
    }
    if model != spec.TEXT_ENCODER and _ITEMS not in own and _ITEMS in manifest.files:
        own[_ITEMS] = _ITEMS
    return own


def _link_or_copy(source: Path, target: Path, manifest: Manifest, name: str) -> None:
    """A link of the item vectors, which are each release's own; a copy of everything else. Triton takes a version whose
    file was linked once more, or once less, for a changed one, and reloads it: a graph that two releases share by links
    would cost a reload of the one that serves."""
    try:
        if target.name == _ITEMS:
            os.link(source.resolve(), target)
            return
    except OSError as error:
        # Another file system, or one without hard links (or a limit on them).
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK):
            raise
    shutil.copyfile(source, target)
    if file_entry(target) != manifest.files[name]:
        raise OSError(errno.EIO, "the copy differs from its source", str(target))

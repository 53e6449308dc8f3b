"""Release folders in one place named by a URL: fetched whole and verified, published so that half of one is never seen.

A path or file:// URL is used where it lies. Any other URL (what fsspec has a file system for) is fetched into a cache
folder: files that a release there has already are linked, the rest is loaded into a partial folder, which is verified by
the manifest's checksums and renamed. Several processes may share a cache; what one of them holds is not pruned.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from recency_inference.errors import ArtifactsUnavailable
from recency_store.errors import ManifestError
from recency_store.manifest import MANIFEST, read_manifest, verify

_LINKS_REFUSED = (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK)
# What a cache holds beside the releases that are in use.
DEFAULT_SPARE = 4


def local_folder(url: str) -> Path | None:
    """The folder that a path or file:// URL names; None where it has to be fetched."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return None if "://" in url else Path(url)


def join(place: str, release: int) -> str:
    """The URL of a release in a place."""
    return f"{place.rstrip('/')}/{release}"


def publish(folder: Path, url: str) -> None:
    """Copies a whole release folder to a URL, its manifest last. May be repeated after any failure; a whole one that is
    there already is kept. ManifestError where the folder is not whole, ArtifactsUnavailable where the place is away."""
    manifest = verify(folder)
    local = local_folder(url)
    if local is not None:
        if local.resolve() != folder.resolve():
            _publish_local(folder, local)
        return
    with _remote(url) as (files, path):
        remote = f"{path}/{MANIFEST}"
        text = (folder / MANIFEST).read_bytes()
        if files.exists(remote):
            if files.cat_file(remote) == text:
                return
            # Another's manifest over our files would be half a release.
            files.rm_file(remote)
        for name in sorted(manifest.files):
            files.makedirs(f"{path}/{name}".rpartition("/")[0], exist_ok=True)
            files.put_file(str(folder / name), f"{path}/{name}")
        files.pipe_file(remote, text)


class ReleaseCache:
    """Fetched releases in a folder. `spare` is how many it keeps that nobody holds."""

    def __init__(self, folder: Path, spare: int = DEFAULT_SPARE) -> None:
        self._folder = folder
        self._spare = spare

    @contextmanager
    def hold(self, url: str) -> Iterator[Path]:
        """The verified folder of a release, not pruned before the context ends. ManifestError where what is at the URL is
        not a whole release, ArtifactsUnavailable where it cannot be had now."""
        local = local_folder(url)
        if local is not None:
            yield local
            return
        folder = self._folder / _name(url)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = _locked(folder.with_name(f"{folder.name}.lock"), fcntl.LOCK_SH)
        except OSError as error:
            raise ArtifactsUnavailable(f"{self._folder}: {error}; free space, or set another data.path") from error
        with lock:
            self._fetch(url, folder)
            yield folder

    def discard(self, url: str) -> None:
        """Drops a copy that has gone bad; who has it open keeps what is open."""
        folder = self._folder / _name(url)
        if local_folder(url) is None and folder.is_dir():
            self._remove(folder)

    def _fetch(self, url: str, folder: Path) -> None:
        with _locked(folder.with_name(f"{folder.name}.fetching"), fcntl.LOCK_EX) as lock:
            if (folder / MANIFEST).is_file():
                os.utime(folder)
            else:
                partial = folder.with_name(f".{folder.name}.partial")
                try:
                    self._load(url, partial)
                    partial.rename(folder)
                finally:
                    # Also what a killed one left, and what fills the disk.
                    shutil.rmtree(partial, ignore_errors=True)
                self._prune()
            Path(lock.name).unlink(missing_ok=True)

    def _load(self, url: str, partial: Path) -> None:
        shutil.rmtree(partial, ignore_errors=True)
        with _remote(url) as (files, path):
            partial.mkdir()
            files.get_file(f"{path}/{MANIFEST}", str(partial / MANIFEST))
            manifest = read_manifest(partial)
            here = self._files_here()
            for name, entry in sorted(manifest.files.items()):
                target = _inside(partial, name)
                target.parent.mkdir(parents=True, exist_ok=True)
                if not _linked(here.get(entry.sha256), target):
                    files.get_file(f"{path}/{name}", str(target))
        try:
            verify(partial)
        except ManifestError as error:
            raise ManifestError(str(error).replace(str(partial), url)) from error

    def _files_here(self) -> dict[str, Path]:
        """The files of the cached releases by checksum: a release shares most of them with its parent."""
        found: dict[str, Path] = {}
        for folder in self._folders():
            with contextlib.suppress(ManifestError):
                found |= {entry.sha256: folder / name for name, entry in read_manifest(folder).files.items()}
        return found

    def _folders(self) -> list[Path]:
        """Whole ones, the last used first."""
        ages = {}
        for manifest in self._folder.glob(f"[!.]*/{MANIFEST}"):
            with contextlib.suppress(OSError):
                ages[manifest.parent] = manifest.parent.stat().st_mtime_ns
        return sorted(ages, key=lambda folder: ages[folder], reverse=True)

    def _prune(self) -> None:
        idle = 0
        for folder in self._folders():
            with contextlib.suppress(BlockingIOError):
                lock = folder.with_name(f"{folder.name}.lock")
                with _locked(lock, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    idle += 1
                    if idle > self._spare:
                        self._remove(folder)
                        lock.unlink(missing_ok=True)

    def _remove(self, folder: Path) -> None:
        out = folder.with_name(f".{folder.name}.out")
        shutil.rmtree(out, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            folder.rename(out)
        shutil.rmtree(out, ignore_errors=True)


def _publish_local(folder: Path, target: Path) -> None:
    with contextlib.suppress(ManifestError):
        if verify(target) == read_manifest(folder):
            return
    staging = target.with_name(f".{target.name}.publishing")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(folder, staging, copy_function=_link_or_copy)
        shutil.rmtree(target, ignore_errors=True)
        staging.rename(target)
    except OSError as error:
        shutil.rmtree(staging, ignore_errors=True)
        raise ArtifactsUnavailable(f"{target}: cannot be published ({error}); free space and run again") from error


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _LINKS_REFUSED:
            raise
        shutil.copyfile(source, target)


def _linked(source: Path | None, target: Path) -> bool:
    if source is None:
        return False
    try:
        os.link(source, target)
    except OSError:
        # Pruned a moment ago, or no links here: fetched like any other.
        return False
    return True


def _inside(folder: Path, name: str) -> Path:
    """The place of a manifest's file; ManifestError for a name that leads out of the folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ManifestError(f"{name!r} in the manifest leads out of the release; publish it again")
    return folder / path


def _name(url: str) -> str:
    return f"{PurePosixPath(urlsplit(url).path).name or 'release'}-{hashlib.sha256(url.encode()).hexdigest()[:12]}"


@contextmanager
def _remote(url: str) -> Iterator[tuple[Any, str]]:
    """fsspec's file system of a URL, and the path there."""
    import fsspec  # Takes a while, and most stacks share a disk.

    try:
        yield fsspec.core.url_to_fs(url.rstrip("/"))
    except ManifestError:
        raise
    except FileNotFoundError as error:
        raise ManifestError(f"{url}: no whole release is there ({error}); publish it again") from error
    except Exception as error:
        # Every file system raises its own library's errors.
        raise ArtifactsUnavailable(
            f"{url}: {type(error).__name__}: {error}; it is tried again (a protocol may need its package: see fsspec)"
        ) from error


def _locked(path: Path, how: int) -> IO[str]:
    """The lock file, open and locked: the system lets it go with the process. BlockingIOError for LOCK_NB."""
    while True:
        file = path.open("w", encoding="utf-8")
        try:
            fcntl.flock(file, how)
            # Whoever removed it in the meantime locked another file than whoever comes now.
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except FileNotFoundError:
            pass
        except BaseException:
            file.close()
            raise
        file.close()

"""Releases by URL: fetched whole or not at all, published manifest last, cached within bounds."""

import functools
import http.server
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from tiny_release import write_release

from recency_inference import artifacts
from recency_inference.artifacts import ReleaseCache, publish
from recency_inference.errors import ArtifactsUnavailable
from recency_store.errors import ManifestError
from recency_store.manifest import MANIFEST, verify


@pytest.fixture
def release(tmp_path: Path) -> Path:
    write_release(tmp_path / "made" / "1", 1)
    return tmp_path / "made" / "1"


@pytest.fixture
def place() -> Iterator[str]:
    yield "memory://releases"
    fsspec.filesystem("memory").rm("/releases", recursive=True)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder that an HTTP server of its own serves, and its URL."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


def cached(cache: Path) -> set[str]:
    return {path.name.partition("-")[0] for path in cache.iterdir() if path.is_dir() and not path.name.startswith(".")}


def test_what_is_published_is_fetched_whole_and_checked(release: Path, place: str, tmp_path: Path) -> None:
    publish(release, f"{place}/1")
    publish(release, f"{place}/1")
    with ReleaseCache(tmp_path / "cache").hold(f"{place}/1") as folder:
        assert verify(folder) == verify(release)
        assert (folder / "items.bin").read_bytes() == (release / "items.bin").read_bytes()


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_a_release_on_this_machine_is_used_where_it_lies(release: Path, tmp_path: Path, prefix: str) -> None:
    with ReleaseCache(tmp_path / "cache").hold(f"{prefix}{release}") as folder:
        assert folder == release
    assert not (tmp_path / "cache").exists()
    publish(release, f"{prefix}{tmp_path}/elsewhere/1")
    assert verify(tmp_path / "elsewhere" / "1") == verify(release)


def test_half_a_publication_is_no_release_and_the_next_try_completes_it(
    release: Path, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, put, puts = type(fsspec.filesystem("memory")), type(fsspec.filesystem("memory")).put_file, []

    def fails_late(self: object, *arguments: object, **options: object) -> None:
        puts.append(arguments)
        if len(puts) == 3:
            raise ConnectionError("gone")
        put(self, *arguments, **options)

    monkeypatch.setattr(memory, "put_file", fails_late)
    with pytest.raises(ArtifactsUnavailable, match="gone"):
        publish(release, f"{place}/1")
    cache = ReleaseCache(tmp_path / "cache")
    with pytest.raises(ManifestError, match="no whole release"), cache.hold(f"{place}/1"):
        pass
    publish(release, f"{place}/1")
    with cache.hold(f"{place}/1") as folder:
        verify(folder)


def test_a_corrupt_or_cut_off_file_is_refused_and_leaves_nothing_behind(
    release: Path, served: tuple[Path, str], tmp_path: Path
) -> None:
    there, url = served
    shutil.copytree(release, there / "1")
    (there / "1" / "items.bin").write_bytes(bytes((release / "items.bin").stat().st_size))
    cache = ReleaseCache(tmp_path / "cache")
    with pytest.raises(ManifestError, match=rf"{url}/1/items\.bin: checksum"), cache.hold(f"{url}/1"):
        pass
    (there / "1" / "items.bin").write_bytes(b"short")
    with pytest.raises(ManifestError, match="5 bytes"), cache.hold(f"{url}/1"):
        pass
    assert cached(tmp_path / "cache") == set()
    shutil.copyfile(release / "items.bin", there / "1" / "items.bin")
    with cache.hold(f"{url}/1") as folder:
        verify(folder)
    cache.discard(f"{url}/1")
    assert cached(tmp_path / "cache") == set()


def test_a_place_that_is_away_is_tried_again_and_no_fault_of_the_release(tmp_path: Path) -> None:
    with pytest.raises(ArtifactsUnavailable), ReleaseCache(tmp_path).hold("http://127.0.0.1:1/releases/1"):
        pass


def test_a_manifest_cannot_name_a_file_outside_of_its_release(
    release: Path, served: tuple[Path, str], tmp_path: Path
) -> None:
    there, url = served
    shutil.copytree(release, there / "1")
    manifest = there / "1" / MANIFEST
    manifest.write_text(manifest.read_text().replace('"items.bin"', '"../../items.bin"'))
    with pytest.raises(ManifestError, match="out of the release"), ReleaseCache(tmp_path / "c").hold(f"{url}/1"):
        pass


def test_the_cache_links_what_it_has_and_keeps_what_is_held(place: str, tmp_path: Path) -> None:
    for number in range(1, 6):
        write_release(tmp_path / "made" / str(number), number)
        publish(tmp_path / "made" / str(number), f"{place}/{number}")
    cache, other = ReleaseCache(tmp_path / "cache", spare=1), ReleaseCache(tmp_path / "cache", spare=1)
    with cache.hold(f"{place}/1") as first:
        for number in (2, 3, 4, 5):
            with other.hold(f"{place}/{number}") as folder:
                # All tiny releases have the same graphs.
                assert (folder / "scorer/model.onnx").samefile(first / "scorer/model.onnx")
                assert not (folder / "items.bin").samefile(first / "items.bin")
        assert cached(tmp_path / "cache") == {"1", "4", "5"}
    with other.hold(f"{place}/2"):
        assert cached(tmp_path / "cache") == {"2", "5"}


FETCH = """
import sys
from pathlib import Path
from recency_inference.artifacts import ReleaseCache
from recency_store.manifest import verify
import fsspec.implementations.http
print("up", flush=True)
sys.stdin.readline()
with ReleaseCache(Path(sys.argv[1])).hold(sys.argv[2]) as folder:
    print(verify(folder).release)
"""


def test_processes_that_fetch_at_once_all_get_it_whole(release: Path, served: tuple[Path, str], tmp_path: Path) -> None:
    there, url = served
    shutil.copytree(release, there / "1")
    (tmp_path / "cache" / f".{artifacts._name(f'{url}/1')}.partial" / "left by a killed one").mkdir(parents=True)
    command = [sys.executable, "-c", FETCH, str(tmp_path / "cache"), f"{url}/1"]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(3)]
    for process in processes:
        assert process.stdout.readline() == "up\n"
    assert [process.communicate("\n", timeout=60)[0] for process in processes] == ["1\n"] * 3
    assert cached(tmp_path / "cache") == {"1"}

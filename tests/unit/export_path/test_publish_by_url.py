"""The exporter publishes to a URL, manifest last, and finds a parent there."""

from pathlib import Path

import fsspec
from tiny_release import write_release

from recency_export.lineage import release_folder
from recency_export.publish import publish_candidate
from recency_store.manifest import verify
from recency_store.memory import MemoryStore


def test_a_candidate_is_registered_by_its_url_and_found_again_from_another_machine(tmp_path: Path) -> None:
    manifest = write_release(tmp_path / "made", 3)
    files = {name: tmp_path / "made" / name for name in manifest.files}
    store, place = MemoryStore(), "memory://published"
    folder = publish_candidate(store, tmp_path / "here" / "releases", files, manifest, 0, place)
    record = store.get_release(3)
    assert record.url == f"{place}/3"
    assert release_folder(record, tmp_path / "here" / "releases") == folder
    there = release_folder(record, tmp_path / "there" / "releases")
    assert there.is_relative_to(tmp_path / "there" / "fetched")
    assert verify(there) == verify(folder)
    fsspec.filesystem("memory").rm("/published", recursive=True)

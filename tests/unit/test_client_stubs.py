"""The committed stubs are what the protos say, and the protos are lint-free."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from recency import release_types, types
from recency.v1 import event_pb2, recommendation_pb2, release_pb2

ROOT = Path(__file__).parents[2]
BUF = shutil.which("buf") or shutil.which("buf", path=str(Path(sys.executable).parent))


def test_the_committed_stubs_are_those_that_the_protos_make(tmp_path):
    subprocess.run(
        [ROOT / "scripts" / "generate-stubs", tmp_path], check=True, env={**os.environ, "PYTHON": sys.executable}
    )
    made = {p.name: p.read_text() for p in (tmp_path / "recency" / "v1").iterdir()}
    kept = {p.name: p.read_text() for p in (ROOT / "client" / "recency" / "v1").glob("*_pb2*.py*")}
    assert sorted(made) == sorted(kept)
    different = [name for name, text in made.items() if kept[name] != text]
    assert not different, f"run scripts/generate-stubs: {different}"


@pytest.mark.skipif(BUF is None, reason="buf is not installed: pip install buf-bin")
def test_the_protos_are_free_of_lint():
    done = subprocess.run([BUF, "lint", ROOT / "protos"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("ours", "theirs", "prefix"),
    [
        (types.EventType, event_pb2.EventType, "EVENT_TYPE_"),
        (types.Source, recommendation_pb2.Source, "SOURCE_"),
        (types.ReasonKind, recommendation_pb2.ReasonKind, "REASON_KIND_"),
        (types.RecommendView, recommendation_pb2.RecommendView, "RECOMMEND_VIEW_"),
        (release_types.ReleaseState, release_pb2.ReleaseState, "RELEASE_STATE_"),
    ],
)
def test_the_clients_enums_are_those_of_the_protos(ours, theirs, prefix):
    assert {prefix + member.name: member.value for member in ours} == dict(theirs.items())

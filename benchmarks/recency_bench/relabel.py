"""A release for a log that is not the one that it was trained on: everything learned is the same files; only what says up to
where the log is known, and the trends of that moment, are another log's."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from recency_features.golden import write_golden
from recency_features.trends import Trends, to_fold
from recency_store.manifest import MANIFEST, Manifest, file_entry, read_manifest
from recency_store.records import LoggedEvent

_CHUNK = 5_000


def relabelled(folder: Path, to: Path, trends: Trends, **changes: Any) -> Manifest:
    """A copy of a release in `to` with other trends and `changes` to its manifest. Its golden cases are left out: what they
    expect depends on the trends."""
    manifest = read_manifest(folder)
    for name in manifest.files:
        target = to / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if name not in ("trends.npz", "golden.json"):
            os.link(folder / name, target)
    (to / "trends.npz").write_bytes(trends.to_bytes())
    write_golden(to / "golden.json", [])
    files = {**manifest.files}
    for name in ("trends.npz", "golden.json"):
        files[name] = file_entry(to / name)
    moved = dataclasses.replace(manifest, files=files, **changes)
    (to / MANIFEST).write_text(moved.to_json(), encoding="utf-8")
    return moved


def as_of_start(folder: Path, to: Path) -> Manifest:
    """A copy for a log that starts empty, without the bias towards what has changed since training."""
    trends = Trends(read_manifest(folder).trend_half_lives_seconds)
    return relabelled(folder, to, trends, trained_through_sequence=0, trend_bias_weight=0.0)


def trends_of(log: Iterable[LoggedEvent], half_lives_seconds: tuple[float, ...]) -> Trends:
    """The fold of a log."""
    trends = Trends(half_lives_seconds)
    events = iter(log)
    while some := list(islice(events, _CHUNK)):
        trends.fold(to_fold(some))
    return trends

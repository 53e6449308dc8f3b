"""Releases that are broken in every way we know: each is refused for its reason, on its record, in the log and in a metric,
and the one that serves goes on."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from attached_stack import AttachedStack
from gated_release import fewer_ids, flipped, missing_version, other_dimension, sign, truncated
from served_tiny import write_served

from recency_features import spec
from recency_store.errors import RejectedRelease
from recency_store.manifest import FORMAT, MANIFEST, Manifest, read_manifest
from recency_store.records import ReleaseState

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]
_numbers = itertools.count(1_000)
Break = Callable[[Path], object]
GRAPH = f"{spec.RECOMMENDER}/model.onnx"


def signed(broken: Break) -> Break:
    """The manifest agrees with the broken file: only loading or running it shows."""

    def break_and_sign(folder: Path) -> None:
        changes = broken(folder) or {}
        sign(folder, replace(read_manifest(folder), **changes))

    return break_and_sign


def missing(name: str) -> Break:
    return lambda folder: (folder / name).unlink()


def manifest_with(**changes: object) -> Break:
    def rewrite(folder: Path) -> None:
        content = json.loads((folder / MANIFEST).read_text())
        (folder / MANIFEST).write_text(json.dumps(content | changes))

    return rewrite


# What is broken → a word of the reason.
BROKEN: dict[str, tuple[Break, str]] = {
    "truncated graph": (truncated(GRAPH), "bytes, the manifest says"),
    "graph with a flipped bit": (flipped(GRAPH), "checksum"),
    "truncated items": (truncated("items.bin"), "bytes, the manifest says"),
    "items with a flipped bit": (flipped("items.bin"), "checksum"),
    "scorer with a flipped bit": (flipped(f"{spec.SCORER}/model.onnx", at=0.9), "checksum"),
    "no graph": (missing(GRAPH), "missing"),
    "no manifest": (missing(MANIFEST), "cannot be read"),
    "truncated manifest": (truncated(MANIFEST), "not a manifest"),
    "manifest newer than the software": (manifest_with(format=FORMAT + 1), "upgrade Recency"),
    "manifest of another release": (manifest_with(release=7), "registered as"),
    "manifest without the scorer": (manifest_with(model_versions={spec.RECOMMENDER: 1}), "names no version"),
    "language model of no release": (signed(missing_version), "is in no release"),
    "truncated graph that is signed": (signed(truncated(GRAPH)), GRAPH.partition("/")[0]),
    "truncated items that are signed": (signed(truncated("items.bin")), "recommender"),
}
QUICK = frozenset(random.Random(5).sample(sorted(BROKEN), 3))


def pick(every_fault: bool, name: str) -> None:
    if not every_fault and name not in QUICK:
        pytest.skip("one of `make chaos`")


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_release_is_refused_for_its_reason_and_the_served_one_goes_on(
    attached: AttachedStack, name: str, every_fault: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    pick(every_fault, name)
    stack, number = attached, next(_numbers)
    broken, reason = BROKEN[name]
    folder = stack.folder.path / "releases" / str(number)
    whole = write_served(folder, number, None if "language" in name else 1)
    broken(folder)
    before, degraded = _refusals(stack), stack.watcher.degraded
    stack.register(_readable(folder, whole))
    stack.play_until(lambda: stack.store.get_release(number).state is ReleaseState.REJECTED, f"{name} is rejected")
    stack.still_answers()
    assert reason in stack.store.get_release(number).reason
    assert _refusals(stack) == before + 1
    assert "release_refused" in capsys.readouterr().out
    assert not stack.ready(number)
    stack.play_until(lambda: number not in stack.on_disk(spec.RECOMMENDER), "nothing of it is left")
    assert stack.loaded(spec.RECOMMENDER).isdisjoint({number})
    assert stack.watcher.degraded == degraded
    assert stack.watcher.wrong == stack.watcher.refused == []
    with pytest.raises(RejectedRelease):
        stack.store.set_release_state(number, ReleaseState.ACTIVE)


@pytest.mark.parametrize("broken", [other_dimension, fewer_ids])
def test_a_release_that_only_the_gateway_can_judge_never_answers(
    attached: AttachedStack, broken: Break, every_fault: bool
) -> None:
    if not every_fault and broken is fewer_ids:
        pytest.skip("one of `make chaos`")
    stack, number, serving = attached, next(_numbers), attached.serving
    folder = stack.folder.path / "releases" / str(number)
    write_served(folder, number, 1)
    signed(broken)(folder)
    stack.register(read_manifest(folder))
    stack.play_until(lambda: stack.ready(number), "Triton has it")
    stack.store.set_release_state(number, ReleaseState.ACTIVE)
    stack.play_until(
        lambda: f"release={number}" in stack.gateway.log or f'"release": {number}' in stack.gateway.log, "seen"
    )
    stack.still_answers()
    assert not stack.watcher.releases[number]
    stack.store.roll_back(serving, "it does not serve")
    stack.still_answers()
    assert stack.watcher.wrong == stack.watcher.refused == []


def _readable(folder: Path, whole: Manifest) -> Manifest:
    """What the exporter would have registered: the manifest in the folder, where it can be read."""
    try:
        found = read_manifest(folder)
    except Exception:
        return whole
    return found if found.release == whole.release else whole


def _refusals(stack: AttachedStack) -> float:
    return sum(
        sample.value
        for metric in stack.agent.metrics.refusals.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    )

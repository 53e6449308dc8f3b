"""Plans for a GPU: which shapes, what is missing, what passes; the builder itself is played where there is no GPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recency_export.errors import ParityError, TensorRTMissing
from recency_export.onnx_session import open_model
from recency_export.tensorrt_profiles import profiles, release_ranges
from recency_export.to_tensorrt import Build, check_ready, compare, missing, publish_plans
from recency_features import spec
from recency_inference.warm import warm_requests
from recency_store.manifest import Manifest, verify
from recency_store.memory import MemoryStore
from recency_store.records import ReleaseState

MODELS = (spec.RECOMMENDER, spec.SCORER, spec.TEXT_ENCODER)


@pytest.fixture(scope="module")
def manifest(bootstrapped) -> Manifest:
    return verify(bootstrapped.folder)


@pytest.mark.parametrize("model", MODELS)
def test_whatever_the_agent_warms_lies_inside_the_profile(model: str, manifest: Manifest) -> None:
    found = profiles(model, release_ranges(manifest))
    assert set(found) == {tensor.name for tensor in spec.INPUTS[model]}
    for request in warm_requests(model, manifest, np.random.default_rng(0)):
        for name, array in request.items():
            sizes = array.tolist() if name == "k" else array.shape
            least, most = found[name].least, found[name].most
            assert all(low <= size <= high for low, size, high in zip(least, sizes, most, strict=True)), name


@pytest.mark.parametrize("model", MODELS)
def test_a_profile_is_ordered_and_fixes_what_the_release_fixes(model: str, manifest: Manifest) -> None:
    found = profiles(model, release_ranges(manifest))
    for profile in found.values():
        assert all(a <= b <= c for a, b, c in zip(profile.least, profile.usual, profile.most, strict=True))
    if model == spec.RECOMMENDER:
        assert found["steer"].least[1] == found["steer"].most[1] == manifest.dim
        assert found["item_bias"].least == (manifest.item_count + 1,)
        assert found["k"].most == (min(1000, manifest.item_count),)


def test_a_bare_machine_is_told_each_thing_it_lacks() -> None:
    lacking = missing(has_module=lambda name: False, count_devices=lambda: None)
    assert [part.split()[0] for part in lacking] == ["NVIDIA's", "the", "the"]
    with pytest.raises(TensorRTMissing, match=r"libcuda\.so\.1.*tensorrt==.*recency-server\[export\]"):
        check_ready(lacking)
    assert "nvidia-smi" in missing(lambda name: True, lambda: 0)[0]
    check_ready(missing(lambda name: True, lambda: 1))


class Played:
    """Builds a copy of the graph's path; runs it in onnxruntime, with an error that half precision brings."""

    def __init__(self, half_is_off_by: float = 0.0, full_is_off_by: float = 0.0) -> None:
        self.off = {"fp16": half_is_off_by, "fp32": full_is_off_by}
        self.built: list[Build] = []

    def build(self, build: Build, target: Path) -> None:
        self.built.append(build)
        target.write_text(f"{build.graph}\n{build.precision}")

    def run(self, plan: Path, inputs):
        graph, precision = plan.read_text().split("\n")
        session = open_model(Path(graph))
        names = [output.name for output in session.get_outputs()]
        outputs = dict(zip(names, session.run(names, inputs), strict=True))
        name = "text_vector" if "text_vector" in outputs else "logits"
        outputs[name] = outputs[name] + np.float32(self.off[precision])
        return outputs


@pytest.fixture
def publish(bootstrapped, tmp_path):
    def go(played: Played):
        # A store and a folder of its own: other tests share the bootstrapped ones.
        store = MemoryStore()
        store.next_release()
        store.put_release(replace(bootstrapped.record, state=ReleaseState.CANDIDATE))
        store.set_release_state(bootstrapped.record.release, ReleaseState.ACTIVE)
        return store, *publish_plans(
            store, tmp_path / "releases", bootstrapped.record, tmp_path / "plans", "fp16", 1, played.build, played.run
        )

    return go


def test_plans_come_as_a_candidate_in_the_same_item_space(publish, bootstrapped, manifest) -> None:
    played = Played(half_is_off_by=1e-3)
    store, record, found = publish(played)
    made = verify(Path(record.url))
    assert record.state == "CANDIDATE"
    assert store.active_release().release == bootstrapped.record.release
    assert made.item_space == bootstrapped.record.release
    assert set(made.files) - set(manifest.files) == {
        "recommender/model.plan", "scorer/model.plan", "text_encoder/model.plan", "tensorrt.json",
    }  # fmt: skip
    assert {name: entry for name, entry in made.files.items() if name in manifest.files} == manifest.files
    assert set(made.model_versions.values()) == {made.release}
    assert {about["precision"] for about in found.values()} == {"fp16"}
    assert [build.precision for build in played.built] == ["fp16"] * 3


def test_half_precision_that_is_too_far_off_falls_back_and_says_why(publish) -> None:
    _, _, found = publish(Played(half_is_off_by=1.0))
    assert {about["precision"] for about in found.values()} == {"fp32"}
    assert all("fp16" in about["refused"][0] for about in found.values())


def test_a_plan_that_computes_something_else_is_not_published(publish, tmp_path) -> None:
    with pytest.raises(ParityError, match="recommender"):
        publish(Played(half_is_off_by=1.0, full_is_off_by=1.0))
    assert not (tmp_path / "releases").exists()


def test_answers_are_compared_by_what_they_show_and_hide() -> None:
    ids = np.arange(100, dtype=np.int32)[None]
    logits = np.linspace(5, -5, 100, dtype=np.float32)[None]
    wanted = {"item_ids": ids, "logits": logits}
    swapped = ids.copy()
    swapped[0, :2] = swapped[0, 1::-1]
    assert compare(spec.RECOMMENDER, wanted, {"item_ids": swapped, "logits": logits})[0] == []
    assert compare(spec.RECOMMENDER, wanted, {"item_ids": ids + 50, "logits": logits})[0]
    hidden = logits.copy()
    hidden[0, -1] = -np.inf
    assert compare(spec.SCORER, {"logits": logits}, {"logits": hidden})[0]
    assert compare(spec.SCORER, {"logits": hidden}, {"logits": hidden})[0] == []
    assert compare(spec.SCORER, {"logits": logits}, {"logits": logits * np.nan})[0]

"""A release's ONNX graphs → TensorRT plans, where TensorRT and a GPU are there; where not, exactly what is missing.

A plan is of one GPU, one TensorRT version and one release, so it comes as a release of its own: the same files and the
plans beside them, in the same item space. Half precision must pass against onnxruntime, else the plan is built in full
precision; what does not pass then either is not published.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from recency_export.errors import ParityError, TensorRTMissing
from recency_export.lineage import release_folder
from recency_export.onnx_session import open_model
from recency_export.publish import publish_candidate
from recency_export.tensorrt_profiles import Profile, profiles, release_ranges
from recency_features.spec import INPUTS, RECOMMENDER, SCORER, TEXT_ENCODER
from recency_inference.warm import Arrays, Sizes, example_inputs, example_tokens
from recency_store.manifest import Manifest, verify
from recency_store.protocol import Store
from recency_store.records import ReleaseRecord

Precision = Literal["fp16", "fp32"]
PLAN = "model.plan"
_BATCH = 8
# How far a logit may be off, and how many of the best hundred must be the same.
_LOGIT_TOLERANCE = 0.05
_LEAST_SHARED = 0.97
_TEXT_TOLERANCE = 0.01


@dataclass(frozen=True, slots=True)
class Build:
    """What a plan is built from, and how."""

    model: str
    graph: Path
    profiles: Mapping[str, Profile]
    precision: Precision


# Makes a plan's file; runs one over some inputs. On a GPU `build_plan` and `run_plan`; in tests what plays them.
Builder = Callable[[Build, Path], None]
Runner = Callable[[Path, Arrays], Arrays]


def missing(
    has_module: Callable[[str], bool] = lambda name: importlib.util.find_spec(name) is not None,
    count_devices: Callable[[], int | None] = lambda: cuda_devices(),
) -> list[str]:
    """What keeps this machine from building plans, each with how to get it; nothing where it can."""
    found = []
    devices = count_devices()
    if devices is None:
        found.append("NVIDIA's driver (libcuda.so.1 is not there): install it, or run in a container with `--gpus all`")
    elif devices == 0:
        found.append("a CUDA device (the driver sees none): check `nvidia-smi` and CUDA_VISIBLE_DEVICES")
    if not has_module("tensorrt"):
        found.append(
            "the Python module tensorrt, of the version that Triton has: `pip install tensorrt==10.5.0` for "
            "tritonserver:24.10, or run inside nvcr.io/nvidia/tensorrt:24.10-py3"
        )
    if not has_module("torch"):
        found.append("the Python module torch with CUDA: `pip install recency-server[export]`")
    return found


def cuda_devices() -> int | None:
    """How many CUDA devices the driver sees; None where there is no driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def check_ready(lacking: list[str]) -> None:
    """Raises TensorRTMissing with everything that is missing."""
    if lacking:
        raise TensorRTMissing(
            "TensorRT plans cannot be built here; missing: "
            + "; ".join(lacking)
            + ". Without plans the same release is "
            "served by onnxruntime, on a GPU too (docs/tensorrt.md)"
        )


def publish_plans(
    store: Store,
    releases: Path,
    record: ReleaseRecord,
    workspace: Path,
    precision: Precision,
    now_micros: int,
    build: Builder,
    run: Runner,
    place: str = "",
) -> tuple[ReleaseRecord, dict[str, dict[str, Any]]]:
    """Builds the plans of a release, compares each with its graph, and registers a candidate that holds them; answers it and
    what was found of each model."""
    folder = release_folder(record, releases)
    manifest = verify(folder)
    workspace.mkdir(parents=True, exist_ok=True)
    found: dict[str, dict[str, Any]] = {}
    files = {name: folder / name for name in manifest.files}
    for model in (RECOMMENDER, SCORER, TEXT_ENCODER):
        owner = _owner(store, releases, model, folder, manifest)
        graph = owner / model / "model.onnx"
        files[f"{model}/model.onnx"] = graph
        # What the next language model is trained on from goes where its graph goes.
        files |= {path.relative_to(owner).as_posix(): path for path in owner.glob("training/language_model/*")}
        plan = workspace / f"{model}.plan"
        found[model] = _build_checked(model, graph, manifest, precision, plan, build, run)
        files[f"{model}/{PLAN}"] = plan
    about = workspace / "tensorrt.json"
    about.write_text(json.dumps(found, indent=1, sort_keys=True), encoding="utf-8")
    files["tensorrt.json"] = about
    number = store.next_release()
    made = replace(
        manifest,
        release=number,
        parent=record.release,
        kind="item",
        space=manifest.item_space,
        model_versions=dict.fromkeys((RECOMMENDER, SCORER, TEXT_ENCODER), number),
    )
    publish_candidate(store, releases, files, made, now_micros, place)
    return store.get_release(number), found


def _owner(store: Store, releases: Path, model: str, folder: Path, manifest: Manifest) -> Path:
    """Where a model's graph lies; a language model that did not change lies in the release that brought it."""
    if f"{model}/model.onnx" in manifest.files:
        return folder
    return release_folder(store.get_release(manifest.model_versions[model]), releases)


def _build_checked(
    model: str, graph: Path, manifest: Manifest, precision: Precision, plan: Path, build: Builder, run: Runner
) -> dict[str, Any]:
    shapes = profiles(model, release_ranges(manifest))
    inputs = _example(model, manifest)
    session = open_model(graph)
    outputs = [output.name for output in session.get_outputs()]
    wanted = dict(zip(outputs, session.run(outputs, inputs), strict=True))
    refused: list[str] = []
    for tried in (precision, "fp32") if precision != "fp32" else ("fp32",):
        build(Build(model, graph, shapes, tried), plan)
        reasons, measured = compare(model, wanted, run(plan, inputs))
        if not reasons:
            return {"precision": tried, "refused": refused, **measured}
        refused += [f"{tried}: {reason}" for reason in reasons]
    raise ParityError(f"{model}: TensorRT does not compute what onnxruntime computes: {'; '.join(refused)}")


def _example(model: str, manifest: Manifest) -> Arrays:
    rng = np.random.default_rng(0)
    if model == TEXT_ENCODER:
        tokens = example_tokens(_BATCH, 16)
        tokens["input_ids"] = rng.integers(0, 100, tokens["input_ids"].shape)
        return tokens
    inputs = example_inputs(model, manifest, _BATCH, rng, Sizes(fresh=16, excluded=64))
    return {tensor.name: inputs[tensor.name] for tensor in INPUTS[model]}


def compare(
    model: str, wanted: Mapping[str, npt.NDArray[Any]], got: Mapping[str, npt.NDArray[Any]]
) -> tuple[list[str], dict[str, float]]:
    """What is wrong with a plan's answers, and how far off they are."""
    if model == TEXT_ENCODER:
        apart = _apart(wanted["text_vector"], got["text_vector"])
        bad = [] if apart <= _TEXT_TOLERANCE else [f"text vectors are off by {apart:.3g} (at most {_TEXT_TOLERANCE})"]
        return bad, {"apart": apart}
    if model == SCORER:
        apart = _apart(wanted["logits"], got["logits"])
        bad = [] if apart <= _LOGIT_TOLERANCE else [f"logits are off by {apart:.3g} (at most {_LOGIT_TOLERANCE})"]
        return bad, {"apart": apart}
    # Near-equal items may change places, so the two lists are compared as sets and the logits in their order.
    rows = list(zip(wanted["item_ids"], got["item_ids"], strict=True))
    shared = float(np.mean([len(set(a.tolist()) & set(b.tolist())) / max(1, len(set(a.tolist()))) for a, b in rows]))
    apart = _apart(wanted["logits"], got["logits"])
    bad = []
    if not shared >= _LEAST_SHARED:
        bad.append(f"{shared:.1%} of the best items are the same (at least {_LEAST_SHARED:.0%})")
    if not apart <= _LOGIT_TOLERANCE:
        bad.append(f"logits are off by {apart:.3g} (at most {_LOGIT_TOLERANCE})")
    return bad, {"apart": apart, "shared": shared}


def _apart(wanted: npt.NDArray[Any], got: npt.NDArray[Any]) -> float:
    """The largest difference; infinite where one hides what the other does not, or where something is not a number."""
    if wanted.shape != got.shape or np.isnan(got).any() or not np.array_equal(np.isneginf(wanted), np.isneginf(got)):
        return float("inf")
    finite = np.isfinite(wanted)
    return float(np.abs(wanted[finite] - got[finite]).max(initial=0.0))

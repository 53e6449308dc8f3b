"""torch ↔ onnxruntime ↔ the real Triton: the golden cases that travel in a release hold what torch answered; here both
others answer them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from recency_export.errors import CouldNotJudge
from recency_export.judgement import Check
from recency_export.onnx_session import open_model
from recency_export.published import Published
from recency_features.golden import TOLERANCE, disagreement, golden_request
from recency_features.spec import INPUTS, OUTPUTS, RECOMMENDER, SCORER, TEXT_ENCODER
from recency_inference.client import BlockingInference
from recency_inference.errors import InferenceError, NotLoaded, Overloaded, TooLate, Unavailable
from recency_inference.warm import example_tokens

# What says nothing about the candidate: Triton is away, late, full, or has let the release go.
AWAY = (Unavailable, TooLate, Overloaded, NotLoaded)
_TIMEOUT_SECONDS = 30.0
_TOKENS = 16

Arrays = Mapping[str, npt.NDArray[Any]]
# (model, inputs) → outputs by name
Ask = Callable[[str, Arrays], Arrays]


def check_onnx(release: Published) -> Check:
    """The golden cases through onnxruntime."""
    name = "parity_onnx"
    try:
        off = _replay(release, _ask_onnx(release))
    except MemoryError as error:
        raise CouldNotJudge(f"not enough memory to load release {release.manifest.release}; try again") from error
    except Exception as error:
        # onnxruntime has a class of its own for each way a graph can be broken, with nothing but Exception above them.
        return Check(name, False, f"onnxruntime cannot run it: {_first_line(error)}")
    return _agreed(name, off, len(release.cases))


def check_triton(release: Published, targets: Sequence[str]) -> Check:
    """The golden cases through every Triton that says it is ready; CouldNotJudge where one is away meanwhile."""
    name = "parity_triton"
    if not targets:
        return Check(name, None, "no Triton reports the release ready")
    for target in targets:
        with BlockingInference(target) as inference:
            try:
                off = _replay(release, _ask_triton(release, inference))
                off = off or _text_apart(release, inference)
            except AWAY as error:
                raise CouldNotJudge(f"{error}; the candidate waits until it can be asked again") from error
            except InferenceError as error:
                return Check(name, False, f"the model fails in Triton: {_first_line(error)}")
        if off:
            return Check(name, False, f"Triton at {target}: {off}")
    return _agreed(name, "", len(release.cases), f" on {len(targets)} Triton{'s' if len(targets) > 1 else ''}")


def _agreed(name: str, off: str, cases: int, where: str = "") -> Check:
    if off:
        return Check(name, False, off)
    if not cases:
        return Check(name, False, "the release has no golden cases; publish it again")
    return Check(name, True, f"{cases} golden cases agree{where}", 0.0, TOLERANCE)


def _replay(release: Published, ask: Ask) -> str:
    """How the first case that differs does."""
    trend_NT = release.trend_NT
    manifest = release.manifest
    for number, case in enumerate(release.cases):
        request = golden_request(case, release.item_ids, trend_NT, manifest.dim, manifest.history_length)
        found = ask(RECOMMENDER, {tensor.name: request[tensor.name] for tensor in INPUTS[RECOMMENDER]})
        scored = ask(SCORER, {tensor.name: request[tensor.name] for tensor in INPUTS[SCORER]})
        off = disagreement(case, release.item_ids, found["item_ids"][0], found["logits"][0], scored["logits"][0])
        if off:
            return f"golden case {number}, {off}"
    return ""


def _ask_onnx(release: Published) -> Ask:
    sessions = {name: open_model(release.model(name)) for name in (RECOMMENDER, SCORER)}

    def ask(model: str, inputs: Arrays) -> Arrays:
        session = sessions[model]
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))

    return ask


def _ask_triton(release: Published, inference: BlockingInference) -> Ask:
    def ask(model: str, inputs: Arrays) -> Arrays:
        outputs = [tensor.name for tensor in OUTPUTS[model]]
        return inference.infer(model, release.manifest.model_versions[model], inputs, outputs, _TIMEOUT_SECONDS)

    return ask


def _text_apart(release: Published, inference: BlockingInference) -> str:
    """Of a language model that came with this release: Triton beside onnxruntime on made-up tokens."""
    version = release.manifest.model_versions[TEXT_ENCODER]
    if version != release.manifest.release:
        return ""
    inputs = example_tokens(2, _TOKENS)
    (here,) = open_model(release.model(TEXT_ENCODER)).run(["text_vector"], inputs)
    there = inference.infer(TEXT_ENCODER, version, inputs, ["text_vector"], _TIMEOUT_SECONDS)["text_vector"]
    if here.shape == there.shape and np.allclose(here, there, atol=TOLERANCE):
        return ""
    return f"text_encoder: vectors {there.shape} there and {here.shape} here differ by more than {TOLERANCE}"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

"""How long the candidate's models take on the Triton that will serve them, beside the parent's, asked in turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recency_export.errors import CouldNotJudge
from recency_export.gate_settings import LatencySettings
from recency_export.golden_replay import AWAY
from recency_export.judgement import Check
from recency_features.spec import OUTPUTS, RECOMMENDER, SCORER, TEXT_ENCODER, TOKEN_BUCKETS
from recency_inference.client import BlockingInference
from recency_inference.errors import InferenceError, NotLoaded
from recency_inference.warm import example_inputs, example_tokens
from recency_store.manifest import Manifest

_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Compared:
    """Median and 99th percentile of one model's calls, in seconds, candidate and parent."""

    median: tuple[float, float]
    p99: tuple[float, float]

    @property
    def ratio(self) -> float:
        """The worse of the two ratios: a busy machine hides a slow candidate in the parent's own 99th percentile, but not
        in its median."""
        return max(ours / theirs for ours, theirs in (self.median, self.p99))


def check_latency(
    candidate: Manifest,
    parent: Manifest | None,
    targets: Sequence[str],
    settings: LatencySettings,
    clock: Callable[[], float],
    seed: int,
) -> Check:
    """The worst ratio over models and Tritons. CouldNotJudge where the candidate's Triton is away meanwhile."""
    name = "latency"
    if not targets:
        return Check(name, None, "no Triton reports the release ready")
    if parent is None:
        return Check(name, None, "no parent to compare with")
    models = [RECOMMENDER, SCORER]
    if candidate.model_versions[TEXT_ENCODER] != parent.model_versions[TEXT_ENCODER]:
        models.append(TEXT_ENCODER)
    found: list[Compared] = []
    for target in targets:
        with BlockingInference(target) as inference:
            try:
                found += [_rounds(inference, model, candidate, parent, settings, clock, seed) for model in models]
            except _ParentAway as error:
                return Check(name, None, f"the parent is not loaded there ({error})")
            except AWAY as error:
                raise CouldNotJudge(f"{error}; the candidate waits until it can be asked again") from error
            except InferenceError as error:
                return Check(name, False, f"the model fails in Triton: {error}")
    worst = max(found, key=lambda compared: compared.ratio)
    metrics = {
        "latency_ratio": worst.ratio,
        "latency_median_seconds": worst.median[0],
        "latency_parent_median_seconds": worst.median[1],
        "latency_p99_seconds": worst.p99[0],
        "latency_parent_p99_seconds": worst.p99[1],
    }
    note = (
        f"{worst.ratio:.1f} times the parent's: median {worst.median[0] * 1e3:.1f} against {worst.median[1] * 1e3:.1f} ms, "
        f"p99 {worst.p99[0] * 1e3:.1f} against {worst.p99[1] * 1e3:.1f} ms in the same run"
    )
    return Check(name, worst.ratio <= settings.largest_ratio, note, worst.ratio, settings.largest_ratio, metrics)


class _ParentAway(Exception):
    """The parent's version is not loaded: nothing to compare with, which is not the candidate's fault."""


def _rounds(
    inference: BlockingInference,
    model: str,
    candidate: Manifest,
    parent: Manifest,
    settings: LatencySettings,
    clock: Callable[[], float],
    seed: int,
) -> Compared:
    """The first round that is within the ratio, or the best one."""
    best: Compared | None = None
    for number in range(settings.rounds):
        found = _round(inference, model, candidate, parent, settings, clock, seed + number)
        if best is None or found.ratio < best.ratio:
            best = found
        if best.ratio <= settings.largest_ratio:
            break
    assert best is not None
    return best


def _round(
    inference: BlockingInference,
    model: str,
    candidate: Manifest,
    parent: Manifest,
    settings: LatencySettings,
    clock: Callable[[], float],
    seed: int,
) -> Compared:
    outputs = [tensor.name for tensor in OUTPUTS[model]]
    # The same random draws for both: the same histories where the catalogues are as large.
    asked = [
        (manifest.model_versions[model], _inputs(model, manifest, settings.batch, seed))
        for manifest in (candidate, parent)
    ]
    seconds: tuple[list[float], list[float]] = ([], [])
    # One call of each that is not counted; and each goes first every other time.
    for call in range(-1, settings.calls):
        for which in (0, 1) if call % 2 else (1, 0):
            version, inputs = asked[which]
            begun = clock()
            try:
                inference.infer(model, version, inputs, outputs, _TIMEOUT_SECONDS)
            except NotLoaded as error:
                raise (_ParentAway(error) if which else error) from error
            if call >= 0:
                seconds[which].append(clock() - begun)
    (median, p99), (parent_median, parent_p99) = (np.quantile(times, (0.5, 0.99)).tolist() for times in seconds)
    return Compared((median, parent_median), (p99, parent_p99))


def _inputs(model: str, manifest: Manifest, batch: int, seed: int) -> Mapping[str, npt.NDArray[Any]]:
    if model == TEXT_ENCODER:
        return example_tokens(batch, TOKEN_BUCKETS[0])
    return example_inputs(model, manifest, batch, np.random.default_rng(seed))

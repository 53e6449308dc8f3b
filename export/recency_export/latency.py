"""How long the candidate's models take on the Triton that will serve them, beside the parent's, asked in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from recency_export.errors import CouldNotJudge
from recency_export.gate_settings import LatencySettings
from recency_export.golden_replay import AWAY
from recency_export.judgement import Check
from recency_features.spec import OUTPUTS, RECOMMENDER, SCORER
from recency_inference.client import BlockingInference
from recency_inference.errors import InferenceError, NotLoaded
from recency_inference.warm import example_inputs
from recency_store.manifest import Manifest

_TIMEOUT_SECONDS = 30.0


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
    worst, metrics = 0.0, {}
    for target in targets:
        with BlockingInference(target) as inference:
            for model in (RECOMMENDER, SCORER):
                try:
                    ours, theirs = _rounds(inference, model, candidate, parent, settings, clock, seed)
                except _ParentAway as error:
                    return Check(name, None, f"the parent is not loaded there ({error})")
                except AWAY as error:
                    raise CouldNotJudge(f"{error}; the candidate waits until it can be asked again") from error
                except InferenceError as error:
                    return Check(name, False, f"the model fails in Triton: {error}")
                if ours / theirs > worst:
                    worst = ours / theirs
                    metrics = {
                        "latency_ratio": worst,
                        "latency_p99_seconds": ours,
                        "latency_parent_p99_seconds": theirs,
                    }
    note = (
        f"p99 {metrics['latency_p99_seconds'] * 1e3:.1f} ms, the parent's "
        f"{metrics['latency_parent_p99_seconds'] * 1e3:.1f} ms in the same run"
    )
    return Check(name, worst <= settings.largest_ratio, note, worst, settings.largest_ratio, metrics)


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
) -> tuple[float, float]:
    """Both p99s of the first round that is within the ratio, or of the best one."""
    best = (np.inf, 1.0)
    for number in range(settings.rounds):
        found = _round(inference, model, candidate, parent, settings, clock, seed + number)
        if found[0] / found[1] < best[0] / best[1]:
            best = found
        if best[0] / best[1] <= settings.largest_ratio:
            break
    return best


def _round(
    inference: BlockingInference,
    model: str,
    candidate: Manifest,
    parent: Manifest,
    settings: LatencySettings,
    clock: Callable[[], float],
    seed: int,
) -> tuple[float, float]:
    outputs = [tensor.name for tensor in OUTPUTS[model]]
    # The same random draws for both: the same histories where the catalogues are as large.
    asked = [
        (manifest.model_versions[model], example_inputs(model, manifest, settings.batch, np.random.default_rng(seed)))
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
    return float(np.quantile(seconds[0], 0.99)), float(np.quantile(seconds[1], 0.99))

"""Which shapes a TensorRT engine is built for: of each input the smallest, the usual and the largest.

An engine that meets a shape outside its profile refuses it, and one that is built for what comes is built once, here, and
not for tens of seconds while a request waits. Pure: no TensorRT, no GPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from recency_features import spec
from recency_store.manifest import Manifest

Shape = tuple[int, ...]
# Inputs whose value is a size in the graph: a profile gives their values.
VALUES = frozenset({"k"})


@dataclass(frozen=True, slots=True)
class Range:
    """A size: at least, usually, at most."""

    least: int
    usual: int
    most: int

    def plus(self, other: Range) -> Range:
        """The sum of two sizes."""
        return Range(self.least + other.least, self.usual + other.usual, self.most + other.most)


@dataclass(frozen=True, slots=True)
class Profile:
    """An input's shapes; for one of VALUES its values, one number each."""

    least: Shape
    usual: Shape
    most: Shape


# Free dimensions by the legend of `spec`: what a gateway sends, in its own steps.
RANGES: Mapping[str, Range] = {
    "B": Range(spec.BATCH_BUCKETS[0], 32, spec.BATCH_BUCKETS[-1]),
    "R": Range(1, 16, 16_384),
    "E": Range(1, 64, 16_384),
    "C": Range(1, 100, 2_048),
    "K": Range(1, 1, 1_024),
    "S": Range(spec.TOKEN_BUCKETS[0], spec.TOKEN_BUCKETS[0], spec.TOKEN_BUCKETS[-1]),
}
_K = Range(1, spec.K_BUCKETS[0], spec.K_BUCKETS[-1])


def release_ranges(manifest: Manifest) -> dict[str, Range]:
    """The dimensions of one release's graphs: what it fixes is fixed."""
    fixed = {
        "N": manifest.item_count,
        "L": manifest.history_length,
        "D": manifest.dim,
        "U": manifest.user_feature_dim,
        "T": manifest.trend_width,
    }
    return {**RANGES, **{name: Range(size, size, size) for name, size in fixed.items()}}


def any_release_ranges(items: int, dim: int) -> dict[str, Range]:
    """The dimensions of every release of up to `items` items: what a configuration, which no release changes, can say."""
    fixed = {"L": spec.HISTORY_LENGTH, "D": dim, "U": spec.USER_FEATURE_DIM, "T": len(spec.TREND_HALF_LIVES_SECONDS)}
    return {
        **RANGES,
        **{name: Range(size, size, size) for name, size in fixed.items()},
        "N": Range(1, min(2_000, items), items),
    }


def profiles(model: str, ranges: Mapping[str, Range]) -> dict[str, Profile]:
    """Of each input of a model its profile."""
    found = {}
    for tensor in spec.INPUTS[model]:
        if tensor.name in VALUES:
            most = min(_K.most, ranges["N"].most)
            found[tensor.name] = Profile((_K.least,), (min(_K.usual, most),), (most,))
        else:
            sizes = [_size(dim, ranges) for dim in tensor.dims]
            found[tensor.name] = Profile(
                tuple(size.least for size in sizes),
                tuple(size.usual for size in sizes),
                tuple(size.most for size in sizes),
            )
    return found


def _size(dim: str | int, ranges: Mapping[str, Range]) -> Range:
    if isinstance(dim, int):
        return Range(dim, dim, dim)
    if dim == "N+R":
        return ranges["N"].plus(ranges["R"])
    return ranges[dim]


def accelerator_parameters(model: str, ranges: Mapping[str, Range]) -> dict[str, str]:
    """What a `config.pbtxt` tells onnxruntime's TensorRT provider about shapes (and, as it wants it, about values)."""
    shapes = profiles(model, ranges)

    def written(which: str) -> str:
        return ",".join(f"{name}:{'x'.join(map(str, getattr(profile, which)))}" for name, profile in shapes.items())

    return {
        "trt_profile_min_shapes": written("least"),
        "trt_profile_opt_shapes": written("usual"),
        "trt_profile_max_shapes": written("most"),
    }

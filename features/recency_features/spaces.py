"""Vectors that callers give their items, in named spaces (`image/v1`): a space names an encoder and its version.

A release that was trained on them carries `spaces.npz`: of each space a projection into the learned dimensions, and the
mean of its vectors. What counts of a vector is its direction, beside the mean; an item without one is an average item of the
space, so it adds nothing. Legend: N items, S a space's size, W learned width, D item vector width, T text width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from recency_features.overlay import project
from recency_store.errors import ManifestError
from recency_store.manifest import Manifest
from recency_store.records import StoredItem

F32 = npt.NDArray[np.float32]
# In a release's folder; absent where it was trained on no space.
SPACES = "spaces.npz"
NO_SPACES: Mapping[str, int] = MappingProxyType({})
# By space, float32 [N, S]: each item's direction, zeros where it has none.
Directions = Mapping[str, F32]
NO_DIRECTIONS: Directions = MappingProxyType({})
NAME_BYTES = 128
# Of one item's vectors together, so that a page of a thousand items is an answer that can be sent.
MOST_VALUES = 8_192


@dataclass(frozen=True, slots=True)
class CatalogConfig:
    """spaces   the caller's own vector spaces by name, each with the size of its vectors (docs/vectors.md)"""

    spaces: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, size in self.spaces.items():
            if not 1 <= len(name.encode()) <= NAME_BYTES or not name.isprintable():
                raise ValueError(f"spaces: {name!r} is no name; give 1..{NAME_BYTES} bytes of printable text")
            if size < 1:
                raise ValueError(f"spaces: {name!r} has the size {size}; it must be 1 or more")
        if sum(self.spaces.values()) > MOST_VALUES:
            raise ValueError(f"spaces: {sum(self.spaces.values()):,} values in all, the limit is {MOST_VALUES:,}")


@dataclass(frozen=True, slots=True)
class Space:
    """One space as a release knows it."""

    name: str
    mean_S: F32
    projection_SW: F32

    @property
    def size(self) -> int:
        """The size of its vectors."""
        return len(self.mean_S)

    def placed(self, directions_NS: F32) -> F32:
        """What directions add to the learned dimensions of their items, [N, W]."""
        there_N1 = directions_NS.any(axis=1, keepdims=True)
        added_NW: F32 = directions_NS @ self.projection_SW - there_N1 * (self.mean_S @ self.projection_SW)
        return added_NW


def wrong_space(name: str, spaces: Mapping[str, int]) -> str | None:
    """What is wrong with the name of a space, None where it is a configured one."""
    if name in spaces:
        return None
    if not spaces:
        return "names a space that is not configured; give it its size under catalog.spaces in the configuration"
    return f"names a space that is not configured; configured under catalog.spaces are {', '.join(sorted(spaces))}"


def wrong_values(values: Sequence[float], size: int) -> str | None:
    """What is wrong with a vector of a space, None where it is one."""
    if len(values) != size:
        return f"has {len(values):,} values; vectors of this space have {size:,}"
    # A sum in double precision is finite exactly where each float is.
    if not math.isfinite(sum(values)):
        return "holds a value that is not a finite number"
    if not any(values):
        return "is all zeros, which is no direction; leave the space out for an item that has no vector"
    return None


def direction(values: Sequence[float]) -> F32:
    """A vector's direction, float32 [S]: scaled to length 1."""
    vector = np.fromiter(values, dtype=np.float64, count=len(values))
    length = np.linalg.norm(vector)
    scaled: F32 = (vector / length if length else vector).astype(np.float32)
    return scaled


def place(item: StoredItem, projection_TD: F32, spaces: Sequence[Space], text_vector_T: F32 | None = None) -> F32:
    """The vector of an item that a release does not have, in that release's item space: its projected text, and what its
    own vectors add where the release has their spaces. `text_vector_T` where the store does not have it yet."""
    if text_vector_T is None:
        text_vector_T = np.frombuffer(item.text_vector, dtype="<f4")
    vector_D = project(text_vector_T, projection_TD)
    if spaces:
        vectors = item.item().vectors
        for space in spaces:
            # A vector of another size was stored under another configuration: to this release it says nothing.
            if space.name in vectors and len(vectors[space.name].values) == space.size:
                added_1W = space.placed(direction(vectors[space.name].values)[np.newaxis])
                vector_D[: added_1W.shape[1]] += added_1W[0]
    return vector_D


def directions_of(items: Sequence[StoredItem]) -> Directions:
    """The directions of all spaces that items have vectors in. A space has the size that most of its vectors have; one of
    another size, stored under another configuration, counts as none."""
    found: dict[str, dict[int, F32]] = {}
    for row, item in enumerate(items):
        for name, vector in item.item().vectors.items():
            found.setdefault(name, {})[row] = direction(vector.values)
    directions = {}
    for name in sorted(found):
        sizes = [len(one) for one in found[name].values()]
        size = max(sorted(set(sizes)), key=sizes.count)
        directions[name] = np.zeros((len(items), size), dtype=np.float32)
        for row, one in found[name].items():
            if len(one) == size:
                directions[name][row] = one
    return directions


def write_spaces(folder: Path, spaces: Sequence[Space]) -> None:
    """Writes the file of a release's folder, where there are spaces; the same ones give the same bytes."""
    if not spaces:
        return
    arrays = {f"mean_{number}": space.mean_S for number, space in enumerate(spaces)}
    arrays |= {f"projection_{number}": space.projection_SW for number, space in enumerate(spaces)}
    names = np.array([space.name for space in spaces], dtype=np.str_)
    np.savez(folder / SPACES, names=names, **arrays)  # type: ignore[arg-type]


def read_spaces(folder: Path, manifest: Manifest) -> tuple[Space, ...]:
    """The spaces of a release's folder, none where it was trained on none; ManifestError where they do not fit."""
    if SPACES not in manifest.files:
        return ()
    path = folder / SPACES
    try:
        with np.load(path, allow_pickle=False) as saved:
            spaces = tuple(
                Space(str(name), saved[f"mean_{number}"], saved[f"projection_{number}"])
                for number, name in enumerate(saved["names"])
            )
    except (OSError, ValueError, LookupError, EOFError, BadZipFile) as error:
        raise ManifestError(f"{path}: cannot be read ({error}); publish the release again") from error
    for space in spaces:
        fits = space.mean_S.ndim == 1 and space.projection_SW.shape == (space.size, manifest.learned_dim)
        if not fits or not (np.isfinite(space.projection_SW).all() and np.isfinite(space.mean_S).all()):
            raise ManifestError(
                f"{path}: a space whose projection is not finite numbers from its size to {manifest.learned_dim} "
                "dimensions; publish the release again"
            )
    return spaces

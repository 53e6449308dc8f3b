"""The retrieval model: items and users in one space, as p = hᵀ M w.

Legend of shapes: B histories, L positions, N items, W the learned width, H heads, D the whole item vector.
Everything that reads ages, lengths and ids is in the graph, so that training and serving cannot differ in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recency_export.settings import ModelSettings
from recency_features.events import TYPE_COUNT
from recency_features.spaces import NO_DIRECTIONS, Directions, Space
from recency_features.spec import USER_FEATURE_DIM

_BUCKETS = 32
_POSITIONS = 64
# Spread of an item vector's components at the start: with this the first logits are of the order of one.
_ITEM_SCALE = 0.3
_MASKED = -1e9


def log2_bucket(seconds: Tensor) -> Tensor:
    """Buckets 0..31 of a time in seconds. The shift keeps whole seconds off the edges, where two libraries' logarithms may
    round to different sides."""
    return torch.floor(torch.log(seconds + 1.0) * (1.0 / math.log(2.0)) + 1e-3).clamp(0, _BUCKETS - 1).to(torch.int64)


def principal_directions(text_vectors: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.float32]:
    """The directions in which text vectors differ most, float32 [text_dim, count]; zeros where there are fewer."""
    text_dim = text_vectors.shape[1]
    directions = np.zeros((text_dim, count), dtype=np.float32)
    if len(text_vectors) < 2:
        return directions
    centred = text_vectors.astype(np.float64) - text_vectors.mean(0, dtype=np.float64)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
    for column, source in enumerate(np.argsort(-values)[:count]):
        if values[source] > 1e-9:
            direction = vectors[:, source]
            # A direction and its opposite are the same one: the largest component decides the sign.
            directions[:, column] = direction * np.sign(direction[np.argmax(np.abs(direction))])
    return directions


class OwnVectors(nn.Module):
    """The callers' vectors of one space → learned dimensions: a projection that starts as the text's does. An item without
    a vector is taken for the average of those with one, and adds nothing."""

    def __init__(self, directions: npt.NDArray[np.float32], settings: ModelSettings) -> None:
        super().__init__()
        there = directions.any(axis=1)
        mean = directions[there].mean(0) if there.any() else np.zeros(directions.shape[1], dtype=np.float32)
        self.register_buffer("directions", torch.from_numpy(directions), persistent=False)
        self.register_buffer("there", torch.from_numpy(there), persistent=False)
        self.register_buffer("mean", torch.from_numpy(mean))
        self.mean: Tensor
        start = principal_directions(directions[there], settings.learned_dim) * _ITEM_SCALE
        self.projection = nn.Parameter(torch.from_numpy(start))
        self._dropout = settings.residual_dropout

    def forward(self, rows: Tensor | None) -> Tensor:
        """What the vectors add, [N, W], or of some rows. In training some items do without theirs."""
        directions: Tensor = self.directions  # type: ignore[assignment]
        there: Tensor = self.there  # type: ignore[assignment]
        if rows is not None:
            directions, there = directions[rows], there[rows]
        # The same as the projection of what lies beside the mean, without a copy of all directions.
        added = directions @ self.projection - there.unsqueeze(1) * (self.mean @ self.projection)
        if self.training:
            added = added * (torch.rand(len(added), 1) >= self._dropout)
        return added


class Items(nn.Module):
    """Raw text vectors, and callers' own vectors → learned item vectors: projections, and a residual that is zero until
    trained on."""

    def __init__(
        self, text_vectors: npt.NDArray[np.float32], settings: ModelSettings, directions: Directions = NO_DIRECTIONS
    ) -> None:
        super().__init__()
        self.register_buffer("text", torch.from_numpy(text_vectors), persistent=False)
        start = principal_directions(text_vectors, settings.learned_dim) * _ITEM_SCALE
        self.projection = nn.Parameter(torch.from_numpy(start))
        self.residual = nn.Parameter(torch.zeros(len(text_vectors), settings.learned_dim))
        self._residual_dropout = settings.residual_dropout
        self._spaces = sorted(directions)
        self.own = nn.ModuleList(OwnVectors(directions[name], settings) for name in self._spaces)

    def forward(self, rows: Tensor | None = None) -> Tensor:
        """Learned vectors [N, W], or of some rows."""
        text: Tensor = self.text  # type: ignore[assignment]
        residual: Tensor = self.residual
        if rows is not None:
            text, residual = text[rows], residual[rows]
        if self.training:
            kept = torch.rand(len(residual), 1) >= self._residual_dropout
            residual = residual * kept
        vectors: Tensor = text @ self.projection + residual
        for own in self.own:
            vectors = vectors + own(rows)
        return vectors

    @property
    def spaces(self) -> tuple[Space, ...]:
        """What was learned of each space."""
        return tuple(Space(name, own.mean.numpy(), own.projection.detach().numpy()) for name, own in self._named())

    def begin_with(self, spaces: Sequence[Space]) -> None:
        """Takes what an earlier release learned of the spaces that are there still, with vectors of the same size. A new one
        moves nothing of what was learned without it until it is trained on."""
        known = {space.name: space for space in spaces}
        for name, own in self._named():
            space = known.get(name)
            if space is not None and space.size == len(own.projection):
                state = {"mean": space.mean_S, "projection": space.projection_SW}
                own.load_state_dict({key: torch.from_numpy(array) for key, array in state.items()})
            else:
                nn.init.zeros_(own.projection)

    def _named(self) -> Iterator[tuple[str, OwnVectors]]:
        for name, own in zip(self._spaces, self.own, strict=True):
            assert isinstance(own, OwnVectors)
            yield name, own


class Layer(nn.Module):
    """A pre-norm causal transformer layer whose branches are zero at the start."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        width = settings.learned_dim
        self._heads = settings.heads
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.norm_after = nn.LayerNorm(width)
        self.widen = nn.Linear(width, settings.feed_forward_dim)
        self.narrow = nn.Linear(settings.feed_forward_dim, width)
        self.dropout = nn.Dropout(settings.dropout)
        for branch in (self.out, self.narrow):
            nn.init.zeros_(branch.weight)
            nn.init.zeros_(branch.bias)

    def forward(self, x_BLW: Tensor, bias_BHLL: Tensor, last_only: bool) -> Tensor:
        """Every position, or the last one alone as [B, 1, W]."""
        width = x_BLW.shape[2]
        head = width // self._heads
        normed = self.norm(x_BLW)
        asking = normed[:, -1:] if last_only else normed
        # The number of positions is asked for as -1: the exported graph must take any.
        by_head = (x_BLW.shape[0], -1, self._heads, head)
        query = self.query(asking).reshape(by_head).transpose(1, 2)
        both = self.key_value(normed)
        keys = both[:, :, :width].reshape(by_head).permute(0, 2, 3, 1)
        values = both[:, :, width:].reshape(by_head).transpose(1, 2)
        weights = torch.softmax(query @ keys * head**-0.5 + bias_BHLL, dim=-1)
        mixed = (self.dropout(weights) @ values).transpose(1, 2).reshape(x_BLW.shape[0], -1, width)
        x: Tensor = (x_BLW[:, -1:] if last_only else x_BLW) + self.dropout(self.out(mixed))
        branch: Tensor = self.dropout(self.narrow(F.relu(self.widen(self.norm_after(x)))))
        return x + branch


class UserEncoder(nn.Module):
    """A history → the user vector u = Mᵀh, in the learned dimensions."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        width, heads = settings.learned_dim, settings.heads
        self._heads = heads
        self.types = nn.Parameter(torch.zeros(TYPE_COUNT, width))
        # Bucket 0 of the gap before an event: there is none.
        self.gap_before = nn.Parameter(torch.zeros(_BUCKETS + 1, width))
        self.gap_after = nn.Parameter(torch.zeros(_BUCKETS, width))
        self.distance_bias = nn.Parameter(torch.zeros(_BUCKETS, settings.layers * heads))
        self.position_bias = nn.Parameter(torch.zeros(_POSITIONS, settings.layers * heads))
        self.layers = nn.ModuleList(Layer(settings) for _ in range(settings.layers))
        self.norm = nn.LayerNorm(width)
        self.start = nn.Parameter(torch.zeros(width))
        self.bilinear = nn.Parameter(torch.eye(width))
        self.user_features = nn.Parameter(torch.zeros(USER_FEATURE_DIM, width))
        self.dropout = nn.Dropout(settings.dropout)

    def forward(
        self, vectors_BLW: Tensor, types_BL: Tensor, ages_BL: Tensor, length_B: Tensor, last_only: bool = False
    ) -> Tensor:
        """User vectors after each position [B, L, W]; with `last_only` after the whole history, [B, W]."""
        places_L = torch.arange(ages_BL.shape[1])
        real_BL = places_L >= (ages_BL.shape[1] - length_B).unsqueeze(1)
        x = vectors_BLW * math.sqrt(vectors_BLW.shape[2]) + self._moments(types_BL, ages_BL, real_BL)
        x = self.dropout(x)
        bias_BJLL = self._attention_bias(ages_BL, real_BL, places_L)
        for number, layer in enumerate(self.layers):
            bias_BHLL = bias_BJLL[:, number * self._heads : (number + 1) * self._heads]
            last = last_only and number == len(self.layers) - 1
            x = layer(x, bias_BHLL[:, :, -1:] if last else bias_BHLL, last)
        h: Tensor = self.norm(x)
        if last_only:
            return torch.where((length_B > 0).unsqueeze(1), h[:, 0], self.start) @ self.bilinear
        return h @ self.bilinear

    def first(self) -> Tensor:
        """The user vector of an empty history, [W]."""
        return self.start @ self.bilinear

    def _moments(self, types_BL: Tensor, ages_BL: Tensor, real_BL: Tensor) -> Tensor:
        """What kind of event it was, and how long before and after it nothing happened."""
        older = torch.cat([ages_BL[:, :1], ages_BL[:, :-1]], dim=1)
        newer = torch.cat([ages_BL[:, 1:], torch.zeros_like(ages_BL[:, :1])], dim=1)
        preceded = torch.cat([torch.zeros_like(real_BL[:, :1]), real_BL[:, :-1]], dim=1)
        before = torch.where(preceded, log2_bucket((older - ages_BL).clamp(min=0.0)) + 1, 0)
        after = log2_bucket((ages_BL - newer).clamp(min=0.0))
        known = types_BL.to(torch.int64).clamp(0, TYPE_COUNT - 1)
        return (
            F.embedding(known, self.types) + F.embedding(before, self.gap_before) + F.embedding(after, self.gap_after)
        )

    def _attention_bias(self, ages_BL: Tensor, real_BL: Tensor, places_L: Tensor) -> Tensor:
        """What a position adds to its attention to an earlier one, for every layer and head: [B, layers · H, L, L]."""
        apart_LL = places_L.unsqueeze(1) - places_L.unsqueeze(0)
        by_place_JLL = F.embedding(apart_LL.clamp(0, _POSITIONS - 1), self.position_bias).permute(2, 0, 1)
        distance_BLL = (ages_BL.unsqueeze(1) - ages_BL.unsqueeze(2)).clamp(min=0.0)
        by_time_BJLL = F.embedding(log2_bucket(distance_BLL), self.distance_bias).permute(0, 3, 1, 2)
        readable_BLL = (apart_LL >= 0) & real_BL.unsqueeze(1)
        hidden_B1LL = torch.where(readable_BLL, 0.0, _MASKED).unsqueeze(1)
        return by_time_BJLL + by_place_JLL + hidden_B1LL


class Retrieval(nn.Module):
    """Items and users together: what is trained."""

    def __init__(
        self, text_vectors: npt.NDArray[np.float32], settings: ModelSettings, directions: Directions = NO_DIRECTIONS
    ) -> None:
        super().__init__()
        self.items = Items(text_vectors, settings, directions)
        self.users = UserEncoder(settings)


def item_matrix(model: Retrieval, content: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The release's item vectors, float32 [N, D]: learned dimensions, then content dimensions."""
    with torch.no_grad():
        learned = model.items.eval()().numpy()
    text: Tensor = model.items.text  # type: ignore[assignment]
    return np.ascontiguousarray(np.concatenate([learned, text.numpy() @ content], axis=1), dtype=np.float32)


def projection_matrix(model: Retrieval, content: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Raw text vector → item vector, float32 [text_dim, D]."""
    learned = model.items.projection.detach().numpy()
    return np.ascontiguousarray(np.concatenate([learned, content], axis=1), dtype=np.float32)


def read_weights(model: nn.Module, path: str) -> None:
    """Loads an .npz file of named arrays."""
    with np.load(path, allow_pickle=False) as saved:
        model.load_state_dict({name: torch.from_numpy(saved[name]) for name in saved.files})


def write_weights(model: nn.Module, path: str) -> None:
    """Writes an .npz file of named arrays: the same weights give the same bytes."""
    np.savez(path, **{name: tensor.numpy() for name, tensor in sorted(model.state_dict().items())})

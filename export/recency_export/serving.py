"""What Triton runs, in torch: the definition that is exported, and the reference that the exported graphs are held to.

    retrieval  r = (u + steer)ᵀw + trend gain · log counts + bias   over all items
    final      f = gain · (r − bias) + MLP(features of user and candidate) + bias

f depends on the request and the item alone, not on which candidates stand beside it: `recommender` and `scorer` give one
item one logit. Everything a request brings along (steer, bias) enters r and f alike.

Legend of shapes: B requests, L history positions, E excluded, C candidates, K own counts, N items of the release,
R fresh items, T columns of trends, D item vector width, F features, P history positions that co-occurrence reads.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recency_export.cooccurrence import KINDS, Cooccurrence
from recency_export.model import UserEncoder
from recency_export.settings import ModelSettings, RankerSettings
from recency_features.spec import TREND_COLUMNS, TREND_HALF_LIVES_SECONDS

TRENDS = len(TREND_HALF_LIVES_SECONDS)
FEATURES = 2 * KINDS + TREND_COLUMNS + 7
RATE = 2 * KINDS + TRENDS
# The features that are looked up in a release's tables: together with the history, and popularity. A fresh item has 0 there.
FROM_TABLES = (*range(2 * KINDS), 2 * KINDS + TREND_COLUMNS + 1)
# Lengths of a history from which on the next trend gain applies.
_LENGTHS = (1, 2, 3, 5, 8, 12, 20)
# After how many positions back an event counts half, by the kind of co-occurrence.
_HALF_POSITIONS = (4.0, 8.0, 2.0)


class User(NamedTuple):
    """A batch of requests' user side, in the order of the models' inputs."""

    history_ids: Tensor
    history_types: Tensor
    history_ages_seconds: Tensor
    history_length: Tensor
    steer: Tensor
    user_features: Tensor
    own_count_ids: Tensor
    own_counts: Tensor


class Overlay(NamedTuple):
    """What is newer than the release."""

    item_bias: Tensor
    item_trend: Tensor
    fresh_vectors: Tensor


class Tables(NamedTuple):
    """What has a row an item: the item matrix [N, D], and what the ranker looks up, as `Cooccurrence.arrays` has it."""

    items: Tensor
    log_count: Tensor
    pairs: Tensor | None = None
    neighbour_ids: Tensor | None = None
    neighbour_weights: Tensor | None = None


class Ranker(nn.Module):
    """The features' weights: silent at the start, with gain 1 on the retrieval logit."""

    def __init__(self, settings: RankerSettings) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))
        self.register_buffer("mean", torch.zeros(FEATURES))
        # 1 / spread; 0 for a feature that never varied, so that it cannot speak.
        self.scale = nn.Parameter(torch.zeros(FEATURES), requires_grad=False)
        self.hidden = nn.Linear(FEATURES, settings.hidden)
        self.out = nn.Linear(settings.hidden, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, base_BC: Tensor, features_BCF: Tensor) -> Tensor:
        """Logits [B, C] before the live bias."""
        mean: Tensor = self.mean  # type: ignore[assignment]
        x = ((features_BCF - mean) * self.scale).clamp(-6.0, 6.0)
        correction_BC: Tensor = self.out(F.relu(self.hidden(x))).squeeze(-1)
        return self.gain * base_BC + correction_BC


class Serving(nn.Module):
    """Both models' shared parts."""

    def __init__(
        self,
        item_vectors: npt.NDArray[np.float32],
        users: UserEncoder,
        tables: Cooccurrence,
        model: ModelSettings,
        settings: RankerSettings,
    ) -> None:
        super().__init__()
        self.tables = _tables(torch.from_numpy(item_vectors), tables)
        self.users = users
        self.trend_gain = nn.Parameter(torch.zeros(len(_LENGTHS) + 1, TRENDS))
        self.ranker = Ranker(settings)
        self._learned_dim = model.learned_dim
        self._content_dim = model.content_dim
        self._window = settings.window
        # Of the trends that it is fitted on and served with.
        self.half_lives = tuple(settings.trend_half_lives_seconds)

    @property
    def items(self) -> Tensor:
        """The item matrix, [N, D]."""
        return self.tables.items

    def set_tables(self, tables: Cooccurrence) -> None:
        """Takes other co-occurrence tables: a release's are counted on more events than its ranker was fitted on."""
        self.tables = _tables(self.items, tables)

    def user_vector(self, user: User, fresh_RD: Tensor) -> Tensor:
        """u, [B, D]: zeros in the content dimensions, where only steering looks."""
        vectors_BLD = self.vectors(user.history_ids.clamp(min=0), fresh_RD)
        u_BW = self.users(
            vectors_BLD[:, :, : self._learned_dim],
            user.history_types,
            user.history_ages_seconds,
            user.history_length,
            last_only=True,
        )
        u_BW = u_BW + user.user_features @ self.users.user_features
        return F.pad(u_BW, (0, self._content_dim))

    def vectors(self, ids: Tensor, fresh_RD: Tensor) -> Tensor:
        """The vectors of ids >= 0, fresh ones included."""
        count = self.items.shape[0]
        known = F.embedding(ids.clamp(max=count - 1), self.items)
        fresh = F.embedding((ids - count).clamp(0, fresh_RD.shape[0] - 1), fresh_RD)
        return torch.where((ids >= count).unsqueeze(-1), fresh, known)

    def trend_weights(self, length_B: Tensor) -> Tensor:
        """How much decayed counts count for histories of these lengths, [B, TRENDS]."""
        bucket = (length_B.unsqueeze(1) >= torch.tensor(_LENGTHS, dtype=length_B.dtype)).sum(1)
        return F.embedding(bucket, self.trend_gain)

    def features(self, user: User, ids_BC: Tensor, base_BC: Tensor, log_trend_BCT: Tensor) -> Tensor:
        """What the ranker knows of each candidate, [B, C, F]."""
        count = self.items.shape[0]
        known_BC = ids_BC < count
        together_BCF = self._together(user, ids_BC.clamp(max=count - 1), known_BC)
        popularity_BC = torch.where(
            known_BC, F.embedding(ids_BC.clamp(max=count - 1), self.tables.log_count)[..., 0], 0
        )
        own_BC = ((ids_BC.unsqueeze(2) == user.own_count_ids.unsqueeze(1)) * user.own_counts.unsqueeze(1)).sum(2)
        length_B1 = user.history_length.unsqueeze(1).to(base_BC.dtype)
        age_B1 = user.history_ages_seconds[:, -1:]
        again_BC = self._again(user, ids_BC)
        per_user = [torch.log1p(length_B1).expand_as(base_BC), torch.log1p(age_B1).expand_as(base_BC)]
        singles = [base_BC, popularity_BC, torch.log1p(own_BC), (own_BC > 0).to(base_BC.dtype), again_BC, *per_user]
        return torch.cat([together_BCF, log_trend_BCT, torch.stack(singles, dim=2)], dim=2)

    def final(self, user: User, ids_BC: Tensor, base_BC: Tensor, bias_BC: Tensor, log_trend_BCT: Tensor) -> Tensor:
        """The logits by which candidates are ordered, [B, C]."""
        logits_BC: Tensor = self.ranker(base_BC, self.features(user, ids_BC, base_BC, log_trend_BCT))
        return logits_BC + bias_BC

    def _newest(self, user: User) -> tuple[Tensor, Tensor]:
        """The newest P history ids (clamped to the release's items) and whether each can be looked up, [B, P]."""
        ids_BP = user.history_ids[:, -self._window :]
        usable = (ids_BP >= 0) & (ids_BP < self.items.shape[0])
        return ids_BP.clamp(0, self.items.shape[0] - 1), usable

    def _decay(self, positions: int, usable_BP: Tensor) -> Tensor:
        """The weight of each position by the kind of co-occurrence, [B, P, KINDS]."""
        back_P = torch.arange(positions - 1, -1, -1)
        return torch.stack([_fading(back_P, half) for half in _HALF_POSITIONS], dim=1) * usable_BP.unsqueeze(2)

    def _together(self, user: User, ids_BC: Tensor, known_BC: Tensor) -> Tensor:
        """Co-occurrence with the newest history, by kind, and with its last position alone: [B, C, 2 · KINDS]."""
        ids_BP, usable_BP = self._newest(user)
        decay_BPK = self._decay(ids_BP.shape[1], usable_BP)
        if self.tables.pairs is not None:
            places_BPC = ids_BP.unsqueeze(2) * self.items.shape[0] + ids_BC.unsqueeze(1)
            pairs_BPCK = F.embedding(places_BPC, self.tables.pairs)
            whole = (pairs_BPCK * decay_BPK.unsqueeze(2)).sum(1)
            last = pairs_BPCK[:, -1] * decay_BPK[:, -1:]
        else:
            whole, last = self._listed_together(ids_BP, decay_BPK, ids_BC)
        return torch.cat([whole, last], dim=2) * known_BC.unsqueeze(2)

    def _listed_together(self, ids_BP: Tensor, decay_BPK: Tensor, ids_BC: Tensor) -> tuple[Tensor, Tensor]:
        """The same from neighbour lists: each candidate gets a slot, and what the lists name adds to the slots."""
        neighbour_ids, neighbour_weights = self.tables.neighbour_ids, self.tables.neighbour_weights
        assert neighbour_ids is not None
        assert neighbour_weights is not None
        rows, columns = ids_BC.shape
        # One slot more than there are candidates, for neighbours that are none; slots of the last position come after.
        slots_BC = torch.arange(1, columns + 1, dtype=torch.int64).expand(rows, columns)
        slot_BN = torch.zeros(rows, self.items.shape[0] + 1, dtype=torch.int64).scatter(
            1, ids_BC.to(torch.int64), slots_BC
        )
        near_BPM = F.embedding(ids_BP, neighbour_ids).to(torch.int64)
        weight_BPMK = F.embedding(ids_BP, neighbour_weights).reshape(*near_BPM.shape, KINDS)
        weight_BPMK = weight_BPMK * decay_BPK.unsqueeze(2)
        own_slot_BCK = slot_BN.gather(1, ids_BC.to(torch.int64)).unsqueeze(2).expand(rows, columns, KINDS)

        def added(near: Tensor, weight: Tensor) -> Tensor:
            slot = slot_BN.gather(1, near.flatten(1)).unsqueeze(2).expand(rows, near.shape[1] * near.shape[2], KINDS)
            sums = torch.zeros(rows, columns + 1, KINDS).scatter_add(1, slot, weight.flatten(1, 2))
            return sums.gather(1, own_slot_BCK)

        return added(near_BPM, weight_BPMK), added(near_BPM[:, -1:], weight_BPMK[:, -1:])

    def _again(self, user: User, ids_BC: Tensor) -> Tensor:
        """How lately the candidate itself was in the history, [B, C]."""
        ids_BP = user.history_ids[:, -self._window :]
        back_P = torch.arange(ids_BP.shape[1] - 1, -1, -1)
        fading_P = _fading(back_P, _HALF_POSITIONS[0])
        return ((ids_BP.unsqueeze(2) == ids_BC.unsqueeze(1)) * fading_P.unsqueeze(1)).sum(1)


def _fading(back_P: Tensor, half: float) -> Tensor:
    """1 at the newest position, half as much every `half` positions back."""
    return torch.exp(back_P * (-math.log(2.0) / half))


def _tables(items: Tensor, tables: Cooccurrence) -> Tables:
    return Tables(items, **{name: torch.from_numpy(array) for name, array in tables.arrays().items()})


class Recommender(nn.Module):
    """Retrieval over all items and the ranker on what it found."""

    def __init__(self, serving: Serving) -> None:
        super().__init__()
        self.serving = serving

    def forward(
        self, user: User, exclude_ids: Tensor, overlay: Overlay, k_places: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Item ids [B, k], logits [B, k] and user vectors [B, D]. `k_places` is any tensor of k elements."""
        serving = self.serving
        u_BD = serving.user_vector(user, overlay.fresh_vectors)
        aim_BD = u_BD + user.steer
        log_trend_NT = torch.log1p(overlay.item_trend)
        weights_BT = serving.trend_weights(user.history_length)
        scores = [F.linear(aim_BD, serving.items), F.linear(aim_BD, overlay.fresh_vectors)]
        base_BN = torch.cat(scores, dim=1) + weights_BT @ log_trend_NT[:, :TRENDS].T
        left_out_BN = _leave_out(base_BN + overlay.item_bias, exclude_ids)
        found_Bk, ids_Bk = torch.topk(left_out_BN, k_places.shape[0], dim=1)
        final_Bk = serving.final(
            user,
            ids_Bk.to(torch.int32),
            base_BN.gather(1, ids_Bk),
            F.embedding(ids_Bk, overlay.item_bias.unsqueeze(1))[..., 0],
            F.embedding(ids_Bk, log_trend_NT),
        )
        final_Bk = torch.where(found_Bk == -torch.inf, -torch.inf, final_Bk)
        logits_Bk, order_Bk = torch.topk(final_Bk, k_places.shape[0], dim=1)
        placed_Bk = torch.where(logits_Bk == -torch.inf, -1, ids_Bk.gather(1, order_Bk)).to(torch.int32)
        return placed_Bk, logits_Bk, u_BD


def _leave_out(scores_BN: Tensor, exclude_BE: Tensor) -> Tensor:
    """-inf where a request excludes an item. Padding adds nothing to the first item, so no place is lost to it."""
    excluded = (exclude_BE >= 0) & (exclude_BE < scores_BN.shape[1])
    penalty = torch.where(excluded, -torch.inf, 0.0)
    return scores_BN.scatter_add(1, torch.where(excluded, exclude_BE, 0).to(torch.int64), penalty)


class Scorer(nn.Module):
    """The same logits for candidates that the caller names."""

    def __init__(self, serving: Serving) -> None:
        super().__init__()
        self.serving = serving

    def forward(self, user: User, candidate_ids: Tensor, overlay: Overlay) -> Tensor:
        """Logits [B, C] in the order of the candidates."""
        serving = self.serving
        u_BD = serving.user_vector(user, overlay.fresh_vectors)
        aim_BD = u_BD + user.steer
        last = overlay.item_bias.shape[0] - 1
        real = (candidate_ids >= 0) & (candidate_ids <= last)
        ids_BC = candidate_ids.clamp(0, last)
        log_trend_BCT = torch.log1p(F.embedding(ids_BC, overlay.item_trend))
        vectors_BCD = serving.vectors(ids_BC, overlay.fresh_vectors)
        weights_BT = serving.trend_weights(user.history_length)
        base_BC = (vectors_BCD @ aim_BD.unsqueeze(2)).squeeze(2) + (
            log_trend_BCT[:, :, :TRENDS] @ weights_BT.unsqueeze(2)
        ).squeeze(2)
        bias_BC = F.embedding(ids_BC, overlay.item_bias.unsqueeze(1))[..., 0]
        return torch.where(real, serving.final(user, ids_BC, base_BC, bias_BC, log_trend_BCT), -torch.inf)

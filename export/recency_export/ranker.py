"""Fits what stands behind retrieval, on events that the retrieval model has not seen: how much trends count for a history of
each length, then the ranker on what retrieval finds. Trends and histories are as they were at each event's time.

Legend of shapes: Q cases, C candidates, T columns of trends, F features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from recency_export.candidates import Shortlists, affinities, shortlist_features, shortlists
from recency_export.cases import Cases, short_cases, whole_cases
from recency_export.dataset import Dataset
from recency_export.errors import NonFinite
from recency_export.evaluate import RankMetrics, rank_metrics
from recency_export.serving import FROM_TABLES, TRENDS, Ranker, Serving
from recency_export.settings import RankerSettings
from recency_export.train import Advance

# How strongly trend gains are held at nothing: they must earn it.
_GAIN_RIDGE = 2e-3
_GAIN_STEPS = 300


@dataclass(frozen=True, slots=True)
class Fit:
    """What the fit saw, for calibration and metrics.

    cases          whole histories first, then the shortened ones
    whole          how many are whole
    logits         float32 [Q, C] of the found candidates by the fitted ranker
    held_logits    the same by a ranker that was fitted without the case's user
    """

    cases: Cases
    whole: int
    found: Shortlists
    logits: npt.NDArray[np.float32]
    held_logits: npt.NDArray[np.float32]


def fit_ranker(
    serving: Serving, data: Dataset, settings: RankerSettings, limit: int, seed: int, advance: Advance
) -> Fit | None:
    """Fits `serving` in place. None, and nothing fitted, where too few events were held out."""
    events = data.held_out
    if len(events) < settings.least_cases:
        return None
    rng = np.random.default_rng((seed, 4))
    whole = whole_cases(data, events)
    shortened = np.sort(rng.permutation(len(events))[: round(settings.short_share * len(events))])
    cases = whole.followed_by(short_cases(data, events[shortened], rng))
    advance(0, 4, "trend gain")
    fit_trend_gain(serving, data, cases, limit, seed)
    advance(1, 4, "candidates")
    found = shortlists(serving, data, cases, limit, settings.candidates, 0, settings.random_candidates, seed)
    features = shortlist_features(serving, data, cases, found, limit)
    advance(2, 4, "ranker, by halves of the users")
    half = np.random.default_rng((seed, 6)).integers(0, 2, data.users)[cases.user]
    held_logits = np.zeros(found.base.shape, dtype=np.float32)
    for side in (0, 1):
        ranker = _fit_mlp(found, features, np.flatnonzero(half != side), settings, seed)
        rows = np.flatnonzero(half == side)
        held_logits[rows] = _logits(ranker, found.base[rows], features[rows])
    advance(3, 4, "ranker")
    ranker = _fit_mlp(found, features, np.arange(len(cases)), settings, seed)
    serving.ranker.load_state_dict(ranker.state_dict())
    advance(4, 4, "")
    return Fit(cases, len(whole), found, _logits(ranker, found.base, features), held_logits)


def fit_trend_gain(serving: Serving, data: Dataset, cases: Cases, limit: int, seed: int) -> None:
    """Cross-entropy over what scores high, what trends, and a random sample in place of all else; only the gains move."""
    items = serving.items.shape[0]
    head, others = min(100, items), min(100, items)
    found = shortlists(serving, data, cases, limit, head, head // 2, others, seed)
    offset = np.zeros(found.ids.shape[1], dtype=np.float32)
    offset[head : head + others] = np.log(max(1.0, (items - head) / others))
    _, lengths = affinities(serving, data, cases, limit)
    base = torch.from_numpy(np.where(found.usable, found.base + offset, -np.inf).astype(np.float32))
    log_trend = torch.from_numpy(found.log_trend)
    optimizer = torch.optim.Adam([serving.trend_gain], lr=0.02)
    for _ in range(_GAIN_STEPS):
        weights_QT = serving.trend_weights(lengths)
        logits = base + (log_trend[:, :, :TRENDS] @ weights_QT.unsqueeze(2)).squeeze(2)
        loss = -torch.log_softmax(logits, dim=1)[:, -1].mean() + _GAIN_RIDGE * serving.trend_gain.square().sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        with torch.no_grad():
            # What trends may gain by it and never lose, whatever else it happens to go with in the data.
            serving.trend_gain.clamp_(min=0.0)


def _fit_mlp(
    found: Shortlists,
    features: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int64],
    settings: RankerSettings,
    seed: int,
) -> Ranker:
    """A ranker fitted on the cases `rows` whose target retrieval finds: cross-entropy over the candidates."""
    torch.manual_seed(seed + 17)
    ranker = Ranker(settings)
    rows = rows[found.target_rank[rows] <= found.head]
    seen = features[rows][found.usable[rows]]
    spread = seen.std(0, dtype=np.float64)
    with torch.no_grad():
        ranker.mean.copy_(torch.from_numpy(seen.mean(0, dtype=np.float64)))  # type: ignore[operator]
        ranker.scale.copy_(torch.from_numpy(np.where(spread > 1e-6, 1.0 / np.maximum(spread, 1e-6), 0.0)))
    inputs, base = torch.from_numpy(features), torch.from_numpy(found.base)
    usable = torch.from_numpy(found.usable)
    fitted = [parameter for parameter in ranker.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(fitted, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    steps = settings.epochs * -(-len(rows) // settings.cases_per_batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
    rng = np.random.default_rng((seed, 8))
    for _ in range(settings.epochs):
        order = rng.permutation(rows)
        for at in range(0, len(order), settings.cases_per_batch):
            part = torch.from_numpy(order[at : at + settings.cases_per_batch])
            # Else it would never have met a fresh item, and read it by guess (Volkovs et al., DropoutNet, 2017).
            fresh = torch.rand(base[part].shape) < settings.fresh_dropout
            logits = ranker(base[part], as_fresh(inputs[part], fresh)).masked_fill(~usable[part], -torch.inf)
            loss: Tensor = -torch.log_softmax(logits, dim=1)[:, -1].mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    if not all(bool(torch.isfinite(parameter).all()) for parameter in ranker.parameters()):
        raise NonFinite("the ranker's weights are not finite; lower ranker.learning_rate")
    return ranker.eval()


def as_fresh(features_BCF: Tensor, fresh_BC: Tensor) -> Tensor:
    """The features of candidates, some of them as if no table held them yet."""
    from_tables_F = torch.zeros(features_BCF.shape[2], dtype=torch.bool)
    from_tables_F[list(FROM_TABLES)] = True
    return features_BCF.masked_fill(fresh_BC.unsqueeze(2) & from_tables_F, 0.0)


def _logits(
    ranker: Ranker, base: npt.NDArray[np.float32], features: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    with torch.no_grad():
        logits: npt.NDArray[np.float32] = ranker(torch.from_numpy(base), torch.from_numpy(features)).numpy()
    return logits


def ranked_metrics(found: Shortlists, logits: npt.NDArray[np.float32], rows: npt.NDArray[np.int64]) -> RankMetrics:
    """Metrics of the full ranking."""
    return rank_metrics(full_ranks(found, logits, rows))


def full_ranks(
    found: Shortlists, logits: npt.NDArray[np.float32], rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Full ranking: retrieval's first `head`, reordered by the logits; a target that is not among them keeps its place.

    Ties count against the target.
    """
    head = found.head
    others = logits[rows, :head]
    ahead = (others >= logits[rows, -1:]) & found.usable[rows, :head]
    ranks: npt.NDArray[np.int64] = np.where(
        found.target_rank[rows] <= head, 1 + ahead.sum(1), found.target_rank[rows]
    ).astype(np.int64)
    return ranks

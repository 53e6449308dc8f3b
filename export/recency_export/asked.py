"""A published release asked through onnxruntime, as a gateway would ask it about the same users; imports no torch.

Legend of shapes: B requests in a call, N items, K items of a slate, C candidates, T trend half-lives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recency_export.onnx_session import Arrays, feed, open_model
from recency_export.published import Published
from recency_features.events import rule
from recency_features.history import Interaction, history_arrays, own_counts, pad_ids, stack_histories
from recency_features.overlay import HIDDEN
from recency_features.spec import K_BUCKETS, PAD, RECOMMENDER, SCORER, bucket
from recency_features.trends import Trends

# Requests in one call; they share one moment's trends.
AT_ONCE = 32
# A catalogue of which a larger share of events were repeats is one that is consumed again: nothing is left out.
_REPEATS_FROM = 0.05


@dataclass(frozen=True, slots=True)
class Asking:
    """One user at one moment: what they had done before, the place in the log, and the item that came next (empty where
    none is known)."""

    user: str
    before: tuple[Interaction, ...]
    at_micros: int
    sequence: int
    target: str = ""


class Asked:
    """One release's graphs."""

    def __init__(self, release: Published, fresh: Mapping[str, npt.NDArray[np.float32]] | None = None) -> None:
        """Loads both graphs: half a second for a catalogue of a few thousand items. `fresh` are vectors of items that the
        release lacks and shows all the same, as a gateway's overlay has them."""
        self.release = release
        self.item_ids = (*release.item_ids, *(fresh or ()))
        vectors = list(fresh.values()) if fresh else [np.zeros(release.manifest.dim)]
        self._fresh_RD = np.stack(vectors).astype(np.float32)
        self.row_of = {item_id: row for row, item_id in enumerate(self.item_ids)}
        self.consumed_again = release.manifest.repeat_share > _REPEATS_FROM
        self._recommender = open_model(release.model(RECOMMENDER))
        self._scorer = open_model(release.model(SCORER))

    def slates(self, asking: Sequence[Asking], trends: Trends, size: int) -> npt.NDArray[np.int32]:
        """Item rows of each slate, int32 [B, K], -1 where nothing is left; trends are those of the last of them."""
        request = self._request(asking, trends)
        request["exclude_ids"] = pad_ids([self.seen(one) for one in asking], len(asking))
        request["k"] = np.array([min(bucket(size, K_BUCKETS), len(self.row_of))], dtype=np.int64)
        ids = self._recommender.run(["item_ids"], feed(request, RECOMMENDER))[0][:, :size]
        slates: npt.NDArray[np.int32] = np.pad(ids, ((0, 0), (0, size - ids.shape[1])), constant_values=PAD)
        return slates

    def logits(
        self, asking: Sequence[Asking], trends: Trends, rows_BC: npt.NDArray[np.int32]
    ) -> npt.NDArray[np.float32]:
        """Of named items, float32 [B, C]."""
        request = self._request(asking, trends) | {"candidate_ids": rows_BC}
        logits: npt.NDArray[np.float32] = self._scorer.run(["logits"], feed(request, SCORER))[0]
        return logits

    def seen(self, one: Asking) -> list[int]:
        """Rows that an answer leaves out."""
        if self.consumed_again:
            return []
        marked = {event.item_id for event in one.before if rule(event.type).marks_seen}
        return sorted(self.row_of[name] for name in marked if name in self.row_of)

    def trend_counts(self, rows_K: npt.NDArray[np.int32], trends: Trends, at_micros: int) -> npt.NDArray[np.float32]:
        """How often the items of some rows were taken up lately, as a gateway has it: of the longest half-life, [K]."""
        places = np.array([trends.row_of.get(self.item_ids[row], -1) for row in rows_K.tolist()], dtype=np.intp)
        counts_K: npt.NDArray[np.float32] = trends.counts(places, at_micros)[:, -1]
        return counts_K

    def _request(self, asking: Sequence[Asking], trends: Trends) -> Arrays:
        manifest, limit = self.release.manifest, self.release.manifest.history_length
        histories = [history_arrays(one.before, self.row_of, one.at_micros, limit) for one in asking]
        batch = stack_histories(histories, len(asking), limit)
        counts = [
            {self.row_of[name]: count for name, count in own_counts(one.before).items() if name in self.row_of}
            for one in asking
        ]
        count_ids = pad_ids([list(own) for own in counts], len(asking))
        count_values = np.zeros(count_ids.shape, dtype=np.float32)
        for row, own in enumerate(counts):
            count_values[row, : len(own)] = list(own.values())
        rows = np.array([trends.row_of.get(name, -1) for name in self.item_ids], dtype=np.intp)
        trend_NT = trends.columns(rows, max(one.at_micros for one in asking), manifest.trend_width)
        # The overlay has a row at the least, and without a fresh item it is not in use.
        unused = len(self.release.item_ids) + len(self._fresh_RD) - len(rows)
        return {
            "history_ids": batch.ids,
            "history_types": batch.types,
            "history_ages_seconds": batch.ages_seconds,
            "history_length": batch.length,
            "steer": np.zeros((len(asking), manifest.dim), dtype=np.float32),
            "user_features": np.zeros((len(asking), manifest.user_feature_dim), dtype=np.float32),
            "own_count_ids": count_ids,
            "own_counts": count_values,
            "item_bias": np.append(np.zeros(len(rows)), [HIDDEN] * unused).astype(np.float32),
            "item_trend": np.concatenate([trend_NT, np.zeros((unused, trend_NT.shape[1]), dtype=trend_NT.dtype)]),
            "fresh_vectors": self._fresh_RD,
        }

"""What the log says of two published releases: evidence for the gate without a training run at hand.

    newest    events that neither release has learned, each user as they were before it
    old       a sample of events that both had learned: what was known before must not be forgotten
    exposure  slates for requests as they came between the two trainings, and who acted on what then
    logged    slates answered after both, whose places were left to chance, and what came of them

Legend of shapes: Q requests, K items of a slate, N items.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recency_export.asked import AT_ONCE, Asked, Asking
from recency_export.evidence import Evidence, Exposure, Gains, LoggedActions, Observations
from recency_export.log_cases import events_between, next_cases, sampled_events, users_now
from recency_export.logged_slates import logged_actions, logged_slates
from recency_export.published import Published, read_published
from recency_export.shared_tables import read_tables
from recency_features.events import rule
from recency_features.spaces import place, read_spaces
from recency_features.trends import Trends, to_fold
from recency_store.manifest import Manifest
from recency_store.protocol import Store
from recency_store.records import LoggedEvent

_SLATE = 10
# Random items beside each next event: as many as a calibration is fitted on.
_OTHERS = 28

Ids = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of the log is looked at."""

    newest_cases: int = 500
    old_cases: int = 300
    slates: int = 300
    # Slates that were left to chance, the newest of them.
    logged_slates: int = 2_000
    # The newest so many events after (and between) the releases are read.
    events: int = 20_000


def evidence_from_log(
    store: Store,
    release: int,
    folder: Path,
    parent_folder: Path | None,
    targets: tuple[str, ...],
    seed: int = 0,
    sizes: Sizes | None = None,
) -> Evidence:
    """Asks both releases about the same users. What is wrong with one that cannot be asked is left for the gate to say."""
    bare = Evidence(release, folder, parent_folder, targets=targets)
    try:
        candidate = Asked(read_published(folder, checksums=False))
    except Exception:
        # A manifest that is none, a graph that onnxruntime refuses in one of its many ways: the gate looks again.
        return bare
    asked = [candidate]
    if parent_folder is not None:
        try:
            parent = read_published(parent_folder, checksums=False)
            asked.append(Asked(parent, _beyond(store, candidate.release, parent)))
        except Exception:
            return bare
    return _Gathering(store, asked, sizes or Sizes(), np.random.default_rng((seed, 31))).add_to(bare)


class _Gathering:
    """The candidate and, where there is one, its parent before the same log."""

    def __init__(self, store: Store, asked: Sequence[Asked], sizes: Sizes, rng: np.random.Generator) -> None:
        self._store, self._asked, self._sizes, self._rng = store, asked, sizes, rng
        ends = [_learned_through(one.release.manifest) for one in asked]
        self._from, self._to, self._last = min(ends), max(ends), store.last_sequence()
        self._since = events_between(store, self._to, self._last, sizes.events)

    def add_to(self, bare: Evidence) -> Evidence:
        """Everything that the log says."""
        newest, old = self._cases(self._since, self._sizes.newest_cases), self._old()
        between = events_between(self._store, self._from, self._to, self._sizes.events)
        asking = self._requests(between)
        observed = self._observed(newest)
        return replace(
            bare,
            newest=self._gains(newest),
            old=self._gains(old),
            observed=observed[0],
            parent_observed=observed[1] if len(observed) > 1 else Observations(),
            exposure=self._exposure(asking, between),
            logged=self._logged(),
        )

    def _logged(self) -> LoggedActions:
        """Of slates that were answered after what either release has learned: neither knows what came of them."""
        newest = self._store.read_log(self._to - 1, 1)
        known = [one.release.manifest.trained_through_micros for one in self._asked]
        after = max(*known, *(event.time_micros for event in newest if event.sequence == self._to))
        slates = logged_slates(self._store, after, self._since, self._sizes.logged_slates)
        return logged_actions(self._store, self._asked, slates, self._in_turn([one.asking for one in slates]))

    def _requests(self, between: Sequence[LoggedEvent]) -> list[Asking]:
        """Users as they were before events that the candidate has learned and the parent has not: the requests that come.
        Where those are few, others as they are now: a handful of requests would make every slate weigh a lot."""
        asking = next_cases(self._store, between, self._asked[0].row_of, True, self._sizes.slates, self._rng)
        if len(asking) < self._sizes.slates:
            recent = [*self._sample(4 * self._sizes.slates), *between, *self._since]
            asking += users_now(self._store, recent, self._sizes.slates - len(asking))
        return asking

    def _old(self) -> list[Asking]:
        return self._cases(self._sample(self._sizes.old_cases), self._sizes.old_cases)

    def _sample(self, most: int) -> list[LoggedEvent]:
        return sampled_events(self._store, self._from, most, self._rng)

    def _cases(self, events: Sequence[LoggedEvent], most: int) -> list[Asking]:
        known = set(self._asked[0].row_of).intersection(*(one.row_of for one in self._asked[1:]))
        return next_cases(self._store, events, known, self._asked[0].consumed_again, most, self._rng)

    def _gains(self, asking: Sequence[Asking]) -> Gains:
        """NDCG@10 by the place of the target in the slate."""
        user = np.unique([one.user for one in asking], return_inverse=True)[1].astype(np.int64)
        gains = []
        for one in self._asked:
            target_Q = np.array([one.row_of[case.target] for case in asking], dtype=np.int32)
            at_QK = self._slates(one, asking) == target_Q[:, None]
            gains.append(np.where(at_QK.any(1), 1.0 / np.log2(at_QK.argmax(1) + 2.0), 0.0))
        return Gains(gains[0], gains[1] if len(gains) > 1 else np.zeros(0), user)

    def _slates(self, one: Asked, asking: Sequence[Asking]) -> Ids:
        return np.concatenate(
            [np.zeros((0, _SLATE), dtype=np.int32)]
            + [one.slates(part, trends, _SLATE) for part, trends in self._in_turn(asking)]
        )

    def _in_turn(self, asking: Sequence[Asking]) -> Any:
        """Requests that go together, with the trends from before the first of them. Of requests older than the candidate
        the trends are the candidate's: the same for both releases."""
        trends = _trends_of(self._asked[0].release)
        done = 0
        for begin in range(0, len(asking), AT_ONCE):
            part = asking[begin : begin + AT_ONCE]
            upto = done
            while upto < len(self._since) and self._since[upto].sequence < part[0].sequence:
                upto += 1
            trends.fold(to_fold(self._since[done:upto]))
            done = upto
            yield part, trends

    def _observed(self, asking: Sequence[Asking]) -> list[Observations]:
        """Next events beside random items, where that is what both calibrations were fitted on."""
        if any(one.release.manifest.calibration.source != "sampled" for one in self._asked):
            return [Observations() for _ in self._asked]
        names = np.array(sorted(set(self._asked[0].row_of).intersection(*(one.row_of for one in self._asked[1:]))))
        chosen = names[self._rng.integers(0, len(names), (len(asking), _OTHERS))] if len(names) else names
        found = []
        for one in self._asked:
            logits, positive = [np.zeros(0, dtype=np.float32)], [np.zeros(0, dtype=np.bool_)]
            done = 0
            for part, trends in self._in_turn(asking):
                rows = np.array(
                    [
                        [*(one.row_of[str(name)] for name in chosen[done + row]), one.row_of[case.target]]
                        for row, case in enumerate(part)
                    ],
                    dtype=np.int32,
                )
                usable = np.array([~np.isin(rows[row], one.seen(case)) for row, case in enumerate(part)])
                usable[:, :-1] &= rows[:, :-1] != rows[:, -1:]
                logits.append(one.logits(part, trends, rows)[usable])
                target = np.zeros(rows.shape, dtype=np.bool_)
                target[:, -1] = True
                positive.append(target[usable])
                done += len(part)
            found.append(
                Observations(np.concatenate(logits), np.concatenate(positive), one.release.manifest.calibration)
            )
        return found

    def _exposure(self, asking: Sequence[Asking], between: Sequence[LoggedEvent]) -> Exposure:
        """Counts by the candidate's items."""
        if len(self._asked) < 2:
            return Exposure()
        ours, parent = self._asked
        counts = [
            np.bincount(slates[slates >= 0], minlength=len(one.row_of)).astype(np.float64)
            for one, slates in ((one, self._slates(one, asking)) for one in self._asked)
        ]
        rows = np.array([parent.row_of.get(name, -1) for name in ours.row_of], dtype=np.int64)
        acted = [event for event in between if rule(event.type).positive_weight > 0 and event.item_id in ours.row_of]
        users = np.unique([event.user_id for event in acted], return_inverse=True)[1].astype(np.int64)
        return Exposure(
            item_ids=tuple(ours.row_of),
            slates=len(asking),
            candidate=counts[0],
            parent=np.where(rows >= 0, counts[1][rows], np.nan),
            users=users,
            items=np.array([ours.row_of[event.item_id] for event in acted], dtype=np.int64),
        )


def _beyond(store: Store, candidate: Published, parent: Published) -> dict[str, npt.NDArray[np.float32]]:
    """The vectors by which the parent shows items that the candidate has and it lacks: in its own space those of the
    candidate, which the item learner gave them; else what their text and own vectors say."""
    theirs = set(parent.item_ids)
    lacking = [name for name in candidate.item_ids if name and name not in theirs]
    if not lacking:
        return {}
    if candidate.manifest.item_space == parent.manifest.item_space:
        items_ND = read_tables(candidate.folder)["items"]
        row_of = {name: row for row, name in enumerate(candidate.item_ids)}
        return {name: np.array(items_ND[row_of[name]], dtype=np.float32) for name in lacking}
    projection = np.load(parent.folder / "projection.npy", allow_pickle=False)
    spaces = read_spaces(parent.folder, parent.manifest)
    stored = store.get_items(lacking)
    return {
        name: place(item, projection, spaces)
        for name, item in stored.items()
        if item.text_vector and item.text_encoder == parent.manifest.text_encoder_digest
    }


def _learned_through(manifest: Manifest) -> int:
    return max(manifest.trained_through_sequence, manifest.learned_through_sequence)


def _trends_of(release: Published) -> Trends:
    """The release's trends, to be folded on from."""
    return Trends.from_bytes((release.folder / "trends.npz").read_bytes())

"""The learner in one item space: chunks of the log → residuals in the store, each event once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recency.v1 import user_pb2
from recency_export.dataset import REPEATS_COUNT_FROM
from recency_export.errors import NonFinite
from recency_export.online_behaviour import Before, Behaviour
from recency_export.online_bounds import Bounds
from recency_export.online_items import Items, SpaceBase
from recency_export.online_settings import LearnerConfig
from recency_export.online_step import Lesson, gradient_on, loss_and_gradient
from recency_export.online_users import Moment, UserVectors
from recency_features.events import rule
from recency_store.protocol import Store
from recency_store.records import Changes, Lease, LoggedEvent

F32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Progress:
    """What one chunk came to: positive events that taught, rows written, and the loss of an event before its step."""

    events: int = 0
    rows: int = 0
    loss: float = 0.0


class Space:
    """One space's state: as the store has it, and what has not been worth a write yet."""

    def __init__(self, base: SpaceBase, store: Store, behaviour: Behaviour, config: LearnerConfig) -> None:
        self.number = base.manifest.release
        self._manifest = base.manifest
        self._store = store
        self._behaviour = behaviour
        self._config = config
        self._bounds = Bounds(config)
        self._masks_seen = base.manifest.repeat_share <= REPEATS_COUNT_FROM
        self.items = Items(base)
        self.items.load(store)
        learned = store.learned(self.number)
        self._trained = base.manifest.trained_through_sequence
        erasures = store.erasures(self._trained)
        self._erased = erasures[-1].number if erasures else self._trained
        # Of what is stored nobody knows whether somebody who was erased since had taught it: all is learned anew from the
        # log, which does not hold them, and is written when it is done. Until then what was learned before is served.
        self._anew_until = max(learned.position, self._erased) if erasures and learned.position else 0
        self._written = frozenset(row.item_id for row in learned.rows)
        if not self._anew_until:
            self.items.restore(learned.rows)
        # Where the store has the space: 0 where it does not have it yet.
        self._stored = learned.position
        self.position = self._trained if self._anew_until else learned.position or self._trained
        # How much an item has been taught decides its steps: that is counted again, not stored.
        self._count(self._store.scan_log(self._trained, self.position))
        # Whether somebody was erased who may have taught what this holds: it is to be made anew.
        self.outdated = False
        self.through_micros = learned.through_micros or base.manifest.trained_through_micros

    @property
    def behind(self) -> int:
        """Changes of the log that are not learned yet."""
        return max(0, self._store.last_sequence() - self.position)

    def step(self, users: UserVectors, lease: Lease) -> Progress | None:
        """Learns the next chunk of the log and moves the position with what came of it, in one transaction; None where
        there is none. Where the call of Triton fails, nothing has happened; after an error of the store this object is
        to be made anew."""
        if self._store.last_sequence() == self.position:
            return None
        changes = self._store.changes(self.position, self._config.chunk)
        if changes.through == self.position:
            return None
        self.items.take_in(changes.items)
        self.items.take_in_waiting(self._store)
        self._behaviour.forget(rewrite.user_id for rewrite in changes.rewrites)
        self._behaviour.follow(changes.events)
        if changes.erasures:
            self._bounds.forget(self._behaviour.erased({erasure.digest for erasure in changes.erasures}))
            self.outdated = self.position > self._trained and changes.erasures[-1].number > self._erased
            if self.outdated:
                return None
        events = self._bounds.admit([event for event in changes.events if self._teaches(event)])
        after_NW, progress, places = self._learn(events, users) if events else (self.items.residuals, Progress(), [])
        newest = max((event.time_micros for event in changes.events), default=0)
        self._save(changes, after_NW, places, max(self.through_micros, newest), lease)
        self._count(changes.events)
        return progress

    def _count(self, events: Iterable[LoggedEvent]) -> None:
        row_of = self.items.row_of
        positive = (event.item_id for event in events if rule(event.type).positive_weight > 0)
        self.items.count([row_of[item_id] for item_id in positive if item_id in row_of])

    def _teaches(self, event: LoggedEvent) -> bool:
        """Whether an event is one to learn from: positive, about an item with a vector, neither taken back nor by a user
        who does not want to be learned from."""
        if rule(event.type).positive_weight <= 0 or event.item_id not in self.items.row_of:
            return False
        stored = self._store.get_user(event.user_id)
        consent = user_pb2.User.FromString(stored.payload).consent if stored is not None else user_pb2.Consent()
        refused = consent.HasField("training") and not consent.training
        return not refused and self._behaviour.stands(event)

    def _learn(self, events: Sequence[LoggedEvent], users: UserVectors) -> tuple[F32, Progress, list[int]]:
        befores = [self._behaviour.before(event) for event in events]
        moments = [Moment(before, event.time_micros) for before, event in zip(befores, events, strict=True)]
        users_CW = users.ask(moments, self.items.fresh_vector, self._config.rows_per_call)
        lesson = self._lesson(events, befores, users_CW)
        targets = np.unique(lesson.target_C)
        kept_K, loss, gradient_KW = self._gradient(lesson, targets)
        if not np.isfinite(gradient_KW).all():
            raise NonFinite(f"the item learner's gradient at change {self.position} is not finite; report this")
        step_K = self._steps(kept_K, lesson.target_C)
        after_NW = self.items.residuals.copy()
        after_NW[kept_K] = self._bounds.limit(kept_K, after_NW[kept_K], -step_K[:, np.newaxis] * gradient_KW)
        places = list(self.items.due(after_NW, self._config.save_norm, targets.tolist()))
        return after_NW, Progress(len(events), len(places), loss / len(events)), places

    def _steps(self, rows_K: npt.NDArray[np.intp], target_C: npt.NDArray[np.intp]) -> F32:
        """The step size of each row: what many events have taught, these ones included, moves less by one more (AdaGrad with
        events in place of squared gradients: Duchi, Hazan and Singer, JMLR 2011)."""
        config, items = self._config, self.items
        taught_K = (items.taught + np.bincount(target_C, minlength=len(items)))[rows_K]
        first_K = np.where(items.trained[rows_K], config.known_step, config.fresh_step)
        steps_K: F32 = (first_K / np.sqrt(1.0 + taught_K / config.settle_events)).astype(np.float32)
        return steps_K

    def _gradient(self, lesson: Lesson, targets: npt.NDArray[np.intp]) -> tuple[npt.NDArray[np.intp], float, F32]:
        """The rows that take part, the loss, and the rows' gradient."""
        items_NW, closed_N = self.items.vectors, self.items.closed
        if len(items_NW) <= self._config.full_items:
            return np.arange(len(items_NW)), *loss_and_gradient(lesson, items_NW, closed_N)
        # By the position: the same chunk draws the same sample, whoever learns it.
        drawn = np.random.default_rng(self.position).integers(0, len(items_NW), self._config.sample)
        kept_K = np.unique(np.concatenate([drawn, targets]))
        return kept_K, *gradient_on(lesson, items_NW, closed_N, kept_K)

    def _lesson(self, events: Sequence[LoggedEvent], befores: Sequence[Before], users_CW: F32) -> Lesson:
        row_of = self.items.row_of
        seen_rows: list[int] = []
        seen_items: list[int] = []
        if self._masks_seen:
            for number, before in enumerate(befores):
                rows = [row_of[item_id] for item_id in before.seen if item_id in row_of]
                seen_items.extend(rows)
                seen_rows.extend([number] * len(rows))
        return Lesson(
            users_CW=users_CW,
            target_C=np.array([row_of[event.item_id] for event in events], dtype=np.intp),
            weight_C=np.array([rule(event.type).positive_weight for event in events], dtype=np.float32),
            seen_row_S=np.array(seen_rows, dtype=np.intp),
            seen_item_S=np.array(seen_items, dtype=np.intp),
        )

    def _save(self, changes: Changes, after_NW: F32, places: Sequence[int], through_micros: int, lease: Lease) -> None:
        if self._anew_until and changes.through < self._anew_until:
            self._keep(changes.through, after_NW, ())
            return
        rows = self.items.rows(after_NW, places)
        if self._anew_until:
            places = self.items.due(after_NW, 0.0, ())
            rows = [*self.items.rows(after_NW, places), *self.items.gone(self._written)]
            self._anew_until = 0
        self._store.put_learned(self.number, self._stored, changes.through, through_micros, rows, lease)
        self._keep(changes.through, after_NW, places)
        self._stored = changes.through
        self.through_micros = through_micros

    def _keep(self, through: int, after_NW: F32, places: Sequence[int]) -> None:
        self.items.keep(after_NW, places)
        self._bounds.commit()
        self.position = through

"""One gradient step of the training loss on item vectors alone: what was taken goes up, every item down by its probability.

Legend of shapes: C events, N items, W learned width, S pairs of an event and an item that its user had consumed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Lesson:
    """Positive events with what is needed to learn from them.

    users_CW                 user vectors as they were before each event
    target_C, weight_C       the item's row, and the event's weight as a training target
    seen_row_S, seen_item_S  what the event's user had consumed by then: no alternative to the target
    """

    users_CW: F32
    target_C: npt.NDArray[np.intp]
    weight_C: F32
    seen_row_S: npt.NDArray[np.intp]
    seen_item_S: npt.NDArray[np.intp]


def loss_and_gradient(lesson: Lesson, items_NW: F32, closed_N: npt.NDArray[np.bool_]) -> tuple[float, F32]:
    """The summed cross-entropy and its gradient by the item vectors, [N, W]. `closed_N` are items that no answer may hold:
    they are no alternative, unless they are what was taken."""
    events = np.arange(len(lesson.target_C))
    logits_CN = lesson.users_CW @ items_NW.T
    own_C = logits_CN[events, lesson.target_C]
    logits_CN[:, closed_N] = -np.inf
    logits_CN[lesson.seen_row_S, lesson.seen_item_S] = -np.inf
    logits_CN[events, lesson.target_C] = own_C
    logits_CN -= logits_CN.max(1, keepdims=True)
    chance_CN = np.exp(logits_CN)
    chance_CN /= chance_CN.sum(1, keepdims=True)
    with np.errstate(divide="ignore"):
        loss = float(-(lesson.weight_C * np.log(chance_CN[events, lesson.target_C])).sum())
    chance_CN[events, lesson.target_C] -= 1.0
    chance_CN *= lesson.weight_C[:, np.newaxis]
    gradient_NW: F32 = chance_CN.T @ lesson.users_CW
    return loss, gradient_NW


def gradient_on(
    lesson: Lesson, items_NW: F32, closed_N: npt.NDArray[np.bool_], kept_K: npt.NDArray[np.intp]
) -> tuple[float, F32]:
    """The same over the rows `kept_K` alone (ascending, the targets among them): a sample stands for a large catalogue."""
    place_N = np.full(len(items_NW), -1, dtype=np.intp)
    place_N[kept_K] = np.arange(len(kept_K))
    held = place_N[lesson.seen_item_S] >= 0
    part = Lesson(
        lesson.users_CW,
        place_N[lesson.target_C],
        lesson.weight_C,
        lesson.seen_row_S[held],
        place_N[lesson.seen_item_S[held]],
    )
    return loss_and_gradient(part, items_NW[kept_K], closed_N[kept_K])
